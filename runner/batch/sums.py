"""What came of the whole batch: the ledger's word, for other processes and earlier invocations have sent too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from runner.batch.feed import Feed, Item
from runner.batch.letters import Bodies
from runner.batch.report import Report
from runner.batch.tally import Result, Tally, already
from runner.batch.wishes import Face
from runner.errors import FlowpostError
from runner.ledger.batches import Ours, Record, RowState
from runner.ledger.writer import Writer

if TYPE_CHECKING:
    from runner.rows import Row, RowFile


_SENT = (RowState.SENT, RowState.UNKNOWN, RowState.FAILED)
"""A message was made, and sent or nearly."""


class Sums:
    """Told of each row's last word; a courier's and a carrier's watcher."""

    def __init__(
        self,
        tally: Tally,
        report: Report,
        bodies: Bodies,
        face: Face,
        ids: Callable[[Row], tuple[str, ...]],
    ) -> None:
        """``ids`` gives those of a row's messages, as far as they can be told without sending them."""
        self._ids = ids
        self._tally = tally
        self._report = report
        self._bodies = bodies
        self._face = face
        self._sent = 0

    def ended(self, item: Item, record: Record, message_ids: tuple[str, ...]) -> None:
        """A row has its last word, and it is on disk."""
        self._tally.add(record.state.value)
        self._sent += record.state is RowState.SENT
        if self._report.wanted:
            key = self.key(item.row)
            self._report.add(Result.of(record, line=item.row.line, key=key, message_ids=message_ids))
        self._face.progress(self._tally)

    def waits(self, number: int, seconds: float, why: str) -> None:
        """Rows wait."""
        self._face.waits(number, seconds, why)

    def stood(self, row: Row, record: Record) -> None:
        """A row had its last word before."""
        self._tally.add(already(record.state))
        self.stood_elsewhere(row, record)

    def rehearsed(
        self, row: Row, status: str, error: FlowpostError | None, ids: tuple[str, ...] | None
    ) -> None:
        """A row was looked at, and nothing is sent; ``ids`` are None where there is nothing to send."""
        status = status if ids is not None else "skipped"
        if error is None:
            self._tally.add(status)
        if self._report.wanted:
            self._report.add(
                Result(
                    row=row.number,
                    line=row.line,
                    key=self.key(row),
                    status=status if error is None else "invalid",
                    message_ids=ids or (),
                    error=None if error is None else error.as_dict(),
                )
            )

    def key(self, row: Row) -> str | None:
        """What the report calls the row."""
        try:
            return self._bodies.key_of(row)
        except FlowpostError:
            return None

    async def close(self, ours: Ours, writer: Writer, feed: Feed, file: RowFile) -> None:
        """Count what the ledger holds, and report the rows that others have carried."""
        held = await writer.write(ours.tally)
        tally = self._tally
        if feed.over or not tally.total:
            tally.total = max(tally.total, sum(held.values()))
        sent = held.get(RowState.SENT, 0)
        tally.counts = {
            "sent": self._sent,
            "already_sent": sent - self._sent,
            "failed": held.get(RowState.FAILED, 0),
            "unknown": held.get(RowState.UNKNOWN, 0) + held.get(RowState.SENDING, 0),
            "invalid": held.get(RowState.INVALID, 0),
            "skipped": held.get(RowState.SKIPPED, 0),
        }
        if self._report.wanted:
            await self._report_others(ours, writer, feed, file)

    async def _report_others(self, ours: Ours, writer: Writer, feed: Feed, file: RowFile) -> None:
        last = min(ours.last, self._tally.total)
        for number, first in enumerate(range(1, last + 1, ours.chunk)):
            if number in feed.seen:
                continue
            stretch = (first, min(first + ours.chunk - 1, last))
            records = await writer.write(partial(ours.records, first_=stretch[0], last=stretch[1]))
            for row in await asyncio.to_thread(_read, file, *stretch):
                if (record := records.get(row.number)) is not None:
                    self.stood_elsewhere(row, record)

    def stood_elsewhere(self, row: Row, record: Record) -> None:
        """A row that another process, or an earlier invocation, has carried."""
        if not self._report.wanted:
            return
        status = already(record.state)
        # Whoever is to find out what became of a message needs to know what to look for.
        ids = self._ids(row) if record.state in _SENT else ()
        self._report.add(Result.of(record, line=row.line, key=self.key(row), status=status, message_ids=ids))


def _read(file: RowFile, first: int, last: int) -> list[Row]:
    return list(file.rows(first, last))
