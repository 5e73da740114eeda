"""Letters through one session, in callbacks: what a reply means is done when it comes.

Here stands what both ways of sending share: ``runner.smtp.dots`` sends by DATA, ``runner.smtp.chunks`` by BDAT.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Protocol

from runner.errors import DeliveryUnknown, FlowpostError
from runner.model import Outcome
from runner.smtp.job import Job
from runner.smtp.reply import Reply
from runner.smtp.session import Session
from runner.smtp.transaction import opening
from runner.smtp.wire import Lost

LAST_WRITE = 64 * 1024
"""Octets of content that leave in one write with the end of the message: one write for most messages."""
SLOWEST = 32 * 1024
"""Octets per second that a server has to take on average, beyond ``timeout_seconds``."""
_PIECE = 128 * 1024


class Depot(Protocol):
    """Where letters come from, and where what became of them is told: the lane."""

    hungry: dict[Conveyor, None]
    """Who can take one more letter at once, the longest waiting first."""
    idle: dict[Conveyor, None]
    """Who has nothing to carry, the last one to become so last."""

    def next_for(self, session: Session, *, behind: bool) -> Job | None:
        """The letter that waits longest; None when none may go over ``session`` now, first or ``behind`` another."""
        ...

    def waits(self) -> bool:
        """Whether a letter may be waiting."""
        ...

    def patience(self, session: Session) -> float:
        """Seconds for which ``session``, with nothing to carry, may take the next letter just so; 0 when it may not."""
        ...

    def delivered(self, job: Job, outcome: Outcome) -> None:
        """The server took it."""
        ...

    def failed(self, job: Job, error: FlowpostError) -> None:
        """It did not get through; the lane may try another connection."""
        ...

    def move(self, job: Job) -> None:
        """Nothing of it was handed over: it goes to another connection."""
        ...


class Conveyor(ABC):
    """Carries letters over ``session``. Afterwards that can be used again unless ``session.closing`` is true.

    It is the wire's listener while it carries.
    """

    def __init__(self, session: Session, depot: Depot) -> None:
        self.session = session
        self.wire = session.wire
        self.depot = depot
        self.loop = asyncio.get_running_loop()
        self.flying: deque[Job] = deque()
        """Letters whose commands were written and which have no outcome yet; the replies are for the first."""
        self.poured = -1
        """Octets of a large letter's content that were written ahead of its end; -1 when there is none."""
        self._over: asyncio.Future[None] | None = None

    async def carry(self, job: Job) -> None:
        """Send ``job``, and then what the depot has, until it has nothing or the session cannot go on."""
        self._over = self.loop.create_future()
        self.wire.attach(self)
        try:
            self.begin(job)
            await self._over
        finally:
            self.wire.detach()
            self._over = None
            self._leave()
            self._abandon()

    # -- what differs --------------------------------------------------------------------------------

    @abstractmethod
    def begin(self, job: Job | None) -> None:
        """Begin with ``job``, or else the next one, on a session that is at rest."""

    @abstractmethod
    def feed(self) -> None:
        """A letter waits in the depot, and this session said that it can take one."""

    @abstractmethod
    def prepare(self, job: Job, commands: bytes) -> bytes:
        """What is written ahead of the content, beginning with ``commands``; ``job`` is told how many replies
        that has.
        """

    @abstractmethod
    def step(self, job: Job) -> None:
        """All replies that were due to the letter at the head are there."""

    @abstractmethod
    def go_on(self) -> None:
        """The letter at the head was settled."""

    @abstractmethod
    def ended(self) -> None:
        """See ``Listener``."""

    @abstractmethod
    def drained(self) -> None:
        """See ``Listener``."""

    @abstractmethod
    def late(self) -> None:
        """See ``Listener``."""

    # -- what does not -------------------------------------------------------------------------------

    def heard(self, replies: list[Reply]) -> None:
        """See ``Listener``."""
        for reply in replies:
            if not self.flying:
                return
            job = self.flying[0]
            job.replies.append(reply)
            if len(job.replies) == job.due:
                self.step(job)

    def pull(self, job: Job | None = None) -> bytes:
        """Put ``job``, or the next letter that can go, in flight, and return its commands; none when there is
        none.
        """
        session = self.session
        while job is not None or (job := self.depot.next_for(session, behind=bool(self.flying))) is not None:
            try:
                commands = opening(session, job.letter)
            except FlowpostError as exc:
                job.fail(exc)
                job = None
                continue
            job.reused = session.sent > 0
            session.sent += 1
            self.flying.append(job)
            return self.prepare(job, commands)
        return b""

    def pour(self, content: bytes) -> bool:
        """Write ``content`` but for its last octets, as fast as they leave; True when they have."""
        cut = len(content) - LAST_WRITE
        while not self.wire.unsent:
            if self.poured >= cut:
                return True
            piece = content[self.poured : min(self.poured + _PIECE, cut)]
            self.wire.send(piece, 0)
            self.poured += len(piece)
        return False

    def settle(self, job: Job, result: Outcome | FlowpostError) -> None:
        """Tell what became of the letter at the head, and go on with the next."""
        self.flying.popleft()
        self.depot.hungry.pop(self, None)
        job.session = None
        if isinstance(result, FlowpostError):
            self.depot.failed(job, result)
        else:
            self.depot.delivered(job, result)
        self.go_on()

    def linger(self) -> None:
        """Nothing is left to carry. More often than not the next letter is a few milliseconds away, and to wake
        the task that carries for each would cost as much as the letter.
        """
        self.session.used = self.loop.time()
        patience = self.depot.patience(self.session)
        if patience > 0:
            self.depot.idle[self] = None
            self.wire.watch(self.session.used + patience)
        else:
            self.finish()

    def wake(self) -> None:
        """Begin with the next letter on a session that has nothing to carry; a server that has closed gets none."""
        self.depot.idle.pop(self, None)
        if not self.depot.waits():
            self.linger()
            return
        try:
            self.wire.check_peer()
        except Lost:
            self.session.closing = True
            self.finish()
        else:
            self.begin(None)

    def is_over(self) -> bool:
        """Whether the carrying has ended."""
        return self._over is None or self._over.done()

    def finish(self) -> None:
        """End the carrying; what is announced and not handed over goes elsewhere."""
        if self._over is None or self._over.done():
            return
        self._over.set_result(None)
        self._leave()
        if self.session.closing:
            # Now: what was just told to be not sent may still stand in a buffer, and would leave with the next
            # turn of the loop.
            self.wire.abort()
        while self.flying:
            job = self.flying.popleft()
            job.session = None
            if job.handed_over:
                job.fail(self.unknown("the connection was given up", "at"))
            else:
                self.depot.move(job)

    def lost(self, why: str | None) -> FlowpostError:
        """The error for a letter that was not handed over when the connection was lost."""
        self.session.closing = True
        return self.session.lost(why or "the connection was lost")

    def unknown(self, why: str, where: str) -> DeliveryUnknown:
        """The error for a letter that was, and has no reply."""
        place = f"{self.session.place} after the message was handed over and before it was acknowledged"
        return DeliveryUnknown(f"Delivery unknown: {why} {where} {place}")

    def _leave(self) -> None:
        self.depot.hungry.pop(self, None)
        self.depot.idle.pop(self, None)

    def _abandon(self) -> None:
        """Whoever carries was stopped in the middle."""
        while self.flying:
            self.session.closing = True
            job = self.flying.popleft()
            job.session = None
            if job.handed_over:
                job.fail(DeliveryUnknown("Delivery unknown: the sender stopped before the server's reply"))
            else:
                job.fail(self.lost("the sender was closed"))
