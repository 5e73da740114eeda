"""``flowpost run``: one run now, to its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.boundary import FAILED, OK, printable

if TYPE_CHECKING:
    from runner.errors import FlowpostError
    from runner.model import Event, Flow, Node, NodeResult, Run
    from runner.nodes.base import Message


@click.command(
    "run",
    short_help="Run one flow now, to its end.",
    epilog="""\b
Example:
  flowpost run welcome --body '{"email": "ann@example.com", "name": "Ann"}'
  flowpost run welcome --body @contact.json --dry-run
""",
)
@click.argument("flow")
@click.option("--body", metavar="JSON|@FILE|-", help="trigger.body: JSON, a file, or standard input.")
@click.option(
    "--set", "pairs", metavar="KEY=VALUE", multiple=True, help="Set one value of the body; repeat it."
)
@click.option("--dry-run", is_flag=True, help="Render and check, send nothing, print the message.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to answer.")
@click.pass_obj
def command(
    directory: Path, flow: str, body: str | None, pairs: tuple[str, ...], dry_run: bool, form: str
) -> int:
    """Run FLOW (a name or a path) once, to its end, and say what every node did.

    `flowpost runs` shows it afterwards, beside those of a service; a dry run leaves no trace.
    """
    import asyncio

    from runner.app import App
    from runner.cli.event import make_event

    app = App.open(directory, os.environ)
    loaded = app.flow(flow)
    event = make_event(loaded, app.root, body, pairs)
    messages: list[Message] = []
    run = asyncio.run(_run(app, loaded, event, messages, dry_run=dry_run, quiet=form == "json"))
    shown = messages if dry_run or app.settings.delivery.mode == "capture" else []
    if form == "json":
        _print_json(run, shown, dry_run=dry_run)
    else:
        _print_text(run, shown, "dry run" if dry_run else app.settings.delivery.mode)
    return OK if run.status == "succeeded" else FAILED


async def _run(
    app: object, flow: Flow, event: Event, messages: list[Message], *, dry_run: bool, quiet: bool
) -> Run:
    from dataclasses import replace

    from runner.app import App
    from runner.engine.byhand import ByHand
    from runner.engine.execute import Execution, Silent
    from runner.engine.identity import new_run_id

    assert isinstance(app, App)
    listener = Silent() if quiet else Narrator()
    async with app.context(rehearsal=dry_run) as context:
        context = replace(context, on_message=messages.append)
        if dry_run:
            return await Execution(context=context, listener=listener).run(flow, event, new_run_id())
        async with ByHand(context, _warn) as by_hand:
            return await by_hand.run(flow, event, listener)


def _warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)


class Narrator:
    """Tells a person on standard error what the run does while it does it."""

    def node_ended(self, node: Node, result: NodeResult) -> None:
        """One line a node, and how to mend a failure."""
        colour = {"succeeded": "green", "failed": "red"}.get(result.status, "bright_black")
        tries = f" after {result.attempts} attempts" if result.attempts > 1 else ""
        line = f"  {click.style(f'{result.status:<9}', fg=colour)}  {node.id}{tries}"
        click.echo(f"{line}{_detail(result)}", err=True)

    def waiting(self, node: Node, error: FlowpostError, attempt: int, attempts: int, seconds: float) -> None:
        """Say what failed for now and when it is tried again."""
        click.echo(
            f"  waiting    {node.id}: {printable(error.message)} [{error.code}]; "
            f"attempt {attempt + 1} of {attempts} in {seconds:.0f} s",
            err=True,
        )


def _detail(result: NodeResult) -> str:
    if result.error is not None:
        hint = result.error.get("hint")
        text = f": {printable(str(result.error['message']))} [{result.error['code']}]"
        return f"{text}\n             hint: {printable(str(hint))}" if hint else text
    output = result.output
    if isinstance(output, dict) and output.get("accepted"):
        rejected = output.get("rejected") or []
        refused = f", refused for {len(rejected)}" if rejected else ""
        return f": sent to {printable(', '.join(output['accepted']))}{refused}"
    return ""


def _print_json(run: Run, messages: list[Message], *, dry_run: bool) -> None:
    from runner.cli.present import as_json, message_json

    answer = {**run.as_dict(), "nodes": {name: _redacted(result) for name, result in run.nodes.items()}}
    if dry_run:
        answer["dry_run"] = True
    if messages or dry_run:
        answer["messages"] = [message_json(message) for message in messages]
    click.echo(as_json(answer))


def _redacted(result: NodeResult) -> dict[str, object]:
    """What servers said, without any secret that it may repeat."""
    from runner.redact import clean

    told = result.as_dict()
    if result.error is not None:
        told["error"] = {
            key: clean(value) if isinstance(value, str) else value for key, value in result.error.items()
        }
    return told


def _print_text(run: Run, messages: list[Message], mode: str) -> None:
    from runner.cli.present import show

    for message in messages:
        click.echo(show(message))
    notes = {"dry run": " (dry run: nothing was sent)", "capture": " (delivery: capture, nothing was sent)"}
    colour = "green" if run.status == "succeeded" else "red"
    click.echo(
        f"{run.flow}: {click.style(str(run.status), fg=colour)}{notes.get(mode, '')}  run {run.id}", err=True
    )
