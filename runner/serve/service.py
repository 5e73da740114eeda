"""One process of the service, from the first load to the last node of the drain."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.catalog import Catalog, Change, follow
from runner.engine.service import Engine
from runner.errors import FlowpostError
from runner.ledger.schedules import DatabaseMarks
from runner.model import Accepted, Event, Flow, Settings
from runner.secret.store import CredentialStore
from runner.serve.metrics import Metrics
from runner.triggers.clockwork import Clockwork
from runner.triggers.files import Folders
from runner.web.app import build_app
from runner.web.server import make_server, server_config

if TYPE_CHECKING:
    from uvicorn import Server

log = logging.getLogger("flowpost.serve")

DRAIN = 30.0
"""Seconds that running nodes get to finish after SIGTERM."""
HURRY = 2.0
"""Seconds that they get after a second one."""
_COUNT_EVERY = 5.0

Use = Callable[[Settings], None]
"""Lets what nodes use follow settings that changed while the service runs."""


@dataclass(eq=False, repr=False)
class Service:
    """The parts of a running service; ``run`` holds them together. Implements what the endpoint asks (State)."""

    catalog: Catalog
    engine: Engine
    store: CredentialStore
    metrics: Metrics
    listener: socket.socket
    use: Use
    hurry: Callable[[], None]
    drain: float = DRAIN

    def __post_init__(self) -> None:
        self.draining = False
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until a signal stops it, then drain. ``ready`` is told the address once hooks are taken."""
        self.catalog.subscribe(self._changed)
        self.metrics.budgets(self.engine.budgets.remaining)
        self._note_reload()
        server = self._server()
        async with AsyncExitStack() as stack:
            self._on_signals(stack)
            serving = asyncio.create_task(server.serve(sockets=[self.listener]))
            stack.push_async_callback(_finished, serving)
            marks = DatabaseMarks(self.engine.database, self.engine.writer)
            clockwork = Clockwork(self.catalog.flows, self.accept, marks)
            folders = Folders(self.catalog.root, self.catalog.flows, self.accept)
            for name, work in (
                ("watch", lambda: follow(self.catalog)),
                ("schedules", clockwork.run),
                ("files", folders.run),
                ("figures", self._count),
            ):
                self._keep_going(name, work)
            host, port = self.listener.getsockname()[:2]
            ready(f"http://{host}:{port}")
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await self._drain()
            server.should_exit = True

    async def accept(self, flow: Flow, event: Event, key: str | None) -> Accepted:
        """Keep an event for its run; the triggers' acceptor."""
        return await self.engine.accept(flow, event, key=key)

    async def faults(self) -> Sequence[str]:
        """Why no event can be taken now."""
        try:
            await asyncio.wait_for(self.engine.runs.count(), 5.0)
        except TimeoutError:
            return ["the database does not answer"]
        except FlowpostError as error:
            return [error.message]
        return []

    async def reload(self) -> None:
        """Load everything anew, off the loop."""
        await asyncio.to_thread(self.catalog.reload)
        self._note_reload()

    def _server(self) -> Server:
        app = build_app(
            catalog=self.catalog,
            accept=self.accept,
            wait=self.engine.wait,
            credentials=self.store,
            settings=self.catalog.settings,
            state=self,
            registry=self.metrics.registry,
            rate=lambda: self.catalog.settings.http_rate,
        )
        return make_server(server_config(app, self.catalog.settings, drain_seconds=5))

    async def _count(self) -> None:
        while True:
            try:
                self.metrics.open_runs(await self.engine.runs.open_runs())
            except FlowpostError:
                self.metrics.open_runs(None)
            await asyncio.sleep(_COUNT_EVERY)

    def _keep_going(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """A part that fails is logged and begun again: one bad folder must not stop every schedule."""

        async def forever() -> None:
            while True:
                try:
                    await work()
                except Exception:
                    log.exception("%s stopped at a fault of flowpost's own and begins again", name)
                    await asyncio.sleep(1.0)

        self._tasks.add(asyncio.create_task(forever(), name=name))

    def _on_signals(self, stack: AsyncExitStack) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
            stack.callback(self._loop.remove_signal_handler, number)
        self._loop.add_signal_handler(signal.SIGHUP, self._hangup)
        stack.callback(self._loop.remove_signal_handler, signal.SIGHUP)

    def stop(self) -> None:
        """Begin to drain; a second call makes the drain short."""
        (self._hurry if self._stop.is_set() else self._stop).set()

    def _hangup(self) -> None:
        task = asyncio.create_task(self.reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        self.draining = True
        log.info("stopping: no new events; running nodes have %.0f s to finish", self.drain)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        draining = asyncio.create_task(self.engine.drain(self.drain))
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not draining.done():
            log.info("stopping faster: %.0f s", HURRY)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(draining), HURRY)
        if not draining.done():
            self.hurry()
            draining.cancel()
            with suppress(asyncio.CancelledError):
                await draining
            await self.engine.drain(0.0)

    def _changed(self, change: Change) -> None:
        """Called in the thread that reloads."""
        self._loop.call_soon_threadsafe(self._tell, change)

    def _tell(self, change: Change) -> None:
        self._note_reload()
        if change.settings:
            self.use(self.catalog.settings)
        if change.restart:
            log.warning("these settings take effect at the next start: %s", ", ".join(sorted(change.restart)))

    def _note_reload(self) -> None:
        self.metrics.reloaded(ok=self.catalog.ok, succeeded_at=self.catalog.succeeded_at)


async def _finished(serving: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        await serving
