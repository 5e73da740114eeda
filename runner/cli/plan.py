"""``flowpost plan``: who gets what, how many, through which credential, how long, and what has changed."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.boundary import FAILED, OK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runner.app import App
    from runner.engine.rehearse import Rehearsal
    from runner.model import Flow
    from runner.nodes.base import Context
    from runner.plan.earlier import Earlier
    from runner.plan.gather import Entry
    from runner.plan.result import Plan
    from runner.rows import RowFile

FORMS = ("text", "json", "markdown")
_ENDINGS = {".json": "json", ".md": "markdown", ".markdown": "markdown"}


@click.command(
    "plan",
    short_help="Show who gets what, and what has changed since a git revision.",
    epilog="""\b
Example:
  flowpost plan welcome --data contacts.csv
  flowpost plan welcome --data contacts.csv --against origin/main
  flowpost plan welcome --against HEAD~1 --format markdown -o comment.md
""",
)
@click.argument("flow")
@click.option("--data", metavar="FILE|-", help="Rows: CSV, NDJSON or a JSON array; - is standard input.")
@click.option("--body", metavar="JSON|@FILE|-", help="One trigger.body; default: FLOW.sample.json.")
@click.option("--key", metavar="COLUMN", help="What makes a row unique; rows that repeat it are named.")
@click.option("--against", metavar="REV", help="Show what changes in the messages since this git revision.")
@click.option("--limit", metavar="N", type=click.IntRange(0, 1000), default=5, help="Changes to show; 5.")
@click.option(
    "--format", "form", type=click.Choice(FORMS), help="How to answer; default: text, or what FILE is."
)
@click.option("-o", "--output", metavar="FILE", help="Write the plan into FILE (.md, .json, .txt).")
@click.pass_obj
def command(
    directory: Path,
    flow: str,
    data: str | None,
    body: str | None,
    key: str | None,
    against: str | None,
    limit: int,
    form: str | None,
    output: str | None,
) -> int:
    """Say what FLOW (a name or a path) would send for the rows of a file, or for one body. Nothing is sent.

    No server is asked and no database is opened: http nodes count as answered, and what needs their answer is
    counted as not known. Without the key of a credential, rates and the default sender are not known either.
    Exit 1: rows that cannot be sent.
    """
    import asyncio

    from runner.app import App
    from runner.cli.overwrite import check_target
    from runner.cli.planned import written

    if data is not None and body is not None:
        raise click.UsageError("--data and --body are two ways to say for whom: give one of them")
    form = form or ("text" if output is None else _ENDINGS.get(Path(output).suffix.lower(), "text"))
    app = App.open(directory, os.environ)
    if output is not None:
        check_target(app, Path(output), data)
    loaded = app.flow(flow)
    with _source(app, loaded, data, body, key) as (name, entries, file):
        plan = asyncio.run(_plan(app, loaded, name, entries, file, key, against, limit))
    text = written(plan, form)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            Path(output).write_text(click.unstyle(text), encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"cannot write {output}: {error.strerror}") from error
        click.echo(f"wrote {output}", err=True)
    return OK if plan.ok else FAILED


@contextmanager
def _source(
    app: App, flow: Flow, data: str | None, body: str | None, key: str | None
) -> Iterator[tuple[str | None, Iterable[Entry], RowFile | None]]:
    """The name of the data, its entries one by one, and the file behind them."""
    from datetime import UTC, datetime

    from runner.plan.gather import Entry, events
    from runner.plan.result import Place

    if data is None:
        from runner.cli.event import make_event

        event = make_event(flow, app.root, body, (), sample=True)
        yield None, [Entry(Place(1), event)], None
        return
    from runner.rows import open_rows

    with open_rows(data) as file:
        if key is not None and file.columns and key not in file.columns:
            raise click.UsageError(
                f'--key "{key}" is no column of {file.name}; its columns: {", ".join(file.columns)[:500]}'
            )
        yield file.name, events(file.rows(), datetime.now(UTC)), file


async def _plan(
    app: App,
    flow: Flow,
    name: str | None,
    entries: Iterable[Entry],
    file: RowFile | None,
    key: str | None,
    against: str | None,
    limit: int,
) -> Plan:
    from dataclasses import replace

    from runner.app import StoredCredentials
    from runner.plan.gather import Gatherer
    from runner.plan.result import Plan
    from runner.plan.wallet import Wallet
    from runner.plan.whereto import as_meant

    store = app.store()
    wallet = Wallet(StoredCredentials(store), store)
    plan = Plan(flow=flow.name, path=flow.path, data=name, delivery=app.settings.delivery)
    with ExitStack() as stack, _Progress() as progress:
        async with app.context(rehearsal=True, credentials=wallet) as context:
            context = replace(context, settings=as_meant(app.settings))
            before = None
            if against is not None:
                before = _before(stack, app, flow, against, context, file)
                plan.against = before[0].against
            gatherer = Gatherer(
                plan,
                _rehearsal(flow, context, file),
                wallet,
                before=None if before is None else before[1],
                key=key,
                limit=limit,
                progress=progress.show,
            )
            return await gatherer.gather(entries)


def _before(
    stack: ExitStack, app: App, flow: Flow, against: str, context: Context, file: RowFile | None
) -> tuple[Earlier, Rehearsal | None]:
    from dataclasses import replace

    from runner.plan.earlier import earlier
    from runner.plan.revision import workspace_at

    revision = stack.enter_context(workspace_at(app.root, against, app.environ))
    then = earlier(revision, flow, app.settings, app.environ)
    if then.flow is None:
        return then, None
    return then, _rehearsal(then.flow, replace(context, root=revision.root, settings=then.settings), file)


def _rehearsal(flow: Flow, context: Context, file: RowFile | None) -> Rehearsal:
    from runner.engine.rehearse import Rehearsal
    from runner.rows import coercer

    coerce: Callable[..., object] | None = None
    if file is not None and file.columns:
        coerce = coercer(flow.body)
    return Rehearsal(flow, context, coerce)


class _Progress:
    """On a terminal, how many rows were looked at; it wipes itself out."""

    def __init__(self) -> None:
        import sys

        self._shown = False
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def show(self, rows: int) -> None:
        """Say how far it is."""
        if self._terminal:
            self._shown = True
            click.echo(f"\r  {rows:,} rows …", nl=False, err=True)

    def __exit__(self, *given: object) -> None:
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)
