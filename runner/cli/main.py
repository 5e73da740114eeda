"""``flowpost VERB``: the verbs, the global options and the error boundary."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from runner import __version__
from runner.cli.boundary import OK, guarded

COMMANDS = {
    "demo": "Send one message to an inbox on this machine and show it: the whole path.",
    "init": "Make a workspace that runs.",
    "preview": "Show the message as it would be sent.",
    "run": "Run one flow now, to its end.",
    "schema": "Print a JSON Schema.",
    "secrets": "Make, read and check the encrypted credentials.",
    "validate": "Check everything that can be known without sending.",
}
"""The list of verbs, each a module here with a ``command``. Kept apart from them so that help imports none."""

EPILOG = """\b
Example:
  flowpost init mail && cd mail
  flowpost validate
  flowpost run welcome --set email=ann@example.com --set name=Ann
"""


class Verbs(click.Group):
    """A group that imports a verb's module only when that verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; None when there is no such verb."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"runner.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table."""
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest verb when there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f' (did you mean "{near[0]}"?)' if near else ""
            raise click.UsageError(f'there is no verb "{args[0]}"{hint}', ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("-C", "directory", metavar="DIR", default=".", help="Work in the workspace of DIR.")
@click.version_option(__version__, prog_name="flowpost", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, directory: str) -> None:
    """E-mail from your own SMTP server, from YAML flows in Git."""
    ctx.obj = Path(directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 success, 1 failed, 2 usage, 130 interrupted."""

    def invoke() -> Any:
        return cli.main(args=arguments, prog_name="flowpost", standalone_mode=False)

    code = guarded(invoke, sys.stderr, os.environ)
    return OK if code is None else code


if __name__ == "__main__":
    sys.exit(main())
