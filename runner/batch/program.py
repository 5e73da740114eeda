"""The way of a batch: name, look at every row, say what will happen, send, say what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from runner.batch.books import Books, flights_path
from runner.batch.carriage import Here
from runner.batch.forecast import Forecast, Share
from runner.batch.identity import beside, derived_id, kept_as
from runner.batch.letters import Bodies, Letters
from runner.batch.preflight import Found, Preflight, Told
from runner.batch.report import Report
from runner.batch.sending import Sending
from runner.batch.stop import Stop
from runner.batch.sums import Sums
from runner.batch.tally import Tally
from runner.batch.wishes import Face, Refused, Wishes
from runner.credential import SmtpCredential
from runner.errors import FlowpostError
from runner.ledger.batches import RowState
from runner.ledger.database import Database
from runner.ledger.flights import Flights
from runner.model import Flow
from runner.nodes.base import Context
from runner.smtp.pool import Sender

if TYPE_CHECKING:
    from runner.batch.second import Second
    from runner.rows import Row, RowFile

PAYS_FROM, PAYS_FROM_ROW = 512 * 1024, 7500
"""Octets of data, and rows, from which on a second process is repaid: its start, and a third more CPU a row."""


@dataclass(eq=False, repr=False)
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
        self.name = self.wishes.batch_id or derived_id(self.flow, self.file.digest, self.wishes.key)
        self.batch_id = kept_as(self.name, settings.delivery)
        self.tally = Tally(self.name, self.flow.name)
        self.bodies = Bodies(self.flow, self.file, self.wishes.key)
        self.letters = Letters.of(self.flow, settings, self.context.root, self.batch_id, self.time)
        self.context = replace(self.context, started=self.time)
        self.sums = Sums(self.tally, self.report, self.bodies, self.face, self._ids)
        self._known: SmtpCredential | None = None
        self._clock = 0.0
        self.begun = False
        """Whether the batch stands in the ledger, so that the same command goes on with it."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be sent."""
        return self.wishes.dry_run or self.context.settings.delivery.mode == "capture"

    async def run(self) -> Tally:
        """Raises Refused, UsageError for a batch that is not the one it was, and what stops it on the way."""
        self._clock = time.monotonic()
        try:
            with self._signals():
                await (self._rehearse() if self.quiet else self._send())
        finally:
            self.tally.seconds = time.monotonic() - self._clock
        return self.tally

    async def _rehearse(self) -> None:
        found = await self._look(self._rehearsed)
        if found.doubles:
            found = await self._look_again(found, self._rehearsed)
        self.tally.total = found.total
        self.tally.add("invalid", found.bad_rows)
        self._tell_bad(found)
        if not self.stop.asked:
            self.face.agree(await self._with_rates(self._forecast(found, None), None))

    async def _send(self) -> None:
        settings, database = self.context.settings, self.open_database()
        others = beside(self.flow, settings, self.context.root)
        async with (
            self._carriage(database) as (carriage, flights),
            Books.open(
                database, self.batch_id, self.flow, self.file, settings, self.wishes, others, flights
            ) as books,
        ):
            second = None if isinstance(carriage, Here) else carriage
            found = await self._looked(books, second)
            self.tally.total = found.total
            if self.stop.error is not None:
                raise self.stop.error
            if self.stop.asked:
                return
            if not self._tell_bad(found):
                await self._stopped_by_rows(found, books)
                return
            forecast = self._forecast(found, books)
            asked = time.monotonic()
            if not self.face.agree(await self._with_rates(forecast, books)):
                raise Refused
            # Nobody wants to know how long they thought about it.
            self._clock += time.monotonic() - asked
            checked = found.summary() if self.wishes.preflight and not found.bad_rows else None
            ours = await books.begin(found.total, found.end, checked, singly=self.letters is not None)
            await self._know_credential()
            self.begun = True
            self.report.begin()
            sending = Sending(
                books, self.context, carriage, self.letters, self.bodies, self.sums, self.stop, self.time
            )
            await sending.run(ours, found)

    # -- before the first mail -----------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _carriage(self, database: Database) -> AsyncIterator[tuple[Here | Second, Flights | None]]:
        """A second process where that pays; before anything is opened that two could not share."""
        second = flights = None
        if self.letters is not None and (path := flights_path(database, self.batch_id)) is not None:
            flights = Flights.make(path)
        if self.letters is not None and self._second_pays(self.letters):
            from runner.batch.second import Second
            from runner.batch.worker import Worker

            # Looked up before the fork, it is there for both; what is wrong with it is told in its turn.
            with contextlib.suppress(FlowpostError):
                await self._credential()
            worker = Worker(self.letters, self.bodies, self.file, self.sender, self._credential, flights)
            second = await Second.start(worker, self.stop.because)
        try:
            yield second or Here(self.sender, flights), flights
        finally:
            if second is not None:
                await second.close()
            if flights is not None:
                flights.end()

    async def _credential(self) -> SmtpCredential:
        assert self.letters is not None
        return self.wishes.within(await self.context.credentials.smtp(self.letters.credential))

    async def _know_credential(self) -> None:
        if self.letters is not None and self.report.wanted:
            with contextlib.suppress(FlowpostError):
                self._known = await self._credential()

    def _ids(self, row: Row) -> tuple[str, ...]:
        """The ids that the row's message has in every attempt."""
        if self.letters is None or self._known is None:
            return ()
        found = self.letters.message_id(row.number, partial(self.bodies.of, row, check=False), self._known)
        return () if found is None else (found,)

    def _second_pays(self, letters: Letters) -> bool:
        if self.wishes.processes is not None:
            return self.wishes.processes > 1
        # Large messages would be copied from one process to the other. Elsewhere than on Linux a fork is not safe
        # beside the system's own threads, or there is none.
        return (
            sys.platform == "linux"
            and len(os.sched_getaffinity(0)) > 1
            and self.file.size >= PAYS_FROM
            and (self.wishes.limit is None or self.wishes.limit >= PAYS_FROM_ROW)
            and not letters.node.params.get("attachments")
        )

    async def _looked(self, books: Books, second: Second | None) -> Found:
        if books.checked is not None:
            # Every row was found good before, and nothing has changed since.
            return Found.of(books.checked)
        if self.wishes.preflight:
            found = await self._look(None, second)
            return await self._look_again(found, None) if found.doubles else found
        if self.wishes.key is not None:
            # A row whose key came before is left out in its turn, as any other bad row.
            found = await self._preflight(None).count()
            self.bodies.excluded = found.doubles
            return found
        return Found()

    async def _look_again(self, found: Found, done: Told | None) -> Found:
        """With those rows left out whose keys came twice, which only the whole file could tell."""
        self.bodies.excluded = found.doubles
        self.tally.counts.clear()
        if done is not None:
            self.report.begin()
        return await self._look(done)

    async def _stopped_by_rows(self, found: Found, books: Books) -> None:
        """Nothing was sent now; the report tells the bad rows, beside those that have their outcome already."""
        self.tally.add("invalid", found.bad_rows)
        for state, number in ({} if books.known is None else books.known.tally).items():
            name = {RowState.SENT: "already_sent", RowState.SENDING: "unknown"}.get(state, state.value)
            if state not in (RowState.PENDING, RowState.INVALID):
                self.tally.add(name, number)
        if not self.report.wanted:
            return
        stood = await books.stood()

        def tell(row: Row, error: FlowpostError | None, ids: tuple[str, ...] | None) -> None:
            if (record := stood(row.number)) is not None:
                self.sums.stood_elsewhere(row, record)
            elif error is not None:
                self.sums.rehearsed(row, "", error, None)

        await self._know_credential()
        self.report.begin()
        await self._look(tell)

    async def _look(self, done: Told | None, second: Second | None = None) -> Found:
        preflight = self._preflight(done)
        if self.letters is not None:
            credential = await self._credential()
            return await preflight.one_message(self.letters, credential, keep=done is None, second=second)
        return await preflight.any_flow(self.flow, self.context, self.batch_id, self.time)

    def _preflight(self, done: Told | None) -> Preflight:
        return Preflight(self.file, self.bodies, self.wishes.limit, self.stop, self.face.checking, done)

    def _rehearsed(self, row: Row, error: FlowpostError | None, ids: tuple[str, ...] | None) -> None:
        self.sums.rehearsed(row, "rendered" if self.wishes.dry_run else "captured", error, ids)

    def _tell_bad(self, found: Found) -> bool:
        """Whether the batch may go on."""
        if found.bad_rows:
            self.face.bad(found, self.file.name, left_out=self.wishes.skip_invalid)
        return not found.bad_rows or self.wishes.skip_invalid

    def _forecast(self, found: Found, books: Books | None) -> Forecast:
        # Which of a row's messages have left is only counted where a row is one message.
        gone = 0 if books is None or self.letters is None else books.gone
        # Of other flows some may have left, unless all are through.
        at_most = self.letters is None and books is not None and books.done > 0
        if at_most and books is not None and books.done >= found.total:
            found.messages.clear()
        shares = [
            Share(name, max(0, number - gone), at_most=at_most) for name, number in found.messages.items()
        ]
        if not shares and not self.wishes.preflight and self.letters is not None:
            shares = [Share(self.letters.credential, None)]
        delivery = self.context.settings.delivery
        return Forecast(
            batch_id=self.name,
            flow=self.flow.name,
            data=self.file.name,
            total=found.total or None,
            already=0 if books is None else books.done,
            bad=found.bad_rows,
            skipped=found.skipped,
            unforeseen=found.unforeseen,
            shares=shares,
            delivery=delivery.mode if delivery.mode != "redirect" else f"redirect to {delivery.to}",
            goes_on=books is not None and books.known is not None,
        )

    async def _with_rates(self, forecast: Forecast, books: Books | None) -> Forecast:
        """How long it takes, which a rehearsal without a ledger tells as if nothing were used up."""
        own = () if self.wishes.rate is None else (self.wishes.rate,)
        shares = []
        for share in forecast.shares:
            credential = await self.context.credentials.smtp(share.credential)
            rates, coming = (*credential.rates, *own), None
            if rates and books is not None:
                # Here, since a batch without rates goes without it.
                from runner.ledger.spent import spent

                coming = await books.writer.write(
                    partial(spent, credential=credential, passage=books.passage, own=own)
                )
            shares.append(share._replace(rates=rates, coming=coming))
        return forecast._replace(shares=shares)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        # SIGHUP is a connection that broke under whoever began it: no reason to leave rows unknown.
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self.stop.interrupt)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
