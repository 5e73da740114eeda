"""The look at every row before the first mail: read, checked, rendered, written, and nothing sent."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import insort
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.batch.carriage import KEPT, Elsewhere, Entry, Written
from runner.batch.keys import First, Keys
from runner.batch.letters import EVENT, Bodies, Letters, row_id
from runner.batch.stop import Stop
from runner.credential import SmtpCredential
from runner.errors import FlowpostError, SecretError
from runner.model import Event, Flow
from runner.nodes.base import Context

if TYPE_CHECKING:
    from runner.batch.second import Second
    from runner.rows import Row, RowFile

TOLD = 20
"""Bad rows that are told one by one."""
_BURST = 25


Told = Callable[["Row", FlowpostError | None, tuple[str, ...] | None], None]
"""Hears of each row what is wrong with it, else the ids of its messages as far as they are known, None without one."""


class Bad(NamedTuple):
    """A row that cannot be sent, and why."""

    row: int
    line: int | None
    error: FlowpostError


@dataclass(eq=False, repr=False)
class Found:
    """What the look came to. ``end`` is the last row of the data, None when ``--limit`` cut the look short."""

    total: int = 0
    end: int | None = None
    bad: list[Bad] = field(default_factory=list)
    bad_rows: int = 0
    doubles: Mapping[int, First] = field(default_factory=dict)
    """Rows whose key stands in an earlier one: they were counted as good, so look again with them left out."""
    messages: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    unforeseen: int = 0
    kept: dict[int, Written] = field(default_factory=dict)
    room: int = 0
    """Octets of messages that may still be kept."""

    def note(self, row: int, line: int | None, error: FlowpostError) -> None:
        """One more bad row."""
        self.bad_rows += 1
        # Not always in order: some rows are another process's.
        insort(self.bad, Bad(row, line, error), key=lambda bad: bad.row)
        del self.bad[TOLD:]

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

    def one(self, row: int, written: Written | bool | None, credential: str) -> None:
        """One more row of a flow that is one message a row. There is no message for None, and none to keep for True."""
        if written is None:
            self.skipped += 1
            return
        self.count(credential)
        if isinstance(written, bool):
            return
        if not isinstance(written, Elsewhere):
            if self.room <= 0:
                return
            self.room -= written.room
        self.kept[row] = written

    def count(self, credential: str) -> None:
        """One more message."""
        self.messages[credential] = self.messages.get(credential, 0) + 1


@dataclass(eq=False, repr=False)
class Preflight:
    """Looks at the rows of one batch. ``told`` hears how many rows have been looked at, and of each row's result."""

    file: RowFile
    bodies: Bodies
    limit: int | None
    stop: Stop
    progress: Callable[[int], None]
    done: Told | None = None

    async def count(self) -> Found:
        """Only count the rows, and find keys that come twice."""
        found = Found()
        keys = self._keys()
        async for row in self._rows(found):
            if keys is not None:
                with contextlib.suppress(FlowpostError):
                    keys.add(row)
        self._doubles(keys, found)
        return found

    async def one_message(
        self, letters: Letters, credential: SmtpCredential, *, keep: bool, second: Second | None = None
    ) -> Found:
        """For a flow that is one message a row. ``second`` writes the messages of as many rows as it can meanwhile."""
        found = Found(room=KEPT if keep else 0)
        keys = self._keys()
        away: deque[tuple[list[Row], asyncio.Future[list[Entry]]]] = deque()
        async for burst in self._bursts(found):
            while away and away[0][1].done():
                rows, entries = away.popleft()
                self._written(found, keys, letters.credential, rows, entries.result())
            if second is not None and second.free:
                away.append((burst, second.fill(burst[0].number, burst[-1].number)))
            else:
                self._written(
                    found,
                    keys,
                    letters.credential,
                    burst,
                    [self._entry(letters, row, credential) for row in burst],
                )
        for rows, entries in away:
            self._written(found, keys, letters.credential, rows, await entries)
        self._doubles(keys, found)
        return found

    async def any_flow(self, flow: Flow, context: Context, batch_id: str, time: datetime) -> Found:
        """For any other flow: each row is rehearsed."""
        # Here, since a flow of one mail goes without it and all that it needs.
        from runner.engine.rehearse import Rehearsal

        found = Found()
        keys = self._keys()
        rehearsal = Rehearsal(replace(flow, body=None), replace(context, started=time))
        async for row in self._rows(found):
            try:
                body = self.bodies.of(row)
                event = Event(type=EVENT, body=body, time=time)
                rehearsed = await rehearsal.rehearse(event, row_id(batch_id, row.number))
                if rehearsed.error is not None:
                    raise rehearsed.error
            except SecretError:
                raise
            except FlowpostError as error:
                found.note(row.number, row.line, error)
                self._tell(row, error, None)
                continue
            if keys is not None:
                keys.add(row)
            for message in rehearsed.messages:
                found.count(message.credential)
            unforeseen = [each for each in rehearsed.unforeseen if each.type == "smtp"]
            found.unforeseen += bool(unforeseen)
            for each in unforeseen:
                # It is sent, whatever the answer makes of it.
                if each.credential is not None and each.certain:
                    found.count(each.credential)
            if not rehearsed.messages and not unforeseen:
                found.skipped += 1
            self._tell(row, None, () if rehearsed.messages or unforeseen else None)
        self._doubles(keys, found)
        return found

    def _entry(self, letters: Letters, row: Row, credential: SmtpCredential) -> Entry:
        try:
            return letters.fill(row.number, self.bodies.of(row), credential)
        except FlowpostError as error:
            return error

    def _written(
        self, found: Found, keys: Keys | None, credential: str, rows: list[Row], entries: list[Entry]
    ) -> None:
        for row, entry in zip(rows, entries, strict=True):
            if isinstance(entry, SecretError):
                raise entry
            if isinstance(entry, FlowpostError):
                found.note(row.number, row.line, entry)
                self._tell(row, entry, None)
                continue
            if keys is not None:
                keys.add(row)
            found.one(row.number, entry, credential)
            # A message that was not kept has an id too, that nobody asks for.
            ids = () if isinstance(entry, bool) else (entry.message_id,) if entry is not None else None
            self._tell(row, None, ids)

    def _tell(self, row: Row, error: FlowpostError | None, ids: tuple[str, ...] | None) -> None:
        if self.done is not None:
            self.done(row, error, ids)

    def _keys(self) -> Keys | None:
        return Keys(self.bodies.key_of) if self.bodies.key is not None else None

    async def _rows(self, found: Found) -> AsyncIterator[Row]:
        async for burst in self._bursts(found):
            for row in burst:
                yield row

    async def _bursts(self, found: Found) -> AsyncIterator[list[Row]]:
        """The rows, with a breath for the loop between some and the next; notes how many there were."""
        rows = iter(self.file.rows(1, self.limit))
        while burst := list(islice(rows, _BURST)):
            yield burst
            found.total += len(burst)
            self.progress(found.total)
            if self.stop.asked:
                return
            await asyncio.sleep(0)
        if self.limit is None or found.total < self.limit:
            found.end = found.total

    def _doubles(self, keys: Keys | None, found: Found) -> None:
        if keys is not None:
            found.doubles = keys.doubles(lambda: self.file.rows(1, self.limit))
