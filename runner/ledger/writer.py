"""Group commit: many small writes share one transaction, and so one fsync."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from runner.errors import Unavailable
from runner.ledger.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

GROUP = 200
"""Writes that share a transaction at most."""
QUICK = 0.02
"""Seconds that a commit in the loop's thread may take; after a longer one the next ``AWAY`` are made in another."""
AWAY = 20
_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

Work = Callable[["Connection"], Any]
Together = Callable[["Connection", list[Any]], None]


class Writer:
    """Collects writes of one loop and commits them in groups, in the order they came.

    ``work`` gets a connection, must not commit, and may be called again: when one of a group fails, the
    others are done anew, each alone.
    """

    def __init__(self, database: Database, *, here: bool = False) -> None:
        """``here``: commit in the loop's own thread as long as the disk is quick.

        For a process that has little else to do meanwhile: to hand a commit over and be woken by it costs as much
        as the commit, and two threads that want the interpreter wait for each other.
        """
        self.database = database
        self._here = here
        self._slow = 0
        self._waiting: list[tuple[Work, Together | None, asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None
        # A thread of its own: commits must not queue behind whatever else the loop's threads do.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def write(
        self,
        work: Callable[[Connection], T],
        together: Callable[[Connection, list[T]], None] | None = None,
    ) -> T:
        """Return what ``work`` returned, once it is on disk. Raises Unavailable, or what ``work`` raised.

        ``together`` is called once in the transaction, with what each ``work`` of the group returned that came
        with the same ``together``. The caller's cancellation does not undo the write.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, together, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def insist(self, work: Callable[[Connection], T]) -> T:
        """As ``write``, but wait for a database that is away: what was done must not be forgotten."""
        pause = _PAUSE
        while True:
            try:
                return await self.write(work)
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def close(self) -> None:
        """Wait for the writes that were asked for."""
        while self._task is not None:
            await asyncio.shield(self._task)
        self._thread.shutdown(wait=False)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                works = [(work, together) for work, together, _ in group]
                results = await self._committed(works)
                for (_, _, future), (value, error) in zip(group, results, strict=True):
                    if future.done():
                        continue
                    if error is None:
                        future.set_result(value)
                    else:
                        future.set_exception(error)
        finally:
            self._task = None

    async def _committed(
        self, works: list[tuple[Work, Together | None]]
    ) -> list[tuple[Any, BaseException | None]]:
        if not self._here or self._slow:
            self._slow = max(0, self._slow - 1)
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, works)
        begun = time.monotonic()
        results = self._commit(works)
        if time.monotonic() - begun > QUICK:
            self._slow = AWAY
        return results

    def _commit(self, group: list[tuple[Work, Together | None]]) -> list[tuple[Any, BaseException | None]]:
        try:
            with self.database.turn:
                values = self.database.write(lambda connection: _do(connection, group))
        except Unavailable as error:
            return [(None, _own(error)) for _ in group]
        except Exception as error:  # noqa: BLE001
            # One of them spoilt it for all.
            return [(None, error)] if len(group) == 1 else [self._commit([each])[0] for each in group]
        return [(value, None) for value in values]


def _do(connection: Connection, group: list[tuple[Work, Together | None]]) -> list[Any]:
    values = [work(connection) for work, _ in group]
    for together in dict.fromkeys(each for _, each in group if each is not None):
        theirs = [value for value, (_, each) in zip(values, group, strict=True) if each == together]
        together(connection, theirs)
    return values


def _own(error: Unavailable) -> Unavailable:
    return Unavailable(error.message, hint=error.hint)
