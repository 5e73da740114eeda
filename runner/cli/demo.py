"""``flowpost demo``: the whole path in one command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from runner.cli.boundary import FAILED, OK, printable

if TYPE_CHECKING:
    from runner.dev.inbox import Caught


@click.command(
    "demo",
    short_help="Send one message to an inbox on this machine and show it: the whole path.",
    epilog="""\b
Example:
  flowpost demo
  flowpost demo --to you@example.com --name 'Ann Lee'
""",
)
@click.option("--to", "email", metavar="ADDRESS", help="Whom the message is for; it stays on this machine.")
@click.option("--name", metavar="NAME", help="The name in the greeting.")
@click.pass_obj
def command(directory: Path, email: str | None, name: str | None) -> int:
    """Open an inbox over TLS on this machine, run flows/welcome.yaml against the encrypted demo credential and
    show what arrived.

    Nothing leaves the machine, and no file is left behind.
    """
    import asyncio

    began = time.perf_counter()
    shown = asyncio.run(_demonstrate(email, name))
    caught = shown.caught
    if caught is None:
        click.echo(f"demo failed: {printable(shown.problem)}", err=True)
        return FAILED
    ok = click.style("ok", fg="green")
    click.echo(f"{ok}  flow        flows/welcome.yaml, every parameter validated by JSON Schema")
    click.echo(f"{ok}  credential  secrets/demo.yaml, decrypted with {shown.key}")
    click.echo(
        f"{ok}  session     localhost:{shown.port}, {caught.tls_version}, {caught.cipher}, login accepted"
    )
    click.echo(f"{ok}  delivered   {caught.size:,} bytes for {', '.join(caught.recipients)}")
    click.echo("")
    click.echo(_message(caught.data))
    click.echo(
        f"the whole path took {time.perf_counter() - began:.2f} s; nothing left this machine", err=True
    )
    return OK


class Shown(NamedTuple):
    """What the demo has to show: a message that arrived, or why none did."""

    port: int
    key: str
    caught: Caught | None
    problem: str = ""


async def _demonstrate(email: str | None, name: str | None) -> Shown:
    from runner.app import App, StoredCredentials
    from runner.cli.event import make_event
    from runner.credential import PasswordAuth
    from runner.dev.bundle import demo_key, demo_root
    from runner.dev.inbox import Inbox
    from runner.dev.redirect import Redirected
    from runner.engine.execute import Execution
    from runner.engine.identity import new_run_id
    from runner.model import Settings, Status

    root = demo_root()
    key = demo_key(root)
    app = App(root, Settings(workspace="demo"), {"SOPS_AGE_KEY_FILE": str(key)})
    flow = app.flow("welcome")
    given = {"email": email, "name": name}
    event = make_event(flow, root, None, [f"{k}={v}" for k, v in given.items() if v], sample=True)
    stored = StoredCredentials(app.store())
    credential = await stored.smtp("demo")
    assert isinstance(credential.auth, PasswordAuth)
    login = credential.auth
    async with (
        Inbox(username=login.username, password=login.password.reveal()) as inbox,
        app.context(credentials=Redirected(stored, inbox), allow=("127.0.0.1", "::1")) as context,
    ):
        run = await Execution(context=context).run(flow, event, new_run_id())
        if run.status is not Status.SUCCEEDED:
            errors = [str(result.error["message"]) for result in run.nodes.values() if result.error]
            return Shown(inbox.port, "", None, "; ".join(errors))
        return Shown(inbox.port, f"the demo key {key.name}", await inbox.next_message(timeout=10))


def _message(data: bytes) -> str:
    from runner.cli.present import headers, read

    parsed = read(data)
    lines = [
        f"  {click.style(f'{name}:', bold=True):<12} {printable(value)}" for name, value in headers(parsed)
    ]
    for kind in ("plain", "html"):
        part = parsed.get_body((kind,))
        if part is not None:
            lines += ["", f"  --- text/{kind} ---"]
            lines += [f"  {printable(line)}" for line in part.get_content().splitlines()]
    return "\n".join(lines) + "\n"
