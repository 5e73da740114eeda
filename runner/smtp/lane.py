"""The connections of one credential: a queue of letters, and workers that each own one session.

While no session stands, openings go one after the other: a wrong password is then tried once, not once per
connection, and a server that is down is asked once for all who wait. A worker takes the next letter only when its
session stands, so a failed opening holds no letter back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from runner.credential import SmtpCredential
from runner.errors import AuthError, ConnectionFailed, FlowpostError
from runner.model import Outcome
from runner.smtp.chunks import ChunkConveyor
from runner.smtp.conveyor import Conveyor
from runner.smtp.dots import DotConveyor
from runner.smtp.job import Job, give
from runner.smtp.pace import SLOW_CODES, Clock, Pace, Refusals
from runner.smtp.session import Dialer, Session, open_session, tls_context
from runner.smtp.transaction import Letter
from runner.smtp.wire import Lost

PROBE_AFTER = 1.0
"""Seconds of rest after which a connection is asked whether it still stands, before MAIL."""
PROBE_PATIENCE = 5.0
LINGER = 0.5
"""Seconds for which a connection that has nothing to carry waits for the next letter before it goes to rest."""
MAX_LIFETIME = 600.0
"""Seconds after which a connection is replaced: servers and name records change."""
FEWER_FOR = 60.0
"""Seconds for which a lane keeps to the connections it has when the server refuses one more."""

Key = tuple[str, ...]


class Lane:
    """All connections of one pool key. ``ended`` is called when the last one is closed and nothing waits."""

    def __init__(
        self,
        dialer: Dialer,
        credential: SmtpCredential,
        key: Key,
        refusals: Refusals,
        pace: Pace,
        clock: Clock,
        ended: Callable[[], None],
    ) -> None:
        self._dialer = dialer
        self._credential = credential
        self._key = key
        self._refusals = refusals
        self._clock = clock
        self._ended = ended
        self._pace = pace
        self._context = tls_context(credential)
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[Job] = deque()
        self._resting: deque[asyncio.Future[Job | None]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._sessions: set[Session] = set()
        self._opening = asyncio.Condition()
        self._openers: set[asyncio.Task[None]] = set()
        self._fewer = (0, -1.0)
        self._retired = False
        self._closed = False
        self.hungry: dict[Conveyor, None] = {}
        """Sessions that carry letters and can take one more at once, the longest waiting first."""
        self.idle: dict[Conveyor, None] = {}
        """Sessions that have nothing to carry and rest in a moment, the last one to become so last."""

    def submit(self, letter: Letter) -> Job:
        """Put ``letter`` in the queue."""
        job = Job(letter, self._loop)
        self._submit(job)
        return job

    def retire(self) -> None:
        """Close connections as soon as they rest: the credential has a newer version."""
        self._retired = True
        while self._resting:
            give(self._resting.pop(), None)
        for conveyor in list(self.idle):
            conveyor.finish()

    async def close(self, patience: float) -> None:
        """Finish what is on its way within ``patience`` seconds, say goodbye, close."""
        self.retire()
        self._closed = True
        while self._jobs:
            self._jobs.popleft().fail(_closed())
        for opener in self._openers:
            opener.cancel()  # nobody waits for that session any more
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=patience)
            for worker in late:
                worker.cancel()
            if late:
                await asyncio.wait(late)

    # -- the queue -----------------------------------------------------------------------------------

    def _submit(self, job: Job, *, first: bool = False) -> None:
        while self._resting and not self.idle:
            if give(self._resting.pop(), job):
                return
        if first:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)
        while self._jobs and self.idle:
            next(reversed(self.idle)).wake()
        if self._jobs and not self._staff() and self.hungry:
            next(iter(self.hungry)).feed()

    def _staff(self) -> bool:
        """Start one more worker if letters wait and the limits allow one; False when they do not."""
        workers = len(self._workers)
        if workers >= self._credential.max_connections or workers >= self._limit():
            return False
        if self._jobs:
            worker = self._loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._left)
        return True

    def _limit(self) -> int:
        """How many connections there may be now, at least one."""
        fewer, until = self._fewer
        limit = self._credential.max_connections
        return max(1, min(limit, fewer) if self._clock() < until else limit)

    def _left(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._staff()
        if not self._workers:
            self._ended()

    # -- the depot of the conveyors ------------------------------------------------------------------

    def next_for(self, session: Session, *, behind: bool) -> Job | None:
        """The letter that waits longest; None when none may go over ``session`` now, first or ``behind`` another."""
        if not self._jobs or self._spent(session) or self._pace.wait() > 0:
            return None
        if behind and self._jobs[0].moves:
            # The server that it was with closed; one that closes after each message would do so again and again.
            return None
        return self.next_job()

    def waits(self) -> bool:
        """Whether a letter may be waiting."""
        return bool(self._jobs)

    def patience(self, session: Session) -> float:
        """Seconds for which ``session``, with nothing to carry, may take the next letter just so; 0 when it may not."""
        if self._jobs or self._retired or session.closing or self._spent(session):
            return 0.0
        return min(LINGER, PROBE_AFTER, self._credential.idle_seconds)

    def delivered(self, job: Job, outcome: Outcome) -> None:
        """The server took it."""
        slow = [refusal.code for refusal in outcome.rejected if refusal.code in SLOW_CODES]
        self._pace.heard(slow[0] if slow else None)
        if not job.done():
            job.set_result(outcome)

    def failed(self, job: Job, error: FlowpostError) -> None:
        """It did not get through. On a connection that went stale it had no chance: it gets another one."""
        stale = isinstance(error, ConnectionFailed) or error.smtp_code == 421
        if stale and job.reused and not job.handed_over and job.moves < self._credential.max_connections:
            self.move(job)
            return
        if error.smtp_code is not None:
            self._pace.heard(error.smtp_code)
        job.fail(error)

    def move(self, job: Job) -> None:
        """Nothing of it was handed over: it goes to another connection."""
        job.moves += 1
        if self._closed:
            job.fail(_closed())
        elif not job.done():
            self._submit(job, first=True)

    def next_job(self) -> Job | None:
        """The letter that waits longest, None when none does."""
        while self._jobs:
            job = self._jobs.popleft()
            if not job.done():
                return job
        return None

    async def _rest(self, session: Session) -> Job | None:
        """Wait for a letter, until ``session`` has not been used for ``idle_seconds``."""
        if self._retired:
            return None
        given: asyncio.Future[Job | None] = self._loop.create_future()
        self._resting.append(given)
        timer = self._loop.call_at(session.used + self._credential.idle_seconds, give, given, None)
        try:
            return await given
        finally:
            timer.cancel()

    # -- one worker ----------------------------------------------------------------------------------

    async def _work(self) -> None:
        session: Session | None = None
        job: Job | None = None
        try:
            while True:
                if session is None:
                    session = await self._open()
                    if session is None:
                        return
                    conveyor = self._conveyor(session)
                if job is None:
                    job = self.next_job() or await self._rest(session)
                    if job is None:
                        return
                    await self._slow_down()
                stands = await self._stands(session)
                taken, job = job, None
                if stands:
                    await conveyor.carry(taken)
                else:
                    self._submit(taken, first=True)
                if not stands or session.closing or session.wire.fault is not None or self._spent(session):
                    await self._drop(session)
                    session = None
        except BaseException as exc:
            if session is not None:
                session.wire.abort()
            closed = isinstance(exc, asyncio.CancelledError)
            self._give_up(job, _closed() if closed else exc)
            if closed:
                raise
        finally:
            if session is not None:
                await self._drop(session)

    def _conveyor(self, session: Session) -> Conveyor:
        window = self._credential.chunking
        if window > 0 and session.offer.chunking and session.offer.pipelining:
            return ChunkConveyor(session, self, window)
        return DotConveyor(session, self)

    async def _open(self) -> Session | None:
        """A new session, or None when there is nothing to do, or no session to be had.

        The first one alone, so that a wrong password is tried once; behind a login that was accepted the others
        open side by side: ten in turn would take a distant server seconds.
        """
        task = asyncio.current_task()
        assert task is not None
        async with self._opening:
            await self._opening.wait_for(lambda: len(self._openers) < self._openings())
            self._openers.add(task)
        try:
            return await self._open_one()
        finally:
            self._openers.discard(task)
            async with self._opening:
                self._opening.notify_all()

    def _openings(self) -> int:
        """How many may go on at a time: no more than letters wait for, and one until a session stands."""
        return max(1, self._waiting()) if self._standing() else 1

    def _waiting(self) -> int:
        return sum(not job.done() for job in self._jobs)

    async def _open_one(self) -> Session | None:
        if not self._waiting() or self._standing() >= self._limit():
            return None
        await self._slow_down()
        try:
            self._refusals.check(self._key)
        except AuthError as exc:
            self._no_session(exc)
            return None
        try:
            session = await open_session(self._dialer, self._credential, self._context)
        except FlowpostError as exc:
            if isinstance(exc, AuthError):
                self._refusals.note(self._key, exc)
            self._no_session(exc)
            return None
        self._sessions.add(session)
        return session

    def _no_session(self, error: BaseException) -> None:
        """Leave the letters to the sessions that stand; with none, whoever waits gets the error."""
        if self._standing():
            self._fewer = (self._standing(), self._clock() + FEWER_FOR)
            return
        if isinstance(error, FlowpostError) and error.smtp_code is not None:
            self._pace.heard(error.smtp_code)
        while self._jobs:
            self._jobs.popleft().fail(error)

    def _standing(self) -> int:
        """How many sessions can carry letters."""
        return sum(session.wire.fault is None and not session.closing for session in self._sessions)

    def _spent(self, session: Session) -> bool:
        age = self._loop.time() - session.since
        return session.sent >= self._credential.max_messages or age > MAX_LIFETIME

    async def _stands(self, session: Session) -> bool:
        """True when the next letter may go over ``session``; a connection that rested is asked first."""
        if session.wire.fault is not None or (session.sent and self._spent(session)):
            return False
        now = self._loop.time()
        if now - session.used < PROBE_AFTER:
            return True
        patience = min(PROBE_PATIENCE, self._credential.timeout_seconds)
        try:
            return (await session.wire.command(b"NOOP", now + patience)).positive
        except (Lost, TimeoutError):
            return False

    async def _slow_down(self) -> None:
        # Another refusal may have come during the sleep.
        while (seconds := self._pace.wait()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(seconds)

    async def _drop(self, session: Session) -> None:
        if session.closing:
            session.wire.abort()
        await session.quit()
        self._sessions.discard(session)

    def _give_up(self, job: Job | None, error: BaseException) -> None:
        if job is not None:
            job.fail(error)
        if not isinstance(error, FlowpostError):
            self._no_session(error)


def _closed() -> ConnectionFailed:
    return ConnectionFailed("Cannot connect: the sender was closed")
