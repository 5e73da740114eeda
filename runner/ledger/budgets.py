"""A credential's rates, kept together by every flow, process and machine on one database."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from typing import TYPE_CHECKING

from runner.credential import Rate, SmtpCredential
from runner.errors import RateError, Unavailable
from runner.ledger.database import Database, execute, first, rows
from runner.ledger.grant import LATE, Grant, interval, plan, spacing
from runner.ledger.postponed import Postponed

if TYPE_CHECKING:
    from sqlalchemy import Connection

PATIENCE = 5.0
"""Seconds that a message waits in place for its turn."""
IMPATIENCE = 1.0
"""The same, for a run that may not wait."""
_AWAY = 5.0


class Budgets:
    """Turns of one process, on one loop; credentials without rates have theirs at once."""

    def __init__(self, database: Database, *, may_wait: bool = True) -> None:
        """``may_wait`` False: a turn that does not come within a second is a RateError."""
        self._database = database
        self._may_wait = may_wait
        self._lines: dict[str, Line] = {}
        self._passages: dict[str, Line] = {}

    async def turn(self, credential: SmtpCredential) -> None:
        """Return when a message may leave. Raises Postponed when that is not soon, or RateError."""
        if not credential.rates:
            return
        key = f"{credential.workspace}/{credential.name}"
        line = self._lines.get(key)
        if line is None or line.rates != credential.rates:
            line = self._lines[key] = Line(self._database, key, credential.rates)
        try:
            await line.turn(PATIENCE if self._may_wait else IMPATIENCE)
        except Postponed as later:
            if self._may_wait:
                raise
            raise RateError(
                f'the budget of credential "{credential.name}" is used up for {later.seconds:.0f} s',
                hint="the run may not wait; try again then",
            ) from None

    async def pass_through(self, key: str, rates: tuple[Rate, ...], *, patience: float = math.inf) -> None:
        """Return when something may go on that is not a credential's, such as a batch with a rate of its own.

        Every process on this database that names the same ``key`` shares the ``rates``. Raises Postponed when the
        turn is further away than ``patience`` seconds; by default it is waited for, however long that takes.
        """
        if not rates:
            return
        # No credential has such a name, so that nobody can take from another's rates.
        name = f"={key}"
        line = self._passages.get(name)
        if line is None or line.rates != rates:
            line = self._passages[name] = Line(self._database, name, rates)
        ends = time.monotonic() + patience
        while True:
            try:
                await line.turn(min(PATIENCE, ends - time.monotonic()))
                break
            except Postponed as later:
                if time.monotonic() + later.seconds > ends:
                    raise
                await asyncio.sleep(later.seconds)

    def remaining(self) -> dict[str, int]:
        """Messages left in each credential's tightest quota, as far as this process knows."""
        return {
            key.partition("/")[2]: line.room for key, line in self._lines.items() if line.room is not None
        }

    async def close(self) -> None:
        """Stop handing out turns."""
        for line in (*self._lines.values(), *self._passages.values()):
            await line.close()


class Line:
    """Those who wait for one credential, in the order they came."""

    def __init__(self, database: Database, key: str, rates: tuple[Rate, ...]) -> None:
        self.rates = rates
        self.room: int | None = None
        self._database = database
        self._key = key
        self._step = interval(rates)
        self._spacing = spacing(rates)
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._ahead: deque[float] = deque(maxlen=16)
        self._released = -1e9
        self._promised = -1e9

    async def turn(self, patience: float) -> None:
        """Return at the turn's moment; raises Postponed when that is further away than ``patience``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((patience, future))
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        await future

    async def close(self) -> None:
        """Stop; those who wait are postponed."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _serve(self) -> None:
        try:
            while self._trim():
                before = time.monotonic()
                try:
                    now, grant = await asyncio.to_thread(
                        self._database.write, lambda connection: self._reserve(connection, len(self._waiting))
                    )
                except Unavailable:
                    self._postpone(_AWAY, self._step, everyone=True)
                    return
                self.room = grant.room
                offset = self._offset(now, before)
                for slot in grant.slots:
                    await self._release(slot + offset)
                # Quotas that are used up free one message after the other; a pace is a row of slots.
                self._postpone(grant.wait, self._spacing if grant.room == 0 else self._step)
                if not grant.slots and self._waiting:
                    await asyncio.sleep(min(grant.wait, 1.0))
        except BaseException:
            self._postpone(_AWAY, self._step, everyone=True)
            raise
        finally:
            self._task = None

    def _trim(self) -> int:
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        return len(self._waiting)

    async def _release(self, moment: float) -> None:
        """Let the first in the line go at ``moment``, but not sooner after the one before than the pace says."""
        moment = max(moment, self._released + self._step * 0.97)
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        if time.monotonic() - moment > LATE and self._step:
            # The loop was held up, or the machine slept: messages that made up for it would leave at once.
            return
        if self._trim():
            self._waiting.popleft()[1].set_result(None)
            self._released = time.monotonic()

    def _postpone(self, wait: float, apart: float, *, everyone: bool = False) -> None:
        """Send those away whose turn does not come soon, each to a moment of their own, in their order."""
        now = time.monotonic()
        staying: deque[tuple[float, asyncio.Future[None]]] = deque()
        for place, (patience, future) in enumerate(self._waiting):
            seconds = wait + place * apart
            if future.done():
                continue
            if not everyone and seconds <= patience:
                staying.append((patience, future))
                continue
            self._promised = max(self._promised + apart, now + seconds)
            future.set_exception(Postponed(self._promised - now))
        self._waiting = staying

    def _offset(self, now: float, before: float) -> float:
        """The monotonic clock less the database's; the shortest of the last answers is the best."""
        offset = time.monotonic() - now
        if self._ahead and abs(offset - min(self._ahead)) > 1.0:
            # One of the clocks was set.
            self._ahead.clear()
        self._ahead.append(offset)
        return min(self._ahead)

    def _reserve(self, connection: Connection, wanted: int) -> tuple[float, Grant]:
        row = first(connection, "budgets.open", credential=self._key)
        assert row is not None
        used: dict[float, dict[int, int]] = {}
        for each in rows(connection, "budgets.used", credential=self._key):
            used.setdefault(each["seconds"], {})[each["bucket"]] = each["used"]
        grant = plan(row["now"], row["next_slot"], used, self.rates, wanted)
        execute(connection, "budgets.advance", credential=self._key, next_slot=grant.next_slot)
        for seconds, part in grant.parts.items():
            for stale in grant.stale[seconds]:
                execute(connection, "budgets.forget", credential=self._key, seconds=seconds, bucket=stale)
            taken = len(grant.slots) + grant.moved[seconds]
            if taken:
                execute(
                    connection, "budgets.use", credential=self._key, seconds=seconds, bucket=part, used=taken
                )
        return row["now"], grant
