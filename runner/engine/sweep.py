"""The engine's rounds: show that this process lives, take over from those that don't, clear old history away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.engine.deaths import Verdict, bury, owners
from runner.engine.deserted import end_deserted
from runner.engine.durable import Durable, Queue
from runner.engine.retention import prune_runs
from runner.engine.values import dump
from runner.engine.versions import Versions
from runner.errors import FlowpostError, Unavailable
from runner.ledger.database import Database, execute, rows
from runner.ledger.presence import BEAT, DEAD, here
from runner.ledger.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

_BURY = 3600.0
_PRUNE = 600.0
_LEGS_KEPT = 600.0
_BATCH = 500
_JUMP = 10.0
"""Seconds by which a clock must jump to be followed."""


class Sweeper:
    """Beats, takes over, gives up, prunes; each failure is logged and tried again on the next round."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        queue: Queue,
        durable: Durable,
        owner: str,
        keep: Callable[[], float],
        versions: Versions,
    ) -> None:
        self._database = database
        self._writer = writer
        self._queue = queue
        self._durable = durable
        self._owner = owner
        self._keep = keep
        self._versions = versions
        self._beaten = -1e9
        self._skew = _skew()

    @property
    def trusted(self) -> bool:
        """Whether nobody can think this process dead: its last beat that was written is fresh."""
        return self._database.dialect == "sqlite" or time.monotonic() - self._beaten < DEAD - BEAT

    async def beat(self) -> None:
        """Show that this process lives."""
        before = time.monotonic()
        node = here(self._owner.partition(":")[0])
        await self._writer.write(
            lambda connection: execute(connection, "heartbeats.beat", owner=self._owner, node=node)
        )
        self._beaten = before

    async def take_over(self) -> None:
        """Give the legs of dead processes back to the queue."""
        others = await asyncio.to_thread(self._durable.owners) | await self._database.read(owners)
        others -= {self._owner}
        if self._database.dialect != "sqlite" and others:
            # On SQLite this process holds the lock, so that all others are dead.
            living = await self._database.read(
                lambda connection: {row["owner"] for row in rows(connection, "heartbeats.living", limit=DEAD)}
            )
            others -= living
        if others:
            log.warning("taking over the runs of %d dead process(es)", len(others))
            # Before DBOS begins them again: who judges later would take the new leg for the old one.
            found = await self._writer.write(lambda connection: bury(connection, others, self._queue))
            if suspects := found[Verdict.IN_TURN] + found[Verdict.ALONE]:
                log.warning("%d run(s) that were there at several deaths go a few at a time", suspects)
            await asyncio.to_thread(self._durable.recover, others)

    async def follow_clock(self) -> None:
        """Let delayed legs wait no longer than they were meant to when the clock has been set back."""
        jump, self._skew = _skew() - self._skew, _skew()
        # With several machines, those whose clocks are right begin them.
        if jump < -_JUMP and self._database.dialect == "sqlite":
            moved = await asyncio.to_thread(self._durable.shift_delays, jump)
            log.warning("the clock was set back by %.0f s; %d waiting run(s) follow it", -jump, moved)

    async def give_up(self) -> None:
        """End runs that nobody can carry on with."""
        error = FlowpostError(
            "given up: what the database holds of it cannot be carried out",
            hint="see the log; flowpost runs retry begins it again",
        )
        for run_id, leg in await asyncio.to_thread(self._durable.spoilt):
            await self._writer.write(_failing(run_id, leg, dump(error.as_dict())))

    async def prune(self) -> None:
        """Delete runs that ended long ago, and DBOS's notes of legs that are over."""
        keep = self._keep()
        while await self._writer.write(lambda connection: prune_runs(connection, keep, _BATCH)) == _BATCH:
            pass
        self._versions.pruned()
        await self._writer.write(lambda connection: execute(connection, "runs.delete_versions"))
        await self._writer.write(lambda connection: execute(connection, "deaths.clear"))
        await self._writer.write(lambda connection: execute(connection, "heartbeats.bury", limit=_BURY))
        while await asyncio.to_thread(self._durable.forget, time.time() - _LEGS_KEPT, _BATCH) == _BATCH:
            pass

    async def run(self) -> None:
        """Do the rounds until cancelled."""
        # At the first round too: a service that is started anew every few minutes must forget as well.
        pruned = -1e9
        while True:
            await asyncio.sleep(BEAT)
            try:
                await self.beat()
                await self.follow_clock()
                if self._database.dialect != "sqlite":
                    await self.take_over()
                await self.give_up()
                await end_deserted(self._database, self._writer)
                if time.monotonic() - pruned > _PRUNE:
                    pruned = time.monotonic()
                    await self.prune()
            except Unavailable as error:
                log.warning("%s", error.message)
            except Exception:
                log.exception("a round of the engine failed")

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End the rounds, and say so, so that nobody has to wait for the heartbeat to grow old."""
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with contextlib.suppress(Unavailable):
            await self._writer.write(
                lambda connection: execute(connection, "heartbeats.leave", owner=self._owner)
            )


def _skew() -> float:
    return time.time() - time.monotonic()


def _failing(run_id: str, leg: int, error: str) -> Callable[[Connection], int]:
    return lambda connection: execute(connection, "runs.fail_run", id=run_id, leg=leg, error=error)
