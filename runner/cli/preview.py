"""``flowpost preview``: the message as it would be sent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.boundary import FAILED, OK, explain, printable

if TYPE_CHECKING:
    from runner.app import App
    from runner.credential import HttpCredential, SmtpCredential
    from runner.model import Event, Flow, Run
    from runner.nodes.base import Credentials, Message


@click.command(
    "preview",
    short_help="Show the message as it would be sent.",
    epilog="""\b
Example:
  flowpost preview welcome
  flowpost preview welcome --set name=Ann -o welcome.html
  flowpost preview fallback --node alert
""",
)
@click.argument("flow")
@click.option(
    "--body", metavar="JSON|@FILE|-", help="trigger.body; default: FLOW.sample.json beside the flow."
)
@click.option(
    "--set", "pairs", metavar="KEY=VALUE", multiple=True, help="Set one value of the body; repeat it."
)
@click.option("--node", metavar="ID", help="Show this smtp node's message, whatever its `when` says.")
@click.option("-o", "--output", metavar="FILE", help="Write FILE.eml, FILE.html or FILE.txt.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to answer.")
@click.pass_obj
def command(
    directory: Path,
    flow: str,
    body: str | None,
    pairs: tuple[str, ...],
    node: str | None,
    output: str | None,
    form: str,
) -> int:
    """Render FLOW (a name or a path) and show its messages; nothing is sent and no server is asked.

    Nodes that only read (http GET and HEAD) do run. Without the key of a credential, the sender is a stand-in.
    """
    import asyncio

    from runner.app import App
    from runner.cli.event import make_event

    app = App.open(directory, os.environ)
    loaded = app.flow(flow)
    _check_node(loaded, node)
    suffix = _check_output(output)
    event = make_event(loaded, app.root, body, pairs, sample=True)
    messages: list[Message] = []
    run = asyncio.run(_rehearse(app, loaded, event, messages, node))
    _report_failures(run)
    if output is not None and messages:
        _write(Path(output), suffix, messages)
    elif form == "json":
        from runner.cli.present import as_json, message_json

        click.echo(as_json([message_json(message) for message in messages]))
    else:
        from runner.cli.present import show

        click.echo("\n".join(show(message) for message in messages), nl=False)
    # A failure has been told: where it was that of an smtp node, one did run.
    if not messages and all(result.error is None for result in run.nodes.values()):
        click.echo("no message: no smtp node ran; --node ID shows one whatever its when says", err=True)
    return OK if messages and run.status == "succeeded" else FAILED


async def _rehearse(app: App, flow: Flow, event: Event, messages: list[Message], node: str | None) -> Run:
    from dataclasses import replace

    from runner.app import StoredCredentials
    from runner.engine.execute import Execution
    from runner.engine.identity import new_run_id

    credentials = StandIn(StoredCredentials(app.store()))
    async with app.context(rehearsal=True, credentials=credentials) as context:
        execution = Execution(context=replace(context, on_message=messages.append), only=node)
        return await execution.run(flow, event, new_run_id())


class StandIn:
    """Credentials for showing only: where one cannot be opened, a sender that nobody could mistake for real."""

    def __init__(self, stored: Credentials) -> None:
        self._stored = stored

    async def smtp(self, name: str) -> SmtpCredential:
        """The credential, or a stand-in without a server."""
        from runner.credential import Encryption, SmtpCredential
        from runner.errors import SecretError

        try:
            return await self._stored.smtp(name)
        except SecretError as error:
            click.echo(f"note: the sender is a stand-in: {printable(error.message)}", err=True)
            return SmtpCredential(
                workspace="preview",
                name=name,
                fingerprint="",
                host="preview.invalid",
                port=465,
                encryption=Encryption.TLS,
                default_from=f"{name}@preview.invalid",
            )

    async def http(self, name: str) -> HttpCredential:
        """The http credential: without it there is no answer to show."""
        return await self._stored.http(name)


def _check_node(flow: Flow, node: str | None) -> None:
    mailing = [candidate.id for candidate in flow.nodes if candidate.type == "smtp"]
    if node is not None and node not in mailing:
        known = ", ".join(mailing) or "none"
        raise click.UsageError(f'flow "{flow.name}" has no smtp node "{node}"; its smtp nodes: {known}')


def _check_output(output: str | None) -> str:
    suffix = "" if output is None else Path(output).suffix
    if output is not None and suffix not in (".eml", ".html", ".txt"):
        raise click.UsageError(f'-o needs a file that ends in .eml, .html or .txt and got "{output}"')
    return suffix


def _report_failures(run: Run) -> None:
    from runner.errors import FlowpostError

    for name, result in run.nodes.items():
        if result.error is not None:
            error = FlowpostError(f"node {name}: {result.error['message']} [{result.error['code']}]")
            error.hint = None if result.error["hint"] is None else str(result.error["hint"])
            click.echo(explain(error).replace(" [EINTERNAL]", ""), err=True)


def _write(path: Path, suffix: str, messages: list[Message]) -> None:
    for number, message in enumerate(messages, 1):
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{suffix}")
        try:
            if suffix == ".eml":
                target.write_bytes(message.data)
            else:
                content = message.html if suffix == ".html" else message.text
                if content is None:
                    raise click.UsageError(
                        f"the message of node {message.node} has no part for a {suffix} file"
                    )
                target.write_text(content, encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"cannot write {target}: {error.strerror}") from error
        click.echo(f"wrote {target}", err=True)
