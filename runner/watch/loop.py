"""The watch itself: events wake it, a timer wakes it, and a scan says what changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

from runner.watch.events import Events, Notice, Notify, SystemEvents
from runner.watch.marks import Marks
from runner.watch.scan import Place, Scan, places, scan

_LOG = logging.getLogger("flowpost.watch")

QUIET = 0.025
"""Seconds without an event after which a save is over: editors make their calls within a few milliseconds."""

QUIET_MANY = 0.15
"""The same while many files change at once: git writes them one after the other."""

MANY = 10
WRITING = 0.3
"""Seconds that a file whose writer has it open still is waited for after its last write."""

LONGEST = 0.7
"""Seconds after the first event when a scan is made whatever goes on: a change is live within a second."""

POLL = 0.5
"""Seconds between two scans where events do not reach."""

LATE = 0.7
"""Seconds by which an event may come late: for half a second watchdog waits for the other end of a file that was moved
away.
"""

DOUBT = 300.0
"""Seconds for which events are not relied on after one did not come."""

WHOLE = 15
"""Every so many scans by the timer read every file: on some mounts not even the status of a file is true."""


async def watch(
    root: Path,
    folders: Iterable[str],
    *,
    interval: float = 2.0,
    events: Callable[[Notify], Events] = SystemEvents,
) -> AsyncGenerator[frozenset[str], None]:
    """Sets of changed paths, relative to ``root``, of the files and folders named in ``folders``, for ever.

    The first set is empty: watching has begun, and what is loaded from now on misses nothing. An empty set later
    asks the reader to look once more, after events that left everything as it was, and after an ``interval``
    (seconds) of peace: what it loaded may be of the moment between. Close the iterator (``contextlib.aclosing``) to
    end the threads behind it.
    """
    async with contextlib.aclosing(
        Watch(root, folders, interval=interval, events=events).changes()
    ) as changes:
        async for paths in changes:
            yield paths


class Watch:
    """As ``watch``; ``polling`` says why changes are found by scans alone, and is empty while events reach."""

    def __init__(
        self,
        root: Path,
        folders: Iterable[str],
        *,
        interval: float = 2.0,
        events: Callable[[Notify], Events] = SystemEvents,
    ) -> None:
        self.root = root.absolute()
        self.names = tuple(dict.fromkeys(os.path.normpath(name) for name in folders))
        self.interval = interval
        self.polling = ""
        self._make = events
        self._marks = Marks(self.root)
        self._lock = threading.Lock()
        self._touched: set[str] = set()
        self._writing: set[str] = set()
        self._last = 0.0
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._problem = ""
        self._armed: tuple[int, frozenset[Place]] | None = None
        self._poll_until = 0.0

    async def changes(self) -> AsyncGenerator[frozenset[str], None]:
        """The sets of changed paths, as ``watch`` gives them."""
        self._loop = asyncio.get_running_loop()
        events = self._make(self._notice)
        try:
            before = await asyncio.to_thread(self._look, events, True)
            yield frozenset()
            count, echo = 0, True
            while True:
                announced = await self._woken(min(self.interval, POLL) if self.polling else self.interval)
                if announced:
                    await self._settle()
                else:
                    count += 1
                now = await asyncio.to_thread(self._look, events, not announced and count % WHOLE == 0)
                changed = now.differs(before)
                if not changed:
                    if echo or announced:
                        echo = announced and echo
                        yield frozenset()
                    continue
                if announced and self._loop.time() > self._poll_until:
                    self._report(self._problem)
                elif not announced:
                    now, events = await self._unannounced(now, events)
                changed, before = now.differs(before), now
                if changed:
                    echo = True
                    yield changed
        finally:
            await asyncio.to_thread(events.close)

    def _notice(self, notice: Notice, path: str) -> None:
        """From watchdog's thread."""
        loop = self._loop
        if loop is None:
            return
        with self._lock:
            first = not self._touched
            self._touched.add(path)
            self._last = loop.time()
            if notice is Notice.WRITING:
                self._writing.add(path)
            else:
                self._writing.discard(path)
        if first:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._wake.set)

    async def _woken(self, period: float) -> bool:
        """Whether an event came within ``period`` seconds."""
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period):
                await self._wake.wait()
        return self._wake.is_set()

    async def _settle(self) -> None:
        """Wait until whoever is writing is done: a file seen half-written may be a valid, shorter one."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + LONGEST
        while True:
            with self._lock:
                quiet = QUIET if len(self._touched) <= MANY else QUIET_MANY
                if self._writing and sys.platform == "linux":  # elsewhere nobody tells that a file was closed
                    quiet = WRITING
                until = min(self._last + quiet, latest)
            remaining = until - loop.time()
            if remaining <= 0:
                break
            # In short steps: a writer that closes its file ends the wait.
            await asyncio.sleep(min(remaining, QUIET))
        with self._lock:
            self._touched.clear()
            self._writing.clear()
            self._wake.clear()

    async def _unannounced(self, now: Scan, events: Events) -> tuple[Scan, Events]:
        """The timer found what no event told: let it settle, and find out whether events are lost for good."""
        for _ in range(8):
            await asyncio.sleep(2 * QUIET)
            then = await asyncio.to_thread(self._look, events, False)
            same, now = not then.differs(now), then
            if same:
                break
        if not self.polling and not await self._woken(LATE):
            await asyncio.to_thread(events.close)
            events = self._make(self._notice)
            now = await asyncio.to_thread(self._look, events, False)
            # Other folders' events may reach: they prove nothing about the one that was silent.
            self._poll_until = asyncio.get_running_loop().time() + DOUBT
            self._report(self._problem or "a change came without an event")
        return now, events

    def _look(self, events: Events, again: bool) -> Scan:
        """Scan; in a thread. Folders that are new get their events first, and are looked at once more."""
        found = scan(self.root, self.names, self._marks, again=again)
        wanted = places(self.root, self.names, found)
        self._problem = events.arm(wanted)
        if (id(events), wanted) != self._armed:
            self._armed = (id(events), wanted)
            found = scan(self.root, self.names, self._marks)
        if self._problem:
            self._report(self._problem)
        return found

    def _report(self, problem: str) -> None:
        if problem and not self.polling:
            _LOG.warning(
                "file events do not reach (%s): looking every %g s", problem, min(self.interval, POLL)
            )
        elif self.polling and not problem:
            _LOG.info("file events reach again")
        self.polling = problem
