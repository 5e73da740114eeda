"""Who goes beside whom: all legs together, but one that is under strong suspicion alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE = 5.0
"""Seconds that one who wants to be alone waits for the others to leave."""
QUIET = 10.0
"""Seconds for which it then is: what kills a process does it soon, and the others must not wait for a slow server."""


class Gate:
    """A gate on one loop. Whoever stands before it when it is stopped stays there."""

    def __init__(self, *, patience: float = PATIENCE, quiet: float = QUIET) -> None:
        self._patience = patience
        self._quiet = quiet
        self._inside = 0
        self._stopped = False
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Go in as soon as nobody wants to be alone."""
        while not self._open.is_set():
            await self._open.wait()
            await self._stand()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Go in when the others have left, or patience has; they may follow after a while."""
        async with self._one:
            self._open.clear()
            opening = asyncio.get_running_loop().call_later(self._patience + self._quiet, self._open.set)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patience):
                        await self._empty.wait()
                await self._stand()
                yield
            finally:
                opening.cancel()
                self._open.set()

    def stop(self) -> None:
        """Let nobody in any more who has to wait."""
        self._stopped = True

    async def _stand(self) -> None:
        if self._stopped:
            # DBOS must not note that its leg is over: the next process has to begin it.
            await asyncio.Event().wait()
