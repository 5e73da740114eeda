"""The batch in the ledger: found again or opened, compared with what it was, and kept from a second process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runner.batch.identity import check_flow, check_same, facts
from runner.batch.letters import row_id
from runner.batch.unknown import Decisions
from runner.batch.wishes import Wishes
from runner.ledger.batches import (
    FINAL,
    Known,
    Ours,
    Record,
    RowState,
    change_batch,
    find_batch,
    open_batch,
)
from runner.ledger.database import Database
from runner.ledger.flights import Flights, Traces
from runner.ledger.lock import FileLock
from runner.ledger.writer import Writer
from runner.model import Flow, Settings

if TYPE_CHECKING:
    from runner.rows import RowFile

_CHUNKS = 40
_SMALLEST, _LARGEST = 20, 500
"""Rows of a chunk: small enough that several processes can share a small batch."""


@dataclass(eq=False, repr=False)
class Books:
    """One batch in an open ledger. ``known`` is None until it has begun."""

    database: Database
    writer: Writer
    batch_id: str
    flow: Flow
    file: RowFile
    settings: Settings
    wishes: Wishes
    others: Mapping[str, str]
    flights: Flights | None = None
    known: Known | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        database: Database,
        batch_id: str,
        flow: Flow,
        file: RowFile,
        settings: Settings,
        wishes: Wishes,
        others: Mapping[str, str],
        flights: Flights | None,
    ) -> AsyncIterator[Books]:
        """``others``: see ``identity.beside``. ``flights`` are the notes of whoever carries the messages, made before
        that process was forked.

        Raises Unavailable, UsageError for a batch whose flow or data have changed, and ConfigurationError when
        another process on this machine works on it.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(database.close)
            await asyncio.to_thread(database.migrate)
            # A commit of SQLite's is half a millisecond; PostgreSQL's is a wait for another process.
            writer = Writer(database, here=database.dialect == "sqlite")
            stack.push_async_callback(writer.close)
            if database.file is not None:
                lock = FileLock(
                    database.file, what=f"flowpost batch of {batch_id}", suffix=f".batch-{_mark(batch_id)}"
                )
                lock.take()
                stack.callback(lock.release)
                if flights is not None:
                    stack.callback(flights.end)
            books = cls(database, writer, batch_id, flow, file, settings, wishes, others, flights)
            books.known = await writer.write(lambda connection: find_batch(connection, batch_id))
            if books.known is not None:
                check_same(books.known, batch_id, flow, file.digest, books.facts)
                if sum(books.known.tally.values()):
                    check_flow(books.known, batch_id, flow, books.facts, accept=wishes.accept_changed_flow)
            yield books

    @property
    def facts(self) -> dict[str, object]:
        """What is remembered of the data."""
        return facts(self.file, self.wishes.key, self.others)

    async def stood(self) -> Callable[[int], Record | None]:
        """What the ledger holds of a row that has its outcome; the rows are asked for in their order."""
        if (known := self.known) is None:
            return lambda number: None
        ours = Ours(known.serial, known.chunk, "", dialect=self.database.dialect, last=None)
        held: dict[int, Record] = {}
        reach = 0

        def of(number: int) -> Record | None:
            nonlocal held, reach
            if number > reach:
                first, reach = number, number + _LARGEST
                with self.database.turn:
                    held = self.database.write(lambda connection: ours.records(connection, first, reach))
            record = held.get(number)
            return record if record is not None and record.state in FINAL - {RowState.INVALID} else None

        return of

    @property
    def done(self) -> int:
        """Rows that have their outcome, and are not to be tried again."""
        if self.known is None:
            return 0
        again = {RowState.PENDING, RowState.SENDING, *self.wishes.reopened}
        if self.wishes.resend_unknown:
            again.add(RowState.UNKNOWN)
        return sum(number for state, number in self.known.tally.items() if state not in again)

    @property
    def gone(self) -> int:
        """Those of them that had a message to send."""
        return self.done - (0 if self.known is None else self.known.tally.get(RowState.SKIPPED, 0))

    @property
    def passage(self) -> str:
        """The key of the batch's own rate, which all its processes share."""
        return f"batch {self.batch_id}"

    @property
    def checked(self) -> Mapping[str, object] | None:
        """What the look at every row came to, when nothing has changed since that it depends on."""
        found = None if self.known is None else self.known.facts.get("checked")
        return found if isinstance(found, dict) and found.get("print") == self.fingerprint else None

    @property
    def fingerprint(self) -> str:
        """Of what a row's message depends on beside the row."""
        settings = self.settings
        parts = [
            self.flow.digest,
            self.file.digest,
            self.wishes.key,
            self.wishes.limit,
            settings.vars,
            repr(settings.delivery),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    async def begin(
        self, total: int, end: int | None, checked: Mapping[str, object] | None, *, singly: bool
    ) -> Ours:
        """Open the batch, or go on with it. ``end`` is the data's last row, None when that is not known.

        ``singly``: each row is one message.
        """
        remembered = {
            **self.facts,
            "checked": None if checked is None else {**checked, "print": self.fingerprint},
        }
        chunk = _LARGEST if not total else max(_SMALLEST, min(_LARGEST, total // _CHUNKS))
        known = await self.writer.write(
            lambda connection: open_batch(
                connection,
                self.batch_id,
                flow=self.flow.name,
                digest=self.flow.digest,
                data=self.file.digest,
                facts=remembered,
                chunk=chunk,
            )
        )
        owner = f"{socket.gethostname()}:{uuid.uuid4()}"
        last = self.wishes.limit if end is None else end
        run_of = None if singly else partial(row_id, self.batch_id)
        decide = Decisions(self.wishes.unknown_sent, self.wishes.resend_unknown, run_of)
        path = flights_path(self.database, self.batch_id)
        traces = None if path is None else await asyncio.to_thread(Traces, path)
        ours = Ours(
            known.serial,
            known.chunk,
            owner,
            dialect=self.database.dialect,
            last=last,
            decide=decide.of,
            fate=(lambda owner, number: RowState.UNKNOWN) if traces is None else traces.fate,
        )
        if self.known is not None:
            await self.writer.write(
                lambda connection: change_batch(
                    connection,
                    known.serial,
                    self.flow.digest,
                    remembered if checked is not None else {**known.facts, **self.facts},
                )
            )
            await self.writer.write(lambda connection: ours.reopen(connection, self.wishes.reopened))
        if traces is not None:
            traces.close()
        if self.flights is not None:
            self.flights.begin(owner)
        elif path is not None:
            path.unlink(missing_ok=True)
        return ours


def flights_path(database: Database, batch_id: str) -> Path | None:
    """Where the notes of a batch's messages lie; None where several machines may share the database."""
    file = database.file
    return None if file is None else file.with_name(f"{file.name}.batch-{_mark(batch_id)}.flights")


def _mark(batch_id: str) -> str:
    return hashlib.sha256(batch_id.encode()).hexdigest()[:12]
