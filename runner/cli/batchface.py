"""What a person, or a log, sees of a batch: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import signal
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from runner.cli.boundary import printable

if TYPE_CHECKING:
    from runner.batch.forecast import Forecast
    from runner.batch.preflight import Found
    from runner.batch.tally import Tally
    from runner.errors import FlowpostError

EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""
_OFTEN = 0.1


def make_face(stream: TextIO, *, yes: bool, dry_run: bool) -> Lines:
    """The face that fits the stream."""
    kind = Bar if stream.isatty() else Lines
    return kind(stream, yes=yes, dry_run=dry_run)


class Lines:
    """Plain lines."""

    def __init__(self, stream: TextIO, *, yes: bool, dry_run: bool) -> None:
        self.stream = stream
        self._yes = yes
        self._dry_run = dry_run
        self._told = time.monotonic()
        self._waits_told = -1e9
        self._left: int | None = None
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def line(self, text: str) -> None:
        """Print one line."""
        click.echo(text, file=self.stream)

    def clear(self) -> None:
        """Take away what is not meant to stay."""

    def checking(self, rows: int) -> None:
        """So many rows have been looked at."""
        if self._due(EVERY):
            self.line(f"checking: {rows:,} rows")

    def bad(self, found: Found, data: str, *, left_out: bool) -> None:
        """Rows that cannot be sent."""
        self.clear()
        for bad in found.bad:
            place = data if bad.line is None else f"{data}:{bad.line}"
            # An error that stands alone elsewhere says where it is, too.
            told = printable(bad.error.message).removeprefix(f"row {bad.row} (line {bad.line}) ")
            self.line(f"{place}: row {bad.row:,}: {click.style(told, fg='red')} [{bad.error.code}]")
            if bad.error.hint:
                self.line(f"  hint: {printable(bad.error.hint)}")
        if found.bad_rows > len(found.bad):
            self.line(f"… and {found.bad_rows - len(found.bad):,} more")
        rows = _rows(found.bad_rows)
        if left_out:
            self.line(f"{rows} of {found.total:,} left out")
        elif self._dry_run:
            self.line(f"{rows} of {found.total:,} cannot be sent")
        else:
            self.line(
                f"{rows} of {found.total:,} cannot be sent, so nothing was sent\n"
                "hint: mend them, or leave them out with --skip-invalid"
            )

    def agree(self, forecast: Forecast) -> bool:
        """Show what will happen, and ask on a terminal."""
        self.clear()
        for text in told(forecast):
            self.line(text)
        if self._dry_run or forecast.delivery == "capture":
            return True
        self._left = None if forecast.total is None else forecast.total - forecast.already
        agreed = self._left == 0 or self._yes or self._ask()
        self._begun = time.monotonic()
        return agreed

    def _ask(self) -> bool:
        from runner.errors import UsageError

        raise UsageError(
            "there is no terminal to ask at, so nothing was sent", hint="--yes sends without asking"
        )

    def progress(self, tally: Tally) -> None:
        """Some more rows have their outcome."""
        if self._due(EVERY):
            self.line(_progress(tally, self._begun))

    def waits(self, number: int, seconds: float, why: str) -> None:
        """So many rows wait."""
        now = time.monotonic()
        if now - self._waits_told >= 2 * EVERY or (seconds > 60 and now - self._waits_told > 60):
            self._waits_told = now
            self.line(f"{_rows(number)} wait{'s' if number == 1 else ''} {_span(seconds)}: {printable(why)}")

    def _due(self, every: float) -> bool:
        now = time.monotonic()
        if now - self._told < every:
            return False
        self._told = now
        return True


class Bar(Lines):
    """A progress bar that goes away when it is done."""

    def __init__(self, stream: TextIO, *, yes: bool, dry_run: bool) -> None:
        super().__init__(stream, yes=yes, dry_run=dry_run)
        self._bar: Any = None
        self._task: Any = None

    def clear(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def checking(self, rows: int) -> None:
        """So many rows have been looked at."""
        if self._due(_OFTEN):
            self._show("checking", None, rows, "")

    def progress(self, tally: Tally) -> None:
        """Some more rows have their outcome."""
        if self._due(_OFTEN):
            trouble = [f"{tally[name]:,} {name}" for name in ("failed", "unknown", "invalid") if tally[name]]
            self._show("sending", tally.total or None, tally.settled, ", ".join(trouble))

    def waits(self, number: int, seconds: float, why: str) -> None:
        """So many rows wait."""
        if self._bar is not None and seconds > 1:
            self._bar.update(
                self._task, note=f"{_rows(number)} waiting {_span(seconds)}: {printable(why)[:60]}"
            )

    def _ask(self) -> bool:
        if not sys.stdin.isatty():
            # The rows came from there.
            return super()._ask()
        # The loop does not run while somebody thinks, and so would not hear Ctrl-C.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return click.confirm("send them now?", err=True, default=False)
        finally:
            signal.signal(signal.SIGINT, before)

    def _show(self, what: str, total: int | None, done: int, note: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[note]}"),
                console=Console(file=self.stream),
                transient=True,
            )
            self._task = self._bar.add_task(what, total=total, rate="", note="")
            self._bar.start()
        seconds = max(0.001, time.monotonic() - self._begun)
        self._bar.update(
            self._task,
            description=what,
            total=total,
            completed=done,
            rate=f"{done / seconds:,.0f}/s",
            note=note,
        )


def told(forecast: Forecast) -> list[str]:
    """The plan as lines."""
    from runner.ledger.estimate import duration_text

    total = "rows" if forecast.total is None else _rows(forecast.total)
    lines = [f"batch {forecast.batch_id}: {total} of {forecast.data} through flow {forecast.flow}"]
    if forecast.goes_on:
        has = "has its" if forecast.already == 1 else "have their"
        lines.append(f"  goes on: {_rows(forecast.already)} {has} outcome already")
    for share in forecast.shares:
        lines.append(f"  {share.told}")
    if forecast.unforeseen:
        lines.append(f"  {_rows(forecast.unforeseen)} whose messages depend on what a server answers")
    if forecast.skipped:
        lines.append(f"  {_rows(forecast.skipped)} with nothing to send")
    if forecast.bad:
        lines.append(f"  {_rows(forecast.bad)} left out")
    if forecast.delivery != "live":
        lines.append(f"  delivery: {forecast.delivery}")
    if len(forecast.shares) > 1:
        lines.append(f"  at least {duration_text(forecast.seconds)} in all")
    return lines


def present(
    stream: TextIO,
    tally: Tally,
    stopped: FlowpostError | None,
    *,
    interrupted: bool,
    quiet: bool,
    begun: bool,
    resume: str,
) -> None:
    """What came of it, and how to go on. ``begun``: it was not stopped by rows that cannot be sent."""

    def line(text: str) -> None:
        click.echo(text, file=stream)

    if stopped is not None:
        line(f"{click.style('stopped', fg='red')}: {printable(stopped.message)} [{stopped.code}]")
        if stopped.hint:
            line(f"  hint: {printable(stopped.hint)}")
    names = ("sent", "already_sent", "failed", "unknown", "invalid", "skipped", "rendered", "captured")
    parts = [f"{tally[name]:,} {name.replace('_', ' ')}" for name in names if tally[name]]
    left = tally.total - tally.settled
    if left > 0:
        parts.append(f"{left:,} left")
    good = tally.clean and stopped is None
    summary = ", ".join(parts) or "nothing to do"
    rate = f", {tally['sent'] / tally.seconds:,.0f}/s" if tally["sent"] > 1 and tally.seconds > 0.01 else ""
    line(
        f"batch {tally.batch_id}: {click.style(summary, fg='green' if good else 'red')} in {_span(tally.seconds)}{rate}"
    )
    if quiet:
        return
    if begun and (interrupted or stopped is not None or left > 0):
        line(f"go on with:\n  {resume}")
    if tally["unknown"]:
        alone = "is not mailed again on its" if tally["unknown"] == 1 else "are not mailed again on their"
        line(
            f"{_rows(tally['unknown'])} may have been delivered or not, and so {alone} own; "
            "the server's log knows the message_ids that --report gives:\n"
            f"  {resume} --unknown-sent all  # they arrived; or those that did: --unknown-sent 17,40-60\n"
            f"  {resume} --resend-unknown  # they did not"
        )
    if tally["failed"]:
        line(f"try the {_rows(tally['failed'])} that failed again with:\n  {resume} --retry-failed")


def _progress(tally: Tally, begun: float) -> str:
    done, total = tally.settled, tally.total
    rate = done / max(0.001, time.monotonic() - begun)
    text = f"{done:,} of {total:,} rows" if total else f"{done:,} rows"
    trouble = [f"{tally[name]:,} {name}" for name in ("failed", "unknown", "invalid") if tally[name]]
    left = f", {_span((total - done) / rate)} left" if total and rate else ""
    return f"{text}, {rate:,.0f}/s{left}" + (f" ({', '.join(trouble)})" if trouble else "")


def _rows(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"


def _span(seconds: float) -> str:
    from runner.ledger.estimate import duration_text

    return f"{seconds:.1f} s" if seconds < 10 else duration_text(seconds)
