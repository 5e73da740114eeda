"""The way of a batch: open, name, look at every row, say what will happen, send, say what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from runner.batch.carrier import Carrier
from runner.batch.courier import Courier
from runner.batch.feed import Feed, Item
from runner.batch.forecast import Forecast, Share
from runner.batch.identity import check_flow, check_same, derived_id, facts
from runner.batch.letters import Bodies, Letters
from runner.batch.preflight import Found, Preflight
from runner.batch.report import Report
from runner.batch.stop import Stop
from runner.batch.tally import Result, Tally, already
from runner.credential import Rate, SmtpCredential
from runner.errors import FlowpostError, Unavailable
from runner.ledger.batches import Known, Ours, Record, RowState, accept_flow, open_batch
from runner.ledger.budgets import Budgets
from runner.ledger.database import Database
from runner.ledger.deliveries import Deliveries
from runner.ledger.lock import FileLock
from runner.ledger.pulse import Pulse
from runner.ledger.writer import Writer
from runner.model import Flow
from runner.nodes.base import Context
from runner.smtp.pool import Sender

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from runner.rows import Row, RowFile

BEAT = 2.0
"""Seconds between two heartbeats."""
_CHUNKS = 40
_SMALLEST, _LARGEST = 20, 500
"""Rows of a chunk: small enough that several processes can share a small batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The command's options."""

    batch_id: str | None = None
    key: str | None = None
    limit: int | None = None
    rate: Rate | None = None
    concurrency: int | None = None
    preflight: bool = True
    skip_invalid: bool = False
    resend_unknown: bool = False
    retry_failed: bool = False
    accept_changed_flow: bool = False
    dry_run: bool = False


class Face(Protocol):
    """Whoever shows a person, or a log, what goes on."""

    def checking(self, rows: int) -> None:
        """So many rows have been looked at."""
        ...

    def bad(self, found: Found, data: str, *, left_out: bool) -> None:
        """Rows that cannot be sent."""
        ...

    def agree(self, forecast: Forecast) -> bool:
        """Show what will happen; whether it may. Raises UsageError where nobody can be asked."""
        ...

    def progress(self, tally: Tally) -> None:
        """Some more rows have their outcome."""
        ...

    def waits(self, number: int, seconds: float, why: str) -> None:
        """So many rows wait."""
        ...


class Refused(Exception):
    """The person said no."""


@dataclass
class Batch:
    """One invocation. ``run`` returns the sums; ``tally`` has them too when it raises."""

    flow: Flow
    file: RowFile
    context: Context
    sender: Sender
    open_database: Callable[[], Database]
    wishes: Wishes
    face: Face
    report: Report
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        settings = self.context.settings
        self.time = datetime.now(UTC)
        self.batch_id = self.wishes.batch_id or derived_id(
            self.flow, self.file.digest, self.wishes.key, settings.delivery
        )
        self.tally = Tally(self.batch_id, self.flow.name)
        self.bodies = Bodies(self.flow, self.file, self.wishes.key)
        self.letters = Letters.of(self.flow, settings, self.context.root, self.batch_id, self.time)
        self.context = replace(self.context, started=self.time)
        self.begun = False
        """Whether the batch is open in the ledger, so that the same command goes on with it."""
        self._sent = 0
        self._known: dict[str, int] = {}

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be sent."""
        return self.wishes.dry_run or self.context.settings.delivery.mode == "capture"

    async def run(self) -> Tally:
        """Raises Refused, UsageError for a batch that is not the one it was, and what stops it on the way."""
        begun = time.monotonic()
        try:
            with self._signals():
                await self._run()
        finally:
            self.tally.seconds = time.monotonic() - begun
        return self.tally

    async def _run(self) -> None:
        found = await self._look()
        self.tally.total = found.total
        if self.stop.asked:
            return
        if found.bad_rows:
            self.face.bad(found, self.file.name, left_out=self.wishes.skip_invalid)
            if not self.wishes.skip_invalid or self.quiet:
                self.tally.add("invalid", found.bad_rows)
                if not self.wishes.skip_invalid:
                    return
        if self.quiet:
            self.face.agree(self._forecast(found, {}, goes_on=False))
            return
        await self._send(found)

    # -- before the first mail -----------------------------------------------------------------------

    async def _look(self) -> Found:
        quiet = self.quiet
        preflight = Preflight(
            self.file,
            self.bodies,
            self.wishes.limit,
            self.stop,
            self.face.checking,
            self._rehearsed if quiet else None,
        )
        if not self.wishes.preflight and not quiet:
            if self.wishes.key is not None:
                return await preflight.count()
            return Found()
        if self.letters is not None:
            credential = await self.context.credentials.smtp(self.letters.credential)
            return await preflight.one_message(self.letters, credential, keep=not quiet)
        return await preflight.any_flow(self.flow, self.context, self.batch_id, self.time)

    def _rehearsed(self, row: Row, error: FlowpostError | None, ids: tuple[str, ...]) -> None:
        status = "rendered" if self.wishes.dry_run else "captured"
        if error is None:
            self.tally.add(status)
        elif self.wishes.skip_invalid:
            status = "invalid"
        if self.report.wanted:
            self.report.add(
                Result(
                    row=row.number,
                    line=row.line,
                    key=self._key(row),
                    status=status if error is None else "invalid",
                    message_ids=ids,
                    error=None if error is None else error.as_dict(),
                )
            )

    def _forecast(self, found: Found, rates: dict[str, tuple[Rate, ...]], *, goes_on: bool) -> Forecast:
        done = sum(self._known.values())
        shares = [
            Share(name, max(0, number - done) if len(found.messages) == 1 else number, rates.get(name, ()))
            for name, number in found.messages.items()
        ]
        delivery = self.context.settings.delivery
        return Forecast(
            batch_id=self.batch_id,
            flow=self.flow.name,
            data=self.file.name,
            total=found.total or None,
            already=done,
            bad=found.bad_rows,
            skipped=found.skipped,
            unforeseen=found.unforeseen,
            shares=shares,
            delivery=delivery.mode if delivery.mode != "redirect" else f"redirect to {delivery.to}",
            goes_on=goes_on,
        )

    async def _rates(self, found: Found) -> dict[str, tuple[Rate, ...]]:
        own = () if self.wishes.rate is None else (self.wishes.rate,)
        rates = {}
        for name in found.messages:
            credential = await self.context.credentials.smtp(name)
            rates[name] = (*credential.rates, *own)
        return rates

    # -- sending -------------------------------------------------------------------------------------

    async def _send(self, found: Found) -> None:
        rates = await self._rates(found)
        async with self._ledger() as (database, writer):
            known = await writer.write(lambda connection: self._open(connection, found))
            check_same(known, self.batch_id, self.flow, self.file.digest, facts(self.file, self.wishes.key))
            changed = check_flow(known, self.batch_id, self.flow, accept=self.wishes.accept_changed_flow)
            owner = f"{socket.gethostname()}:{uuid.uuid4()}"
            alone = database.file is not None
            lock = None
            if database.file is not None:
                lock = FileLock(
                    database.file, what=f"flowpost batch of {self.batch_id}", suffix=f".batch-{known.serial}"
                )
                lock.take()
            try:
                last = self.wishes.limit if found.end is None else found.end
                ours = Ours(known.serial, known.chunk, owner, alone=alone, last=last)
                self._known = {
                    state.value: number for state, number in (await writer.write(ours.tally)).items()
                }
                left = {RowState.PENDING.value, RowState.SENDING.value, *self._reopened()}
                self._known = {name: number for name, number in self._known.items() if name not in left}
                if not self.face.agree(self._forecast(found, rates, goes_on=not known.fresh)):
                    raise Refused
                self.begun = True
                if changed:
                    await writer.write(
                        lambda connection: accept_flow(connection, known.serial, self.flow.digest)
                    )
                if not known.fresh:
                    await writer.write(lambda connection: ours.reopen(connection, self._reopened()))
                await self._work(found, ours, writer, database)
            finally:
                if lock is not None:
                    lock.release()

    def _reopened(self) -> list[RowState]:
        states = [RowState.INVALID]
        if self.wishes.resend_unknown:
            states.append(RowState.UNKNOWN)
        if self.wishes.retry_failed:
            states.append(RowState.FAILED)
        return states

    def _open(self, connection: Connection, found: Found) -> Known:
        chunk = _LARGEST if not found.total else max(_SMALLEST, min(_LARGEST, found.total // _CHUNKS))
        return open_batch(
            connection,
            self.batch_id,
            flow=self.flow.name,
            digest=self.flow.digest,
            data=self.file.digest,
            facts=facts(self.file, self.wishes.key),
            chunk=chunk,
        )

    async def _work(self, found: Found, ours: Ours, writer: Writer, database: Database) -> None:
        self.bodies.excluded = {number: bad.error for number, bad in found.doubles.items()}
        budgets = Budgets(database)
        presence = Pulse(writer, ours.owner)
        await presence.beat()
        beating = asyncio.create_task(presence.keep_beating())
        worker: Courier | Carrier
        feed = Feed(self.file, ours, writer, self._stood, lambda: worker.wake(), end=found.end)
        check = not self.wishes.preflight
        if self.letters is not None:
            worker = self._courier(self.letters, feed, ours, writer, budgets, presence, found, check=check)
        else:
            worker = self._carrier(feed, ours, writer, budgets, presence, check=check)
        feed.start()
        try:
            await worker.run()
        finally:
            await feed.stop()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            with contextlib.suppress(Unavailable):
                async with asyncio.timeout(5.0):
                    await writer.write(ours.release)
                    await writer.write(presence.leave)
                    await self._sum_up(ours, writer, feed)
            await budgets.close()

    def _courier(
        self,
        letters: Letters,
        feed: Feed,
        ours: Ours,
        writer: Writer,
        budgets: Budgets,
        presence: Pulse,
        found: Found,
        *,
        check: bool,
    ) -> Courier:
        return Courier(
            feed=feed,
            letters=letters,
            bodies=self.bodies,
            ours=ours,
            writer=writer,
            sender=self.sender,
            credential=lambda: self._credential(letters.credential),
            turn=self._turn(budgets),
            paced=lambda credential: bool(credential.rates or self.wishes.rate),
            watcher=_Watch(self),
            stop=self.stop,
            check=check,
            trusted=lambda: presence.trusted,
            cache=found.kept,
        )

    def _carrier(
        self, feed: Feed, ours: Ours, writer: Writer, budgets: Budgets, presence: Pulse, *, check: bool
    ) -> Carrier:
        deliveries = Deliveries(
            writer=writer, owner=ours.owner, turn=self._turn(budgets), trusted=lambda: presence.trusted
        )
        return Carrier(
            feed=feed,
            flow=self.flow,
            context=self.context,
            bodies=self.bodies,
            batch_id=self.batch_id,
            time=self.time,
            ours=ours,
            writer=writer,
            deliveries=deliveries,
            watcher=_Watch(self),
            stop=self.stop,
            check=check,
            resend=self.wishes.resend_unknown,
            **({} if self.wishes.concurrency is None else {"at_once": self.wishes.concurrency}),
        )

    async def _credential(self, name: str) -> SmtpCredential:
        credential = await self.context.credentials.smtp(name)
        if self.wishes.concurrency is None:
            return credential
        return replace(
            credential, max_connections=max(1, min(self.wishes.concurrency, credential.max_connections))
        )

    def _turn(self, budgets: Budgets) -> Callable[[SmtpCredential], Awaitable[None]]:
        own = () if self.wishes.rate is None else (self.wishes.rate,)

        async def turn(credential: SmtpCredential) -> None:
            await budgets.pass_through(f"batch {self.batch_id}", own)
            await budgets.turn(credential)

        return turn

    # -- outcomes ------------------------------------------------------------------------------------

    def note(self, item: Item, record: Record, message_ids: tuple[str, ...]) -> None:
        """A row's last word, on disk."""
        self.tally.add(record.state.value)
        if record.state is RowState.SENT:
            self._sent += 1
        if self.report.wanted:
            self.report.add(
                Result.of(record, line=item.row.line, key=self._key(item.row), message_ids=message_ids)
            )
        self.face.progress(self.tally)

    def _stood(self, row: Row, record: Record) -> None:
        status = already(record.state)
        self.tally.add(status)
        if self.report.wanted:
            self.report.add(Result.of(record, line=row.line, key=self._key(row), status=status))

    def _key(self, row: Row) -> str | None:
        try:
            return self.bodies.key_of(row)
        except FlowpostError:
            return None

    async def _sum_up(self, ours: Ours, writer: Writer, feed: Feed) -> None:
        """The sums are the ledger's: other processes, and earlier invocations, have sent too."""
        held = await writer.write(ours.tally)
        if feed.over or not self.tally.total:
            self.tally.total = max(self.tally.total, sum(held.values()))
        sent = held.get(RowState.SENT, 0)
        self.tally.counts = {
            "sent": self._sent,
            "already_sent": sent - self._sent,
            "failed": held.get(RowState.FAILED, 0),
            "unknown": held.get(RowState.UNKNOWN, 0) + held.get(RowState.SENDING, 0),
            "invalid": held.get(RowState.INVALID, 0),
            "skipped": held.get(RowState.SKIPPED, 0),
        }
        if self.report.wanted:
            await self._report_rest(ours, writer, feed)

    async def _report_rest(self, ours: Ours, writer: Writer, feed: Feed) -> None:
        """Rows of chunks that this process has not seen."""
        number = 0
        while number * ours.chunk < min(ours.last, max(self.tally.total, 1)):
            first, last = number * ours.chunk + 1, min((number + 1) * ours.chunk, ours.last)
            if number not in feed.seen:
                records = await writer.write(
                    lambda connection, a=first, b=last: ours.records(connection, a, b)
                )  # type: ignore[misc]
                for row in await asyncio.to_thread(lambda a=first, b=last: list(self.file.rows(a, b))):  # type: ignore[misc]
                    if (record := records.get(row.number)) is not None:
                        self.report.add(
                            Result.of(record, line=row.line, key=self._key(row), status=already(record.state))
                        )
            number += 1

    # -- around it -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _ledger(self) -> AsyncIterator[tuple[Database, Writer]]:
        database = self.open_database()
        try:
            await asyncio.to_thread(database.migrate)
            writer = Writer(database)
            try:
                yield database, writer
            finally:
                await writer.close()
        finally:
            database.close()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.stop.interrupt)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


class _Watch:
    """Hands outcomes on."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def ended(self, item: Item, record: Record, message_ids: tuple[str, ...]) -> None:
        """A row's last word."""
        self._batch.note(item, record, message_ids)

    def waits(self, number: int, seconds: float, why: str) -> None:
        """Rows wait."""
        self._batch.face.waits(number, seconds, why)
