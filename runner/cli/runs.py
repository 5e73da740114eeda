"""``flowpost runs``: what has run, and what a person decides about it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runner.cli.boundary import OK
from runner.cli.runlist import named, print_list, print_run

if TYPE_CHECKING:
    from runner.engine.history import History

T = TypeVar("T")

STATUSES = ("accepted", "running", "waiting", "succeeded", "failed", "cancelled")
"""Those of the engine's history, which takes too long to import for ``--help``; a test compares them."""

_FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to answer."
)
_RUN = click.argument("run", metavar="RUN")


@click.group(
    "runs",
    short_help="List, show, retry, cancel and resolve runs.",
    epilog="""\b
Example:
  flowpost runs list --status failed
  flowpost runs show 0193a5c2
  flowpost runs resolve 0193a5c2 --sent
""",
)
def command() -> None:
    """The history of `flowpost serve` and `flowpost run`: what ran, how it ended, and what goes on.

    RUN is a run's id, or the beginning of one. Works beside a running service, and without one.
    """


@command.command(
    "list",
    epilog="\b\nExample:\n  flowpost runs list --flow welcome --status failed\n"
    "  flowpost runs list --unknown --format json\n",
)
@click.option("--flow", metavar="NAME", help="Runs of this flow only.")
@click.option("--status", type=click.Choice(STATUSES), help="Runs of this status only.")
@click.option("--unknown", is_flag=True, help="Only runs with a message whose delivery is unknown.")
@click.option("--limit", metavar="N", type=click.IntRange(1, 100_000), default=50, show_default=True,
              help="At most so many.")  # fmt: skip
@click.option("--before", metavar="RUN", help="Runs older than this one: the next page.")
@_FORMAT
@click.pass_obj
def list_runs(
    directory: Path,
    flow: str | None,
    status: str | None,
    unknown: bool,
    limit: int,
    before: str | None,
    form: str,
) -> int:
    """The newest runs first."""

    async def work(history: History) -> list[dict[str, Any]]:
        last = None if before is None else await _find(history, before)
        found = await history.list(flow=flow, status=status, limit=limit, before=last, unknown=unknown)
        return [named(row) for row in found]

    none: list[dict[str, Any]] = []
    found = _with_history(directory, work, nothing=none, reopening=False)
    if form == "json":
        _print_json({"runs": found})
        return OK
    if found:
        print_list(found)
    else:
        click.echo("no runs", err=True)
    return OK


@command.command(
    epilog="\b\nExample:\n  flowpost runs show 0193a5c2\n  flowpost runs show 0193a5c2 --format json\n"
)
@_RUN
@_FORMAT
@click.pass_obj
def show(directory: Path, run: str, form: str) -> int:
    """One run: its event, what each node did, and its messages."""

    async def work(history: History) -> dict[str, Any]:
        return named(await history.show(await _find(history, run)))

    found = _with_history(directory, work, reopening=False)
    if form == "json":
        _print_json(found)
    else:
        print_run(found)
    return OK


@command.command(epilog="\b\nExample:\n  flowpost runs retry 0193a5c2\n")
@_RUN
@_FORMAT
@click.pass_obj
def retry(directory: Path, run: str, form: str) -> int:
    """Go on with a run that failed or was cancelled, on the version of its flow that it began with.

    Nodes that succeeded are not done again. A service does the work: this one, or the next that starts.
    """

    async def work(history: History) -> str:
        found = await _find(history, run)
        await history.retry(found)
        return found

    found = _with_history(directory, work)
    return _done(form, {"run_id": found, "status": "accepted"}, f"run {found} goes on")


@command.command(epilog="\b\nExample:\n  flowpost runs cancel 0193a5c2\n")
@_RUN
@_FORMAT
@click.pass_obj
def cancel(directory: Path, run: str, form: str) -> int:
    """End a run that waits or runs; the node that it is at is finished, no other is begun."""

    async def work(history: History) -> str:
        found = await _find(history, run)
        await history.cancel(found)
        return found

    found = _with_history(directory, work, reopening=False)
    return _done(form, {"run_id": found, "status": "cancelled"}, f"run {found} is cancelled")


@command.command(
    epilog="\b\nExample:\n  flowpost runs resolve 0193a5c2 --sent\n  flowpost runs resolve 0193a5c2 --resend\n"
)
@_RUN
@click.option("--sent", is_flag=True, help="They arrived: the node has succeeded, nothing is sent again.")
@click.option("--resend", is_flag=True, help="They did not arrive: send them again.")
@_FORMAT
@click.pass_obj
def resolve(directory: Path, run: str, sent: bool, resend: bool, form: str) -> int:
    """Decide about the messages of a run whose delivery is unknown; the run then goes on.

    A delivery is unknown when the connection or the process was lost between the end of the message and the
    server's reply: only a person can find out.
    """
    if sent == resend:
        from runner.errors import UsageError

        raise UsageError("say either --sent or --resend", hint="flowpost runs show RUN shows the messages")
    decision = "sent" if sent else "resend"

    async def work(history: History) -> tuple[str, int]:
        found = await _find(history, run)
        return found, await history.resolve(found, decision)

    found, number = _with_history(directory, work)
    messages = "1 message" if number == 1 else f"{number} messages"
    what = "counts as sent" if sent else "will be sent again"
    what = what if number == 1 else what.replace("counts", "count")
    answer = {"run_id": found, "decision": decision, "messages": number, "status": "accepted"}
    return _done(form, answer, f"{messages} of run {found} {what}; the run goes on")


def _with_history(
    directory: Path,
    work: Callable[[History], Awaitable[T]],
    *,
    nothing: T | None = None,
    reopening: bool = True,
) -> T:
    """What ``work`` returns; ``nothing`` when there is no database yet and that is an answer."""
    import asyncio

    from runner.app import App

    app = App.open(directory, os.environ)

    async def run() -> T:
        async with _history(app.settings.database, app.root, reopening) as history:
            if history is None:
                if nothing is not None:
                    return nothing
                raise _no_such_run("there is no run yet: nothing has run here")
            return await work(history)

    return asyncio.run(run())


@asynccontextmanager
async def _history(url: str, root: Path, reopening: bool) -> AsyncIterator[History | None]:
    """The history; None where there is no SQLite file, for a question must not make one."""
    from runner.engine.history import History
    from runner.ledger.database import Database

    file = Database(url, root).file
    if file is not None and not file.exists():
        yield None
        return
    async with History.open(url, root, reopening=reopening) as history:
        yield history


async def _find(history: History, text: str) -> str:
    """The id that begins with ``text``; UsageError when there is none, or more than one."""
    from runner.errors import UsageError

    prefix = text.strip().lower()
    if not re.fullmatch("[0-9a-f-]{1,36}", prefix):
        raise _no_such_run(f'"{text}" is not the id of a run, nor the beginning of one')
    # Ids are hexadecimal: those that begin with the prefix are the next ones below the prefix and a "g", in the
    # order of every database's collation.
    below = [row["id"] for row in await history.list(limit=2, before=f"{prefix}g")]
    found = [run_id for run_id in below if run_id.startswith(prefix)]
    if not found:
        raise _no_such_run(f'there is no run "{text}"')
    if len(found) > 1:
        raise UsageError(
            f'more than one run begins with "{text}"', hint=f"write more of it: {found[0]} is the newest"
        )
    return str(found[0])


def _no_such_run(message: str) -> Exception:
    from runner.errors import UsageError

    return UsageError(message, hint="flowpost runs list shows them")


def _print_json(value: object) -> None:
    from runner.cli.present import as_json

    click.echo(as_json(value))


def _done(form: str, answer: Mapping[str, object], text: str) -> int:
    if form == "json":
        _print_json(answer)
    else:
        click.echo(text, err=True)
    return OK
