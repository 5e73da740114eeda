"""The driver of schedules: looks at the clock, asks the acceptor for what is due, and remembers how far it came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from runner.errors import Conflict, FlowpostError
from runner.model import Flow
from runner.triggers.base import Acceptor, BadBody, Bodies, Flows
from runner.triggers.schedule import Schedule, due, next_tick, schedules_of

_LOG = logging.getLogger("flowpost.schedule")
_LOOK = 1.0
_BACKOFF = 5.0
# A clock that is put right by less than this has not jumped.
_BACK = timedelta(seconds=2)


class Marks(Protocol):
    """Until when the ticks of each schedule are dealt with, kept over restarts."""

    async def load(self) -> Mapping[str, datetime]:
        """By a schedule's identity."""
        ...

    async def save(self, marks: Mapping[str, datetime]) -> None:
        """Keep ``marks``, all there are; raises nothing, since what cannot be written must stop no schedule."""
        ...


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class Clockwork:
    """Fires the schedules of the live flows.

    Each machine looks for itself; that a tick fires once is the acceptor's doing, by the tick's key. So a clock
    put back fires what it shows again and changes nothing, and one put forward is like a service that was down.
    """

    def __init__(
        self,
        flows: Flows,
        accept: Acceptor,
        marks: Marks,
        *,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._flows = flows
        self._accept = accept
        self._marks = marks
        self._clock = clock
        self._sleep = sleep
        self._of: Mapping[str, Flow] | None = None
        self._schedules: list[Schedule] = []
        self._done: dict[str, datetime] = {}
        self._next: dict[str, datetime | None] = {}
        self._loaded = False
        self._bodies = Bodies()

    async def run(self) -> None:
        """Fire until cancelled."""
        while True:
            try:
                pause = await self.turn()
            except FlowpostError as error:
                _LOG.warning("schedules wait: %s", error.message)
                pause = _BACKOFF
            await self._sleep(pause)

    async def turn(self) -> float:
        """Fire what is due now; the seconds until the next look, one at most. Raises nothing for a failed tick."""
        now = self._clock().astimezone(UTC)
        await self._look_at_flows(now)
        pause = _LOOK
        for schedule in self._schedules:
            name = schedule.identity
            if now < self._done[name] - _BACK:
                self._done[name] = now
                self._plan(schedule)
            upcoming = self._next[name]
            if upcoming is not None and upcoming <= now and not await self._fire(schedule, now):
                pause = _BACKOFF
            elif (upcoming := self._next[name]) is not None:
                pause = min(pause, max(0.01, (upcoming - now).total_seconds()))
        return pause

    async def _look_at_flows(self, now: datetime) -> None:
        flows = self._flows()
        if flows is self._of:
            return
        schedules = [schedule for flow in flows.values() for schedule in schedules_of(flow)]
        if not self._loaded:
            kept = await self._marks.load()
            self._done = {name: min(time.astimezone(UTC), now) for name, time in kept.items()}
            self._loaded = True
        names = {schedule.identity for schedule in schedules}
        fresh = names - self._done.keys()
        gone = self._done.keys() - names
        # A new schedule has missed nothing: a flow that is merged at ten does not send its mail of eight.
        self._done = {name: self._done.get(name, now) for name in names}
        self._schedules, self._of = schedules, flows
        for schedule in schedules:
            self._plan(schedule)
        if fresh or gone:
            await self._marks.save(self._done)

    async def _fire(self, schedule: Schedule, now: datetime) -> bool:
        """Fire what is due; False when something is left to be tried again."""
        for tick in due(schedule, self._done[schedule.identity], now):
            try:
                await asyncio.to_thread(self._bodies.check, schedule.flow, schedule.body)
                await self._accept(schedule.flow, schedule.event(tick), schedule.key(tick))
            except BadBody as error:
                # The flow is there for other triggers, and no later try mends what its file says.
                reasons = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in error.problems)
                _LOG.error("the tick %s has failed: %s: %s", schedule.key(tick), error.detail, reasons)
            except Conflict:
                # Another machine, with another version of the flow, was first.
                _LOG.info("the tick %s has fired with another body", schedule.key(tick))
            except FlowpostError as error:
                _LOG.warning("the tick %s is not accepted yet: %s", schedule.key(tick), error.message)
                return False
            self._done[schedule.identity] = tick
        self._done[schedule.identity] = now
        self._plan(schedule)
        await self._marks.save(self._done)
        return True

    def _plan(self, schedule: Schedule) -> None:
        self._next[schedule.identity] = next_tick(schedule.cron, schedule.zone, self._done[schedule.identity])
