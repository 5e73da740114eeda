"""Carries the rows of a flow that is one message: intents and outcomes in shared transactions, sessions kept full.

One turn of the loop is one transaction: the outcomes that came since the last one, and the intents of the messages
that leave next. While the disk works, the messages after those are written. Nothing is handed to a session before its
intent is on disk, nothing is reported before its outcome is, and no more intents stand open than the sessions can
carry: they are what is unknown after a crash.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner.batch.carriage import Carriage
from runner.batch.drafts import Drafts
from runner.batch.feed import Feed, Item, Ready
from runner.batch.later import Later
from runner.batch.letters import Bodies, Letters
from runner.batch.permits import Permits
from runner.batch.stop import Stop
from runner.batch.trouble import Trouble
from runner.batch.verdict import Then, Verdict, after_error, after_outcome
from runner.batch.watcher import Watcher
from runner.batch.window import Window
from runner.credential import SmtpCredential
from runner.errors import DeliveryUnknown, FlowpostError, Unavailable
from runner.ledger.batches import Ours, Record, RowState
from runner.ledger.writer import Writer
from runner.model import Envelope, Outcome

if TYPE_CHECKING:
    from runner.batch.permits import Claim

GROUP = 100
"""Rows that share a transaction at most."""
SLICE = 8
"""Messages that are written before sessions get a turn."""
LINGER = 0.02
"""Seconds for which an outcome waits for others to share its commit."""
REFRESH = 1.0
"""Seconds for which a credential is used as it was looked up."""
LAST_WORDS = 10.0
"""Seconds for which outcomes are tried to be written to a database that is away."""


@dataclass(eq=False, repr=False)
class Courier:
    """Works until every row of the feed has its outcome, or until ``stop`` says so."""

    feed: Feed
    letters: Letters
    bodies: Bodies
    ours: Ours
    writer: Writer
    carriage: Carriage
    credential: Callable[[], Awaitable[SmtpCredential]]
    claim: Claim
    watcher: Watcher
    stop: Stop
    check: bool
    drafts: Drafts
    paced: Callable[[SmtpCredential], bool] = lambda credential: bool(credential.rates)
    trusted: Callable[[], bool] = lambda: True
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self.trouble = Trouble.of(self.letters.retry)
        self._awake = asyncio.Event()
        self._ready: deque[Ready] = deque()
        self._later = Later()
        self._flying: dict[int, asyncio.Future[Outcome]] = {}
        self._ended: list[tuple[Item, Record, str | None]] = []
        self._permits = Permits(
            self.claim,
            self.wake,
            lambda seconds: self.watcher.waits(len(self._ready), seconds, "for the rates"),
            self.stop,
        )
        self._looked = -REFRESH
        self._credential: SmtpCredential | None = None
        self._away: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._window = Window()

    def wake(self) -> None:
        """Look again: something has changed."""
        self._awake.set()

    async def run(self) -> None:
        """Raises what stopped the batch: an error that every row would meet, or a database that is away."""
        self.stop.subscribe(self.wake, self._abandon)
        try:
            await self._work()
        finally:
            await self._permits.close()

    async def _work(self) -> None:
        while True:
            self._awake.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self.feed.failure is not None:
                self.stop.because(self.feed.failure)
            credential = await self._look_up()
            if not self._ready:
                self._fill_ahead(credential)
            ended, self._ended = self._ended, []
            leaving = [] if self.stop.asked or credential is None else self._leaving(credential)
            finished = self.feed.take_finished()
            if not ended and not leaving and not finished:
                if self._done():
                    break
                await self._sleep()
                continue
            await self._commit(credential, ended, leaving, finished)
        if self.stop.error is not None:
            raise self.stop.error

    async def _commit(
        self,
        credential: SmtpCredential | None,
        ended: list[tuple[Item, Record, str | None]],
        leaving: list[Ready],
        finished: list[int],
    ) -> None:
        records = [record for _, record, _ in ended]
        for ready in leaving:
            item = ready.item
            records.append(Record(item.row.number, RowState.SENDING, item.attempts + 1, item.replies or None))
        work = partial(self.ours.turn, records=records, finished=finished)
        commit = asyncio.ensure_future(self.writer.write(work))
        # Let the thread begin; then use the time that the disk takes, and let sessions in between.
        await asyncio.sleep(0)
        more = True
        while more:
            more = self._fill_ahead(credential)
            await asyncio.sleep(0)
        try:
            held = await commit
        except Unavailable as error:
            self._ready.extendleft(reversed(leaving))
            self._ended[:0] = ended
            self.feed.unwritten(finished)
            await self._database_away(error)
            return
        self._away = None
        self.feed.noted(finished)
        self._report(ended, held)
        for ready in leaving:
            if ready.item.stretch.number not in held or not self.trusted():
                continue
            assert credential is not None
            self._submit(credential, ready)

    async def _database_away(self, error: Unavailable) -> None:
        """Send nothing more, and try for a while to write down what came of what was sent."""
        self.stop.because(error)
        if self._away is None:
            self._away = time.monotonic()
        if time.monotonic() - self._away > LAST_WORDS or self.stop.abandoned:
            # The intents stand: the ledger says "sending" of these rows, and the next process "unknown".
            raise error
        await asyncio.sleep(0.25)

    def _report(self, ended: list[tuple[Item, Record, str | None]], held: set[int]) -> None:
        for item, record, message_id in ended:
            if item.stretch.number in held and record.state is not RowState.PENDING:
                self.watcher.ended(item, record, () if message_id is None else (message_id,))

    # -- what leaves next ----------------------------------------------------------------------------

    async def _look_up(self) -> SmtpCredential | None:
        now = time.monotonic()
        if self._credential is None or now - self._looked > REFRESH:
            try:
                self._credential = await self.credential()
                self._looked = now
                self._window.use(self._credential.max_connections, self._credential.chunking)
            except FlowpostError as error:
                self.stop.because(error)
        return self._credential

    def _fill_ahead(self, credential: SmtpCredential | None) -> bool:
        """Write the next few messages; whether there may be more to write."""
        if credential is None or self.stop.asked:
            return False
        window = self._window.size
        now = time.monotonic()
        for _ in range(SLICE):
            if len(self._ready) >= window:
                return False
            item = self._later.due(now) or (None if self._later.full else self.feed.take())
            if item is None:
                return False
            self._fill(item, credential)
        return True

    def _fill(self, item: Item, credential: SmtpCredential) -> None:
        number = item.row.number
        written = self.drafts.take(number)
        if written is None:
            try:
                if item.body is None:
                    item.body = self.bodies.of(item.row, check=self.check)
                written = self.letters.fill(number, item.body, credential)
            except FlowpostError as error:
                self._end(item, RowState.INVALID, error=error)
                return
            if written is None:
                self._end(item, RowState.SKIPPED)
                return
        self._ready.append(Ready(item, written))

    def _leaving(self, credential: SmtpCredential) -> list[Ready]:
        room = min(self._window.size - len(self._flying), GROUP)
        if time.monotonic() < self.trouble.until or not self.trusted():
            return []
        if self.trouble.there:
            # One message finds out whether the server is back.
            room = min(room, 1 - len(self._flying))
        room = min(max(room, 0), len(self._ready))
        if not self.paced(credential):
            return [self._ready.popleft() for _ in range(room)]
        turns = self._permits.take(credential, room)
        return [self._ready.popleft().with_turn(turn) for turn in turns]

    # -- sessions ------------------------------------------------------------------------------------

    def _submit(self, credential: SmtpCredential, ready: Ready) -> None:
        item, written = ready.item, ready.written
        envelope = written.envelope
        if item.replies:
            left = tuple(
                name
                for name in envelope.recipients
                if name not in item.replies or ((reply := item.replies[name]) is not None and reply.transient)
            )
            envelope = Envelope(envelope.sender, left or envelope.recipients, envelope.smtputf8)
        item.attempts += 1
        try:
            job = self.carriage.submit(credential, item.row.number, envelope, written)
        except FlowpostError as error:
            self._failed(ready, envelope, error)
            return
        self._flying[item.row.number] = job
        job.add_done_callback(partial(self._landed, ready, envelope))

    def _gather(self) -> None:
        """Wake the loop when a commit is worth its while: outcomes enough, or sessions about to run dry."""
        enough = self._window.enough
        if len(self._ended) >= enough or len(self._flying) <= enough // 2:
            self._awake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._awake.set)

    def _landed(self, ready: Ready, envelope: Envelope, job: asyncio.Future[Outcome]) -> None:
        self._flying.pop(ready.item.row.number, None)
        self._window.landed(time.monotonic())
        if ready.turn is not None:
            ready.turn.over()
        self._judge(ready, envelope, job)
        self._gather()

    def _judge(self, ready: Ready, envelope: Envelope, job: asyncio.Future[Outcome]) -> None:
        if job.cancelled():
            # Stopped before the server had it.
            ready.item.attempts -= 1
            self._put_back(ready.item, 0.0)
            return
        error = job.exception()
        if isinstance(error, FlowpostError):
            self._failed(ready, envelope, error)
        elif error is not None:
            self.stop.because(error)
            fault = DeliveryUnknown("Delivery unknown: a fault of flowpost's own")
            self._end(ready.item, RowState.UNKNOWN, error=fault, message_id=ready.written.message_id)
        else:
            self.trouble.over()
            item, retry, outcome = ready.item, self.letters.retry, job.result()
            if not outcome.rejected:
                self.carriage.arrived(item.row.number)
            self._act(ready, after_outcome(item.replies, outcome, item.attempts, retry, self.chance()))

    def _failed(self, ready: Ready, envelope: Envelope, error: FlowpostError) -> None:
        item = ready.item
        verdict = after_error(
            item.replies,
            error,
            envelope.recipients,
            attempts=item.attempts,
            strikes=item.strikes,
            resend=self.letters.prepared.on_unknown == "resend" and not self.stop.asked,
            retry=self.letters.retry,
            chance=self.chance(),
        )
        if error.smtp_code is not None:
            self.trouble.over()
        self._act(ready, verdict)

    def _act(self, ready: Ready, verdict: Verdict) -> None:
        item = ready.item
        item.replies = verdict.replies
        match verdict.then:
            case Then.END:
                self._end(
                    item,
                    verdict.state,
                    response=verdict.response,
                    error=verdict.error,
                    message_id=ready.written.message_id,
                )
            case Then.AGAIN:
                self._put_back(item, verdict.delay)
            case Then.HOLD | Then.STOP:
                assert verdict.error is not None
                item.attempts -= 1
                self._put_back(item, 0.0)
                if verdict.then is Then.STOP:
                    self.stop.because(verdict.error)
                else:
                    self._hold(item, verdict.error)

    def _hold(self, item: Item, error: FlowpostError) -> None:
        item.strikes += 1
        if (pause := self.trouble.met(time.monotonic(), error)) is None:
            self.stop.because(error)
        else:
            self.watcher.waits(len(self._ready) + 1, pause, error.message)

    def _end(
        self,
        item: Item,
        state: RowState,
        *,
        response: str | None = None,
        error: FlowpostError | None = None,
        message_id: str | None = None,
    ) -> None:
        record = Record(
            item.row.number,
            state,
            item.attempts,
            item.replies or None,
            response,
            None if error is None else error.as_dict(),
        )
        self._ended.append((item, record, message_id))
        self.feed.settled(item)

    def _put_back(self, item: Item, delay: float) -> None:
        """The intent is taken back, and the row's turn comes again in ``delay`` seconds."""
        moment = time.monotonic() + delay if delay else 0.0
        self._later.put(moment, item)
        record = Record(item.row.number, RowState.PENDING, item.attempts, item.replies or None)
        self._ended.append((item, record, None))

    # -- waiting and stopping ------------------------------------------------------------------------

    def _done(self) -> bool:
        if self._flying or self._ended:
            return False
        if self.stop.asked:
            return True
        return self.feed.over and not len(self.feed) and not self._ready and not self._later

    async def _sleep(self) -> None:
        now = time.monotonic()
        # At least once a second: a credential may have changed, a heartbeat have come late.
        waits = [1.0]
        if self.trouble.until > now:
            waits.append(self.trouble.until - now)
        later = self._later.wait(now)
        if later is not None:
            waits.append(later)
            if not self._flying and later > 1.0:
                self.watcher.waits(len(self._later), later, "for a later attempt")
        seconds = max(0.001, min(waits))
        alarm = asyncio.get_running_loop().call_later(seconds, self._awake.set)
        await self._awake.wait()
        alarm.cancel()

    def _abandon(self) -> None:
        """Stop now: whatever has not left is taken back, whatever may have left is unknown."""
        self.carriage.abandon(self._flying.values())
