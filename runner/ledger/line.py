"""Those in this process who wait for one credential's turns, and what it has told the others of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.credential import Rate
from runner.errors import Unavailable
from runner.ledger.database import Database, execute, first, rows
from runner.ledger.grant import HORIZON, Grant, part_of, plan, spacing
from runner.ledger.postponed import Postponed

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

GONE = 6.0
"""Seconds after which a process that tells nothing is gone, with all that it had under way."""
KEEP = 1.0
"""Seconds after which a process tells again what it has under way."""
LEAD = 0.05
"""Seconds before its moment that a turn is handed out, for what has to be done before: an intent is written."""
_PAUSE = 0.05
"""Seconds between two questions to the database, where nothing new can be had sooner."""
_AWAY = 5.0
_SAMPLES = 64
_ENOUGH = 8


class Turn:
    """One message's turn. It comes back to the rates a window's length after it is ``over``.

    A turn that nobody keeps any more is over as well.
    """

    __slots__ = ("_line", "_moment", "_trip")

    def __init__(self, line: Line, moment: float) -> None:
        self._line: Line | None = line
        self._moment = moment
        self._trip: Trip | None = None

    async def begin(self) -> None:
        """Return at the turn's moment: the message may leave."""
        left = self._moment - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        if self._line is not None and self._trip is None:
            self._trip = self._line.begun(max(self._moment, time.monotonic()))

    def over(self) -> None:
        """The message has arrived, or never will."""
        line, self._line = self._line, None
        if line is not None:
            line.answered(self._trip)

    def __del__(self) -> None:
        line = self._line
        if line is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be gone
                line.loop.call_soon_threadsafe(line.answered, self._trip)


class Trip:
    """A message that left; ``since`` it has a connection, None while it has to wait for one."""

    __slots__ = ("ended", "since")

    def __init__(self, since: float | None) -> None:
        self.since = since
        self.ended = False


class Turns:
    """Turns at several rates for one message."""

    __slots__ = ("_turns",)

    def __init__(self, *turns: Turn | None) -> None:
        self._turns = tuple(turn for turn in turns if turn is not None)

    async def begin(self) -> None:
        """Return at the last one's moment."""
        for turn in self._turns:
            await turn.begin()

    def over(self) -> None:
        """As each of them."""
        for turn in self._turns:
            turn.over()


class Line:
    """Those who wait for one credential, in the order they came."""

    def __init__(self, database: Database, key: str, rates: tuple[Rate, ...], connections: float = 0) -> None:
        """``connections``: so many messages go without waiting for one another."""
        self.rates = rates
        self.room: int | None = None
        self.loop = asyncio.get_running_loop()
        self._database = database
        self._key = key
        self._owner = str(uuid.uuid4())
        self._connections = connections
        self._spacing = spacing(rates)
        self._pace = spacing([rate for rate in rates if rate.seconds <= 1.0])
        self._waiting: deque[tuple[float, asyncio.Future[Turn]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._asking: asyncio.Future[tuple[float, Grant]] | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._held = 0
        self._out = 0
        self._flying = 0
        self._behind_others: deque[Trip] = deque()
        self._answers: list[float] = []
        self._dirty = self._closed = False
        self._told = -math.inf
        self._took: deque[float] = deque(maxlen=_SAMPLES)
        self._ahead: deque[float] = deque(maxlen=16)
        self._behind: deque[float] = deque(maxlen=16)
        self._promised = -math.inf

    async def turn(self, patience: float) -> Turn:
        """Return just before the turn's moment; raises Postponed when that is further away than ``patience``."""
        if self._closed:
            raise Postponed(_AWAY)
        future: asyncio.Future[Turn] = self.loop.create_future()
        self._waiting.append((patience, future))
        self._go_on()
        return await future

    def begun(self, moment: float) -> Trip:
        """A message leaves at that moment, or as soon as there is a connection for it."""
        self._flying += 1
        if self._flying <= self._connections:
            return Trip(moment)
        trip = Trip(None)
        self._behind_others.append(trip)
        return trip

    def answered(self, trip: Trip | None) -> None:
        """A turn whose message, if it left, was on that trip is over."""
        now = time.monotonic()
        self._out -= 1
        self._held -= 1
        took = 0.0
        if trip is not None:
            trip.ended = True
            self._flying -= 1
            # From when it had a connection: who waited for one says nothing of the way, since the next one need not.
            if trip.since is not None:
                took = now - trip.since
                self._next_trip(now)
        self._took.append(took)
        self._answers.append(now)
        self._go_on()

    def _next_trip(self, now: float) -> None:
        """A connection is free: it is the next message's, in the order in which they left."""
        while self._behind_others:
            trip = self._behind_others.popleft()
            if not trip.ended:
                trip.since = now
                return

    async def close(self) -> None:
        """Stop; those who wait are postponed, and what is under way counts as arriving now."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._asking is not None and not self._asking.done():
            # A thread cannot be cancelled, and what it writes must not come after the last word.
            await asyncio.wait([self._asking])
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._answers += [time.monotonic()] * self._out
        told = self._told > -math.inf
        self._held = self._out = self._flying = 0
        if told:
            with contextlib.suppress(Unavailable):
                await asyncio.to_thread(self._write, self._tell)

    # -- the database ----------------------------------------------------------------------------------

    def _go_on(self) -> None:
        self._news.set()
        if self._task is None and not self._closed:
            self._task = self.loop.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            while self._trim() or self._held or self._answers or self._dirty:
                self._news.clear()
                short, wait = await self._ask()
                if short:
                    # Answers that come until then are told together.
                    await asyncio.sleep(max(_PAUSE, min(wait - HORIZON, KEEP)))
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEEP):
                        while not self._news.is_set() and (self._held or not self._idle()):
                            await self._news.wait()
                if not self._unserved():
                    await asyncio.sleep(_PAUSE)
        except asyncio.CancelledError:
            self._postpone(_AWAY, self._spacing, everyone=True)
            raise
        except Exception:
            log.exception("the rates of %s could not be kept: nobody leaves", self._key)
            self._postpone(_AWAY, self._spacing, everyone=True)
        finally:
            self._task = None

    def _idle(self) -> bool:
        return not (self._held or self._answers or self._dirty or self._waiting)

    def _unserved(self) -> int:
        return max(0, self._trim() - len(self._timers))

    async def _ask(self) -> tuple[bool, float]:
        """Tell and ask; whether there were fewer turns than wanted, and how long until there is one."""
        answers, self._answers = self._answers, []
        self._dirty = False
        before = time.monotonic()
        wanted = self._unserved()
        held, floor = self._held, floor_of(self._took)
        try:
            self._asking = self.loop.run_in_executor(
                None,
                self._write,
                lambda connection: self._exchange(connection, wanted, held, floor, answers),
            )
            now, grant = await asyncio.shield(self._asking)
        except Unavailable:
            self._answers = answers + self._answers
            self._postpone(_AWAY, self._spacing, everyone=True)
            return True, KEEP
        self._told = before
        self._note_clocks(before, now)
        self.room = grant.room
        self._held += len(grant.slots)
        offset = min(self._ahead)
        for slot in grant.slots:
            self._set_timer(slot + offset)
        wait = grant.wait or max(_PAUSE, self._pace)
        if grant.short:
            # Quotas that are used up free one message after the other; a pace is a row of slots.
            self._postpone(wait, self._spacing if grant.room == 0 else self._pace)
        return grant.short, wait

    def _write(self, work: Callable[[Connection], tuple[float, Grant]]) -> tuple[float, Grant]:
        with self._database.turn:
            return self._database.write(work)

    def _tell(self, connection: Connection) -> tuple[float, Grant]:
        answers, self._answers = self._answers, []
        return self._exchange(connection, 0, self._held, 0.0, answers)

    def _exchange(
        self, connection: Connection, wanted: int, held: int, floor: float, answers: list[float]
    ) -> tuple[float, Grant]:
        row = first(connection, "budgets.open", credential=self._key)
        assert row is not None
        now: float = row["now"]
        fresh: dict[tuple[float, int], int] = {}

        def count(moment: float, number: int) -> None:
            for rate in self.rates:
                part = (rate.seconds, part_of(moment, rate.seconds))
                fresh[part] = fresh.get(part, 0) + number

        own, behind = floor, max(self._behind, default=None)
        for answer in answers:
            count(now if behind is None else answer - behind, 1)
        others = 0
        for each in rows(connection, "budgets.held", credential=self._key):
            if each["owner"] == self._owner:
                continue
            if abs(now - each["seen"]) > GONE:
                # It is dead, or cut off and begins nothing more: what it had under way arrives by now.
                count(now, each["held"])
                execute(connection, "budgets.release", credential=self._key, owner=each["owner"])
                continue
            others += each["held"]
            floor = min(floor, each["floor"])
        used: dict[float, dict[int, int]] = {}
        for each in rows(connection, "budgets.used", credential=self._key):
            used.setdefault(each["seconds"], {})[each["bucket"]] = each["used"]
        for (seconds, part), number in fresh.items():
            parts = used.setdefault(seconds, {})
            parts[part] = parts.get(part, 0) + number
        grant = plan(now, row["next_slot"], used, self.rates, wanted, held=held + others, floor=floor)
        execute(connection, "budgets.advance", credential=self._key, next_slot=grant.next_slot)
        for seconds, stale in grant.stale.items():
            for part in stale:
                fresh.pop((seconds, part), None)
                execute(connection, "budgets.forget", credential=self._key, seconds=seconds, bucket=part)
            if grant.moved[seconds]:
                now_part = (seconds, grant.present[seconds])
                fresh[now_part] = fresh.get(now_part, 0) + grant.moved[seconds]
        for (seconds, part), number in fresh.items():
            execute(
                connection, "budgets.use", credential=self._key, seconds=seconds, bucket=part, used=number
            )
        mine = held + len(grant.slots)
        values = {"credential": self._key, "owner": self._owner}
        if mine:
            execute(connection, "budgets.hold", **values, held=mine, floor=own)
        else:
            execute(connection, "budgets.release", **values)
        return now, grant

    # -- those who wait --------------------------------------------------------------------------------

    def _set_timer(self, moment: float) -> None:
        def go() -> None:
            self._timers.discard(timer)
            self._release(moment)

        timer = self.loop.call_later(max(0.0, moment - LEAD - time.monotonic()), go)
        self._timers.add(timer)

    def _release(self, moment: float) -> None:
        """Let the first in the line go."""
        waiting = self._trim()
        if time.monotonic() - self._told > GONE - KEEP or not waiting:
            # The others may count this process as gone; or those who waited are.
            self._held -= 1
            self._dirty = True
            self._go_on()
            return
        self._out += 1
        _, future = self._waiting.popleft()
        future.set_result(Turn(self, moment))

    def _trim(self) -> int:
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        return len(self._waiting)

    def _postpone(self, wait: float, apart: float, *, everyone: bool = False) -> None:
        """Send those away whose turn does not come soon, each to a moment of their own, in their order."""
        now = time.monotonic()
        served = 0 if everyone else len(self._timers)
        staying: deque[tuple[float, asyncio.Future[Turn]]] = deque()
        place = -served
        for patience, future in self._waiting:
            if future.done():
                continue
            seconds = wait + place * apart
            place += 1
            if not everyone and (place <= 0 or seconds <= patience):
                staying.append((patience, future))
                continue
            self._promised = max(self._promised + apart, now + seconds)
            future.set_exception(Postponed(self._promised - now))
        self._waiting = staying

    def _note_clocks(self, before: float, now: float) -> None:
        """The monotonic clock less the database's lies between two figures; the closest of each are kept."""
        ahead, behind = time.monotonic() - now, before - now
        if self._ahead and (ahead < max(self._behind) - 0.1 or behind > min(self._ahead) + 0.1):
            # One of the clocks was set.
            self._ahead.clear()
            self._behind.clear()
        self._ahead.append(ahead)
        self._behind.append(behind)


def floor_of(took: deque[float]) -> float:
    """What an answer takes at least; 0 while that is not known."""
    return min(took) if len(took) >= _ENOUGH else 0.0
