"""``flowpost VERB``: the global options, and the verbs as modules that are imported when they are used."""

from __future__ import annotations

import importlib

import click

from runner import __version__
from runner.cli.verbs import VERBS, help_text


class Verbs(click.Group):
    """A group that imports a verb's module only when that verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in order."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; None when there is no such verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"runner.cli.{cmd_name}").command
        return command

    def get_help(self, ctx: click.Context) -> str:
        """The same text that ``main`` prints without loading this module."""
        return help_text().rstrip("\n")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest verb when there is none of that name."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f' (did you mean "{near[0]}"?)' if near else ""
            raise click.UsageError(f'there is no verb "{args[0]}"{hint}', ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "directory", metavar="DIR", default=".", help="Work in the workspace of DIR.")
@click.version_option(__version__, prog_name="flowpost", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, directory: str) -> None:
    """E-mail from your own SMTP server, from YAML flows in Git."""
    import os
    from pathlib import Path

    ctx.obj = Path(directory)
    if os.environ.get("NO_COLOR"):
        ctx.color = False
