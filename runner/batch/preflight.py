"""The look at every row before the first mail: read, checked, rendered, written, and nothing sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from runner.batch.keys import Keys
from runner.batch.letters import EVENT, Bodies, Letters, row_id
from runner.batch.stop import Stop
from runner.credential import SmtpCredential
from runner.engine.rehearse import Rehearsal
from runner.errors import FlowpostError, SecretError, UsageError
from runner.model import Event, Flow
from runner.nodes.base import Context
from runner.nodes.prepared import Filled

if TYPE_CHECKING:
    from runner.rows import Row, RowFile

TOLD = 20
"""Bad rows that are told one by one."""
KEPT = 48 * 2**20
"""Octets of messages that are kept for the sending, so that a small batch is written once."""
_BURST = 25


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that cannot be sent, and why."""

    row: int
    line: int | None
    error: FlowpostError


@dataclass
class Found:
    """What the look came to. ``end`` is the last row of the data, None when ``--limit`` cut the look short."""

    total: int = 0
    end: int | None = None
    bad: list[Bad] = field(default_factory=list)
    bad_rows: int = 0
    doubles: dict[int, Bad] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    unforeseen: int = 0
    kept: dict[int, Filled] = field(default_factory=dict)

    def note(self, row: int, line: int | None, error: FlowpostError) -> None:
        """One more bad row."""
        self.bad_rows += 1
        if len(self.bad) < TOLD:
            self.bad.append(Bad(row, line, error))

    def summary(self) -> dict[str, object]:
        """What is worth remembering when every row was good."""
        return {
            "total": self.total,
            "end": self.end,
            "messages": self.messages,
            "skipped": self.skipped,
            "unforeseen": self.unforeseen,
        }

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Found:
        """What ``summary`` gave, for the same rows."""
        return cls(
            total=summary["total"],
            end=summary["end"],
            messages=dict(summary["messages"]),
            skipped=summary["skipped"],
            unforeseen=summary["unforeseen"],
        )

    def count(self, credential: str) -> None:
        """One more message."""
        self.messages[credential] = self.messages.get(credential, 0) + 1


@dataclass
class Preflight:
    """Looks at the rows of one batch. ``told`` hears how many rows have been looked at, and of each row's result."""

    file: RowFile
    bodies: Bodies
    limit: int | None
    stop: Stop
    progress: Callable[[int], None]
    done: Callable[[Row, FlowpostError | None, tuple[str, ...]], None] | None = None

    async def count(self) -> Found:
        """Only count the rows, and find keys that come twice."""
        found = Found()
        keys = Keys(self.bodies.key_of) if self.bodies.key is not None else None
        async for row in self._rows(found):
            if keys is not None:
                self._key(keys, row, found)
        self._doubles(keys, found)
        return found

    async def one_message(self, letters: Letters, credential: SmtpCredential, *, keep: bool) -> Found:
        """For a flow that is one message a row."""
        found = Found()
        keys = Keys(self.bodies.key_of) if self.bodies.key is not None else None
        room = KEPT if keep else 0
        async for row in self._rows(found):
            try:
                body = self.bodies.of(row)
                filled = letters.fill(row.number, body, credential)
                if keys is not None:
                    keys.add(row)
            except SecretError:
                raise
            except FlowpostError as error:
                found.note(row.number, row.line, error)
                self._tell(row, error, ())
                continue
            if filled is None:
                found.skipped += 1
            else:
                found.count(letters.credential)
                if room > 0:
                    room -= len(filled.data) + 1024
                    found.kept[row.number] = filled
            self._tell(row, None, () if filled is None else (filled.message_id,))
        self._doubles(keys, found)
        return found

    async def any_flow(self, flow: Flow, context: Context, batch_id: str, time: datetime) -> Found:
        """For any other flow: each row is rehearsed."""
        found = Found()
        keys = Keys(self.bodies.key_of) if self.bodies.key is not None else None
        rehearsal = Rehearsal(replace(flow, body=None), replace(context, started=time))
        async for row in self._rows(found):
            try:
                body = self.bodies.of(row)
                event = Event(type=EVENT, body=body, time=time)
                rehearsed = await rehearsal.rehearse(event, row_id(batch_id, row.number))
                if rehearsed.error is not None:
                    raise rehearsed.error
                if keys is not None:
                    keys.add(row)
            except SecretError:
                raise
            except FlowpostError as error:
                found.note(row.number, row.line, error)
                self._tell(row, error, ())
                continue
            for message in rehearsed.messages:
                found.count(message.credential)
            unforeseen = [each for each in rehearsed.unforeseen if each.type == "smtp"]
            found.unforeseen += bool(unforeseen)
            if not rehearsed.messages and not unforeseen:
                found.skipped += 1
            self._tell(row, None, ())
        self._doubles(keys, found)
        return found

    def _tell(self, row: Row, error: FlowpostError | None, ids: tuple[str, ...]) -> None:
        if self.done is not None:
            self.done(row, error, ids)

    def _key(self, keys: Keys, row: Row, found: Found) -> None:
        try:
            keys.add(row)
        except FlowpostError as error:
            found.note(row.number, row.line, error)

    async def _rows(self, found: Found) -> AsyncIterator[Row]:
        """Each row, with a breath for the loop now and then; notes how many there were."""
        rows = iter(self.file.rows(1, self.limit))
        while burst := list(islice(rows, _BURST)):
            for row in burst:
                yield row
            found.total += len(burst)
            self.progress(found.total)
            if self.stop.asked:
                return
            await asyncio.sleep(0)
        if self.limit is None or found.total < self.limit:
            found.end = found.total

    def _doubles(self, keys: Keys | None, found: Found) -> None:
        if keys is None:
            return
        for double in keys.doubles(lambda: self.file.rows(1, self.limit)):
            error = UsageError(
                f'the key "{double.key}" stands in row {double.first_row} already'
                + ("" if double.first_line is None else f" (line {double.first_line})"),
                hint="each row needs a key of its own: remove one of them, or choose another --key",
            )
            bad = Bad(double.row, double.line, error)
            found.doubles[double.row] = bad
            found.kept.pop(double.row, None)
            found.note(double.row, double.line, error)
