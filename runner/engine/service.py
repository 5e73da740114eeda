"""The engine: events in, runs that survive whatever happens to the process."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self

from runner.engine.durable import Durable, Queue
from runner.engine.execute import Listener, Silent
from runner.engine.history import History
from runner.engine.identity import new_run_id
from runner.engine.leg import Desk
from runner.engine.sweep import Sweeper
from runner.engine.values import dump_event, fingerprint
from runner.engine.versions import Versions
from runner.errors import Conflict, Unavailable
from runner.ledger.budgets import Budgets
from runner.ledger.database import Database, first
from runner.ledger.deliveries import Deliveries, Unwatched, Watcher
from runner.ledger.lock import FileLock
from runner.ledger.writer import Writer
from runner.model import Accepted, Event, Flow, Run
from runner.nodes.base import Context

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

CONCURRENCY = 50
"""Runs that one process carries at a time."""
_POLL = 0.5

Ended = Callable[[Run], None]


class Found(NamedTuple):
    """The run of an event that was accepted: a new one, or that of its key."""

    run_id: str
    payload: str
    new: bool


class Engine:
    """Accepts events and carries out their runs, as an async context manager on one loop; one a process.

    ``context`` is what nodes use, with the pool's sender; ``ended`` is told of each run that ended here,
    ``listener`` of each node, ``watcher`` of each message. ``keep`` seconds ended runs stay in the history; default: as
    the settings say.
    Entering it raises Unavailable when the database cannot be reached, and ConfigurationError when another
    process has the SQLite file.
    """

    def __init__(
        self,
        context: Context,
        *,
        node: str | None = None,
        concurrency: int = CONCURRENCY,
        keep: float | None = None,
        listener: Listener | None = None,
        watcher: Watcher | None = None,
        ended: Ended = lambda run: None,
    ) -> None:
        self.database = Database(context.settings.database, context.root)
        self.owner = f"{node or socket.gethostname()}:{uuid.uuid4()}"
        self.writer = Writer(self.database)
        self.queue = Queue(self.database)
        self.versions = Versions(self.database, context.settings)
        self.runs = History(self.database, self.writer, self.queue)
        self._lock = None if self.database.file is None else FileLock(self.database.file)
        self.budgets = Budgets(self.database)
        deliveries = Deliveries(
            writer=self.writer,
            owner=self.owner,
            turn=self.budgets.claim,
            trusted=lambda: self._sweeper.trusted,
            watcher=watcher or Unwatched(),
        )
        self._desk = Desk(
            owner=self.owner,
            deliveries=deliveries,
            writer=self.writer,
            queue=self.queue,
            versions=self.versions,
            context=context,
            listener=listener or Silent(),
            draining=lambda: self.draining,
        )
        self._durable = Durable(self.database, self.owner, self._leg, concurrency)
        self._sweeper = Sweeper(
            self.database,
            self.writer,
            self.queue,
            self._durable,
            self.owner,
            # Read at each round: the setting may change while the service runs.
            lambda: self._desk.context.settings.history_keep if keep is None else keep,
            self.versions,
        )
        self._concurrency = concurrency
        self._ended = ended
        self._waiters: dict[str, list[asyncio.Future[Run]]] = {}
        self._legs: set[asyncio.Task[object]] = set()
        self._stack = AsyncExitStack()
        self.draining = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self.database.close)
            if self._lock is not None:
                stack.callback(self._lock.release)
                self._lock.take()
            await asyncio.to_thread(self.database.migrate)
            stack.callback(self.queue.close)
            await asyncio.to_thread(self.queue.open)
            # Before DBOS's threads look for queues: they look once a second.
            await asyncio.to_thread(self.queue.register, self._concurrency)
            stack.push_async_callback(self.writer.close)
            stack.push_async_callback(self.budgets.close)
            await self._sweeper.beat()
            stack.push_async_callback(self._durable.close)
            self._durable.launch()
            await self._sweeper.take_over()
            sweeping = asyncio.create_task(self._sweeper.run())
            stack.push_async_callback(self._sweeper.stop, sweeping)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if not self.draining:
            await self.drain(0.0)
        await self._stack.aclose()

    def use(self, context: Context) -> None:
        """Give nodes that begin from now on another context: the settings have changed."""
        self._desk = replace(self._desk, context=context)

    async def accept(
        self, flow: Flow, event: Event, *, key: str | None = None, origin: str | None = None
    ) -> Accepted:
        """Return once the event is on disk; its run follows.

        The same ``key`` again returns the first run of this flow. Raises Conflict when it comes with another
        body, and Unavailable when the database cannot take the event now, or the engine is draining.
        """
        if self.draining:
            raise Unavailable("flowpost is shutting down", hint="send the event again in a moment")
        run_id = new_run_id()
        values = {
            "id": run_id,
            "flow": flow.name,
            "digest": flow.digest,
            "path": flow.path,
            "status": "accepted",
            "origin": origin or event.type,
            "event": dump_event(event),
            "event_key": key,
            "payload": "" if key is None else fingerprint(event),
        }

        def work(connection: Connection) -> Found:
            self.versions.store(connection, flow)
            if first(connection, "runs.insert_run", **values) is None:
                known = first(connection, "runs.run_of_key", flow=flow.name, event_key=key)
                assert known is not None
                return Found(known["id"], known["payload"], new=False)
            return Found(run_id, str(values["payload"]), new=True)

        found = await self.writer.write(work, self._enqueue)
        self.versions.stored(flow)
        if found.payload != values["payload"]:
            raise Conflict(f'the key "{key}" came before with another body, and began run {found.run_id}')
        return Accepted(found.run_id, repeated=not found.new)

    def _enqueue(self, connection: Connection, accepted: list[Found]) -> None:
        self.queue.put_all(connection, [each.run_id for each in accepted if each.new])

    async def wait(self, run_id: str, seconds: float) -> Run | None:
        """The run once it has ended; None when it has not after ``seconds``, or there is none of that id."""
        future: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(run_id, []).append(future)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        try:
            while True:
                # It may have ended before, or end in another process.
                run = await self.runs.ended(run_id)
                left = deadline - loop.time()
                if run is not None or left <= 0:
                    return run
                with suppress(TimeoutError):
                    return await asyncio.wait_for(asyncio.shield(future), min(left, _POLL))
        finally:
            waiting = self._waiters.get(run_id, [])
            waiting.remove(future)
            if not waiting:
                self._waiters.pop(run_id, None)

    async def drain(self, seconds: float) -> None:
        """Accept and begin nothing more; nodes under way may go on for ``seconds``, then they are cut short."""
        self.draining = True
        if Durable.running:
            self._durable.stop_dequeuing()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        # One that was taken from the queue just before may have begun meanwhile.
        while self._legs and (left := until - loop.time()) > 0:
            await asyncio.wait(self._legs, timeout=left)
        for task in tuple(self._legs):
            task.cancel()
        if self._legs:
            await asyncio.wait(self._legs, timeout=5.0)

    async def _leg(self, run_id: str, leg: int) -> None:
        # A task of its own: cancelling it at the drain's end must not reach into DBOS, which has still to note
        # that the leg is over.
        task = asyncio.create_task(self._desk.carry_out(run_id, leg), name=f"run {run_id}")
        self._legs.add(task)
        try:
            run = await asyncio.shield(task)
        finally:
            self._legs.discard(task)
        if run is not None:
            self._ended(run)
            for future in self._waiters.get(run_id, ()):
                if not future.done():
                    future.set_result(run)
