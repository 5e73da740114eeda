"""``flowpost batch``: a run of a flow for each row of a file, once and only once."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.boundary import FAILED, INTERRUPTED, OK, USAGE, explain

if TYPE_CHECKING:
    from runner.app import App
    from runner.batch.tally import Tally
    from runner.batch.wishes import Wishes
    from runner.credential import Rate
    from runner.model import Flow


@click.command(
    "batch",
    short_help="Send one message a row of a file, once and only once.",
    epilog="""\b
Example:
  flowpost batch welcome --data contacts.csv --dry-run
  flowpost batch welcome --data contacts.csv --key email --yes --report sent.ndjson
  psql -c "copy leads to stdout csv header" | flowpost batch welcome --data - --yes
""",
)
@click.argument("flow")
@click.option(
    "--data",
    metavar="FILE|-",
    required=True,
    help="The rows: CSV, NDJSON or a JSON array; - reads standard input.",
)
@click.option(
    "--data-format",
    type=click.Choice(["csv", "tsv", "ndjson", "json"]),
    help="What the rows are, where the file's name does not say it.",
)
@click.option("--key", metavar="COLUMN", help="What makes a row unique: a value that comes twice is refused.")
@click.option(
    "--batch-id", metavar="NAME", help="Name the batch; the default derives from the flow and the data."
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N rows.")
@click.option(
    "--rate", metavar="RATE", help="At most so many messages, for example 10/s; shared by every process."
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 1000),
    help="Connections at a time, at most what the credential allows; for flows of several nodes, rows at a time.",
)
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, 2),
    help="1 or 2 processes for one command; default: 2 where there is enough data and more than one processor.",
)
@click.option("--no-preflight", is_flag=True, help="Do not look at every row before the first mail.")
@click.option("--skip-invalid", is_flag=True, help="Leave rows out that cannot be sent, and report them.")
@click.option(
    "--unknown-sent",
    metavar="all|ROWS",
    help="Count rows as sent whose delivery is unknown: all, or for example 17,40-60.",
)
@click.option(
    "--resend-unknown",
    is_flag=True,
    help="Send the other rows again whose delivery is unknown: some may get it twice.",
)
@click.option("--retry-failed", is_flag=True, help="Try rows again that failed in an earlier invocation.")
@click.option(
    "--accept-changed-flow", is_flag=True, help="Go on although the flow has changed since the batch began."
)
@click.option("--dry-run", is_flag=True, help="Check and render every row, send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write NDJSON, a line a row; - writes to standard output.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to sum up.")
@click.pass_obj
def command(
    directory: Path,
    flow: str,
    data: str,
    data_format: str | None,
    key: str | None,
    batch_id: str | None,
    limit: int | None,
    rate: str | None,
    concurrency: int | None,
    processes: int | None,
    no_preflight: bool,
    skip_invalid: bool,
    unknown_sent: str | None,
    resend_unknown: bool,
    retry_failed: bool,
    accept_changed_flow: bool,
    dry_run: bool,
    yes: bool,
    report: Path | None,
    form: str,
) -> int:
    """Run FLOW once for each row of a file.

    The same command goes on where it stopped, whatever stopped it, and sends nothing twice. A row is
    trigger.body; the cells of a CSV are text, or what the flow's body schema says.
    """
    from runner.app import App
    from runner.batch.identity import check_id
    from runner.batch.unknown import Rows
    from runner.batch.wishes import Wishes
    from runner.errors import UsageError

    if not data:
        raise UsageError("--data names no file", hint="give the path of a CSV, NDJSON or JSON file, or -")
    app = App.open(directory, os.environ)
    loaded = app.flow(flow)
    wishes = Wishes(
        batch_id=None if batch_id is None else check_id(batch_id),
        key=key,
        limit=limit,
        rate=None if rate is None else _rate(rate),
        concurrency=concurrency,
        processes=processes,
        preflight=not no_preflight,
        skip_invalid=skip_invalid,
        unknown_sent=None if unknown_sent is None else Rows.parse(unknown_sent),
        resend_unknown=resend_unknown,
        retry_failed=retry_failed,
        accept_changed_flow=accept_changed_flow,
        dry_run=dry_run,
    )
    return _batch(app, loaded, data, data_format, wishes, report, form, yes=yes)


def _batch(
    app: App,
    flow: Flow,
    data: str,
    data_format: str | None,
    wishes: Wishes,
    report_path: Path | None,
    form: str,
    *,
    yes: bool,
) -> int:
    import asyncio
    from contextlib import closing

    from runner.batch.report import Report
    from runner.batch.wishes import Refused
    from runner.cli.batchface import make_face, present
    from runner.errors import FlowpostError, SecretError, UsageError
    from runner.loops import loop_factory
    from runner.rows import open_rows

    if report_path is not None:
        _check_report(app, report_path, data, form)
    face = make_face(sys.stderr, yes=yes, dry_run=wishes.dry_run)
    report = Report(report_path)
    stopped: FlowpostError | None = None
    begun = False
    spool = _spool(app, data, dry_run=wishes.dry_run)
    with closing(report), open_rows(data, format=data_format, spool=spool) as file:
        if wishes.key is not None and file.columns and wishes.key not in file.columns:
            raise UsageError(
                f'--key "{wishes.key}" is no column of {file.name}',
                hint=f"its columns are {', '.join(file.columns[:20])}",
            )

        async def run() -> tuple[Tally, bool]:
            nonlocal begun, stopped
            async with app.batch(flow, file, wishes, face, report) as batch:
                try:
                    await batch.run()
                except FlowpostError as error:
                    if not batch.begun:
                        raise
                    stopped = error
                finally:
                    begun = batch.begun
                return batch.tally, batch.stop.interrupted

        try:
            with face, asyncio.Runner(loop_factory=loop_factory()) as runner:
                tally, interrupted = runner.run(run())
        except Refused:
            click.echo("nothing was sent", err=True)
            return FAILED
        except SecretError as error:
            # Before the first mail: it is the configuration that has to be mended, and no row has failed.
            click.echo(explain(error), err=True)
            return USAGE
        finally:
            report.close()
    if interrupted and not begun:
        click.echo("interrupted while the rows were looked at: nothing was sent", err=True)
        return INTERRUPTED
    if report.failure is not None:
        click.echo(f"the report {report_path} could not be written to its end: {report.failure}", err=True)
    present(
        sys.stderr,
        tally,
        stopped,
        interrupted=interrupted,
        quiet=wishes.dry_run,
        begun=begun,
        resume=_resume(),
    )
    if form == "json":
        import json

        click.echo(json.dumps({**tally.as_dict(), **({"dry_run": True} if wishes.dry_run else {})}))
    if interrupted:
        return INTERRUPTED
    return OK if tally.clean and stopped is None and report.failure is None else FAILED


def _check_report(app: App, path: Path, data: str, form: str) -> None:
    from runner.batch.report import STDOUT
    from runner.cli.overwrite import check_target
    from runner.errors import UsageError

    if path != STDOUT:
        check_target(app, path, data)
    elif form == "json":
        raise UsageError(
            "--report - and --format json both write to standard output", hint="give --report a file"
        )


def _spool(app: App, data: str, *, dry_run: bool) -> Path | None:
    """Where standard input is kept while the batch runs: beside the state, which is as private."""
    if data != "-" or dry_run:
        return None
    folder = app.root / ".flowpost"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _rate(text: str) -> Rate:
    from runner.credential import Rate
    from runner.errors import UsageError
    from runner.units import rate

    try:
        return Rate(*rate(text))
    except ValueError as error:
        raise UsageError(
            f'--rate "{text[:40]}" is not a rate', hint="for example 14/s or 500/day; at most 999999999"
        ) from error


def _resume() -> str:
    """The command as it was given, so that it goes on where this one stopped.

    Without what was decided about rows of earlier invocations: that is done, and rows of this one are others.
    """
    words, given = ["flowpost"], iter(sys.argv[1:])
    for word in given:
        if word == "--unknown-sent":
            next(given, None)
        elif word not in ("--resend-unknown", "--retry-failed") and not word.startswith("--unknown-sent="):
            words.append(word)
    if "--yes" not in words:
        words.append("--yes")
    return shlex.join(words)
