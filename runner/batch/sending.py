"""The work itself, wired: a feed, whoever carries its rows, a heartbeat, the rates."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runner.batch.books import Books
from runner.batch.carriage import Here
from runner.batch.courier import Courier
from runner.batch.drafts import Drafts
from runner.batch.feed import Feed
from runner.batch.letters import Bodies, Letters
from runner.batch.preflight import Found
from runner.batch.stop import Stop
from runner.batch.sums import Sums
from runner.credential import SmtpCredential
from runner.errors import Unavailable
from runner.ledger.batches import Ours
from runner.ledger.budgets import Budgets
from runner.ledger.pulse import Pulse
from runner.nodes.base import Context

if TYPE_CHECKING:
    from runner.batch.carrier import Carrier
    from runner.batch.permits import Claim
    from runner.batch.second import Second

_GOODBYE = 10.0
"""Seconds for which the last words are tried to be written."""


@dataclass(eq=False, repr=False)
class Sending:
    """One process's part of a batch."""

    books: Books
    context: Context
    carriage: Here | Second
    letters: Letters | None
    bodies: Bodies
    sums: Sums
    stop: Stop
    time: datetime

    async def run(self, ours: Ours, found: Found) -> None:
        """Send until every row has its outcome; raises what stopped it."""
        writer = self.books.writer
        budgets = Budgets(self.books.database)
        pulse = Pulse(writer, ours.owner)
        await pulse.beat()
        beating = asyncio.create_task(pulse.keep_beating())
        worker: Courier | Carrier
        file = self.books.file
        second = None if isinstance(self.carriage, Here) else self.carriage
        drafts = Drafts(found.kept, self.bodies.excluded, second)
        feed = Feed(
            file, ours, writer, self.sums.stood, lambda: worker.wake(), end=found.end, claimed=drafts.claimed
        )
        if self.letters is not None:
            worker = self._courier(self.letters, feed, ours, budgets, pulse, drafts)
        else:
            worker = self._carrier(feed, ours, budgets, pulse)
        feed.start()
        try:
            await worker.run()
        finally:
            await feed.stop()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await budgets.close()
            try:
                async with asyncio.timeout(_GOODBYE):
                    await writer.write(ours.release)
                    await writer.write(pulse.leave)
                    await self.sums.close(ours, writer, feed, file)
            except (Unavailable, TimeoutError):
                # Outcomes, too, may not have been written: the notes know them.
                if self.books.flights is not None:
                    self.books.flights.keep()

    def _courier(
        self, letters: Letters, feed: Feed, ours: Ours, budgets: Budgets, pulse: Pulse, drafts: Drafts
    ) -> Courier:
        wishes = self.books.wishes
        return Courier(
            feed=feed,
            letters=letters,
            bodies=self.bodies,
            ours=ours,
            writer=self.books.writer,
            carriage=self.carriage,
            credential=lambda: self._credential(letters.credential),
            claim=self._claim(budgets),
            paced=lambda credential: bool(credential.rates or wishes.rate),
            watcher=self.sums,
            stop=self.stop,
            check=not wishes.preflight,
            trusted=lambda: pulse.trusted,
            drafts=drafts,
        )

    def _carrier(self, feed: Feed, ours: Ours, budgets: Budgets, pulse: Pulse) -> Carrier:
        # Here, since a flow of one mail goes without them and all that they need.
        from runner.batch.carrier import AT_ONCE, Carrier
        from runner.ledger.deliveries import Deliveries

        wishes, writer = self.books.wishes, self.books.writer
        deliveries = Deliveries(
            writer=writer, owner=ours.owner, turn=self._claim(budgets), trusted=lambda: pulse.trusted
        )
        return Carrier(
            feed=feed,
            flow=self.books.flow,
            context=self.context,
            bodies=self.bodies,
            batch_id=self.books.batch_id,
            time=self.time,
            ours=ours,
            writer=writer,
            deliveries=deliveries,
            watcher=self.sums,
            stop=self.stop,
            check=not wishes.preflight,
            resend=wishes.resend_unknown,
            declared=(lambda number: False) if wishes.unknown_sent is None else wishes.unknown_sent.has,
            at_once=wishes.concurrency or AT_ONCE,
        )

    async def _credential(self, name: str) -> SmtpCredential:
        return self.books.wishes.within(await self.context.credentials.smtp(name))

    def _claim(self, budgets: Budgets) -> Claim:
        own = self.books.wishes.rate
        rates = () if own is None else (own,)
        return lambda credential: budgets.claim_both(self.books.passage, rates, credential)
