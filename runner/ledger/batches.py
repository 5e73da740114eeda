"""The batches of a database: which rows of which file have which outcome, and who works on what.

A batch's rows are cut into chunks; a process claims one, works it off, and says so. A chunk whose process has died
is claimed by another, and what was being sent there then is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from runner.ledger.database import execute, first, rows
from runner.ledger.delivery import Replies, dump_replies, load_replies
from runner.ledger.presence import DEAD

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FAR = 2**62

Decide = Callable[["Connection", int], "RowState"]
"""What becomes of a row that is unknown, by its number: UNKNOWN, unless somebody has decided."""


class RowState(StrEnum):
    """Where a row stands. ``sending`` is the intent: on disk before DATA, gone once the outcome is."""

    SENDING = "sending"
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    INVALID = "invalid"


FINAL = frozenset({RowState.SENT, RowState.FAILED, RowState.UNKNOWN, RowState.SKIPPED, RowState.INVALID})


class Record(NamedTuple):
    """What the ledger holds of a row. ``error`` is ``FlowpostError.as_dict()``."""

    number: int
    state: RowState
    attempts: int = 0
    replies: Replies | None = None
    response: str | None = None
    error: Mapping[str, object] | None = None

    def columns(self) -> tuple[object, ...]:
        """The row of the table, without the batch and the moment; what is left out at its end is NULL."""
        head = (self.number, self.state.value, self.attempts)
        if self.replies is None and self.response is None and self.error is None:
            return head
        # Nearly always nobody was refused, and the outer JSON holds the replies as they are. What somebody else has
        # worded is a text in it: PostgreSQL takes no NUL in JSON, and in no text of its own either.
        replies = None if self.replies is None else dict(self.replies)
        told = dump_replies(replies) if replies and any(replies.values()) else replies
        response = None if self.response is None else self.response.replace("\0", "")
        return (*head, told, response, None if self.error is None else json.dumps(self.error))


class Known(NamedTuple):
    """A batch as the database has it. ``facts`` describe its data, for whoever asks what has changed."""

    serial: int
    flow: str
    digest: str
    data: str
    facts: Mapping[str, object]
    chunk: int
    tally: Mapping[RowState, int]


class Claim(NamedTuple):
    """A chunk that is this process's now. ``fresh``: nobody had it before."""

    number: int
    first: int
    last: int
    known: Mapping[int, Record]
    fresh: bool


class Ours:
    """One batch, as one process works on it. Each method is one transaction's work."""

    def __init__(
        self,
        serial: int,
        chunk: int,
        owner: str,
        *,
        dialect: str,
        last: int | None,
        decide: Decide = lambda connection, number: RowState.UNKNOWN,
        fate: Callable[[str | None, int], RowState] = lambda owner, number: RowState.UNKNOWN,
    ) -> None:
        """``dialect`` is the database's; with SQLite no other process can live.

        ``last``: the last row that is asked for, None for all. ``fate`` says what became of the message of a dead
        owner's row, whose intent stands: PENDING when it never left, SENT, or UNKNOWN.
        """
        self._decide = decide
        self._fate = fate
        self._dialect = dialect
        self.serial = serial
        self.chunk = chunk
        self.owner = owner
        self._alone = dialect == "sqlite"
        self.last = _FAR if last is None else last
        self._bound = _FAR if last is None else -(-last // chunk)

    def end(self, row: int) -> None:
        """Note that the data ends with this row."""
        self.last = min(self.last, row)
        self._bound = -(-self.last // self.chunk)

    def claim(self, connection: Connection) -> Claim | None:
        """The next chunk to work on; None when none is free."""
        own = {"batch": self.serial, "owner": self.owner, "bound": self._bound}
        while (
            free := first(connection, "batches.free_chunk", **own, alone=int(self._alone), limit=DEAD)
        ) is not None:
            values = {"batch": self.serial, "owner": self.owner, "number": free["number"]}
            if first(connection, "batches.take_chunk", **values, seen=free["owner"]) is not None:
                return self._claimed(connection, free["number"], fresh=False)
        new = first(connection, "batches.new_chunk", **own)
        return None if new is None else self._claimed(connection, new["number"], fresh=True)

    def _claimed(self, connection: Connection, number: int, *, fresh: bool) -> Claim:
        first_, last = number * self.chunk + 1, (number + 1) * self.chunk
        execute(connection, "batches.hold_rows", batch=self.serial, first=first_, last=last)
        self._decide_unknown(connection, first_, last)
        return Claim(number, first_, last, self.records(connection, first_, last), fresh)

    def records(self, connection: Connection, first_: int, last: int) -> dict[int, Record]:
        """What is known of a stretch of rows."""
        found = rows(connection, "batches.rows", batch=self.serial, first=first_, last=last)
        return {row["number"]: _record(dict(row)) for row in found}

    def turn(self, connection: Connection, records: Sequence[Record], finished: Iterable[int]) -> set[int]:
        """Write where rows stand, and which chunks are done; returns the chunks that are still ours.

        Nothing is written of rows in other chunks: whoever has them now decides about them.
        """
        held = {
            row["number"]
            for row in rows(connection, "batches.hold_chunks", batch=self.serial, owner=self.owner)
        }
        # The last word of each row: PostgreSQL takes no row twice in one statement.
        latest = {record.number: record for record in records if (record.number - 1) // self.chunk in held}
        if latest:
            rows_ = json.dumps([record.columns() for record in latest.values()])
            execute(connection, f"batches.put_rows_{self._dialect}", batch=self.serial, rows=rows_)
        for number in finished:
            execute(connection, "batches.finish_chunk", batch=self.serial, number=number, owner=self.owner)
        return held

    def release(self, connection: Connection) -> None:
        """Leave what is not done to whoever comes."""
        execute(connection, "batches.release_chunks", batch=self.serial, owner=self.owner)

    def open_chunks(self, connection: Connection) -> int:
        """How many chunks somebody has begun and nobody finished."""
        row = first(connection, "batches.open_chunks", batch=self.serial, bound=self._bound)
        assert row is not None
        return int(row["number"])

    def tally(self, connection: Connection) -> dict[RowState, int]:
        """How many rows are in which state, whoever put them there."""
        found = rows(connection, "batches.tally", batch=self.serial, last=self.last)
        return {RowState(row["state"]): row["number"] for row in found}

    def reopen(self, connection: Connection, states: Iterable[RowState]) -> None:
        """Let rows of these states be tried again, and act on what was decided about unknown ones."""
        for state in states:
            execute(connection, "batches.reopen", batch=self.serial, state=state.value, last=self.last)
        if self._alone:
            self._take_back(connection)
        self._decide_unknown(connection, 1, self.last)
        execute(connection, "batches.reopen_chunks", batch=self.serial, chunk=self.chunk)

    def _take_back(self, connection: Connection) -> None:
        """Whoever was sending is dead: what is not known of its messages is unknown."""
        stood = list(rows(connection, "batches.sending_rows", batch=self.serial, chunk=self.chunk))
        execute(connection, "batches.hold_rows", batch=self.serial, first=1, last=_FAR)
        for row in stood:
            if (state := self._fate(row["owner"], row["number"])) is not RowState.UNKNOWN:
                self._decided(connection, row["number"], state, "accepted before the process was killed")

    def _decide_unknown(self, connection: Connection, first_: int, last: int) -> None:
        stretch = {"batch": self.serial, "first": first_, "last": last}
        for row in rows(connection, "batches.unknown_rows", **stretch):
            if (state := self._decide(connection, row["number"])) is not RowState.UNKNOWN:
                self._decided(connection, row["number"], state, "resolved as sent")

    def _decided(self, connection: Connection, number: int, state: RowState, response: str) -> None:
        values = {"batch": self.serial, "number": number, "state": state.value}
        told = response if state is RowState.SENT else None
        execute(connection, "batches.decide_row", **values, response=told)


def find_batch(connection: Connection, batch_id: str) -> Known | None:
    """The batch of that id, None when it has not begun."""
    row = first(connection, "batches.get", id=batch_id)
    if row is None:
        return None
    found = rows(connection, "batches.tally", batch=row["serial"], last=_FAR)
    tally = {RowState(each["state"]): each["number"] for each in found}
    facts = json.loads(row["facts"])
    return Known(row["serial"], row["flow"], row["digest"], row["data"], facts, row["chunk"], tally)


def open_batch(
    connection: Connection,
    batch_id: str,
    *,
    flow: str,
    digest: str,
    data: str,
    facts: Mapping[str, object],
    chunk: int,
) -> Known:
    """The batch of that id, made when there is none."""
    values = {"id": batch_id, "flow": flow, "digest": digest, "data": data, "chunk": chunk}
    execute(connection, "batches.insert", **values, facts=json.dumps(facts))
    known = find_batch(connection, batch_id)
    assert known is not None
    return known


def change_batch(connection: Connection, serial: int, digest: str, facts: Mapping[str, object]) -> None:
    """Go on with this version of the flow, and remember this of the data."""
    execute(connection, "batches.change", batch=serial, digest=digest, facts=json.dumps(facts))


def _record(row: dict[str, object]) -> Record:
    replies, error = row["replies"], row["error"]
    return Record(
        int(str(row["number"])),
        RowState(str(row["state"])),
        int(str(row["attempts"])),
        None if replies is None else load_replies(str(replies)),
        None if row["response"] is None else str(row["response"]),
        None if error is None else json.loads(str(error)),
    )
