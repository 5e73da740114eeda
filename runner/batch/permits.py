"""Turns at the rates, asked for as messages are at hand, so that none is taken that nobody uses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from runner.batch.stop import Stop
from runner.credential import SmtpCredential
from runner.errors import FlowpostError
from runner.ledger.postponed import Postponed

_LONGEST = 60.0
"""Seconds after which somebody whose turn is far away asks again: rates may have changed."""


class Permits:
    """``wake`` is called when a turn has come, ``waits`` told when the next one is far away."""

    def __init__(
        self,
        turn: Callable[[SmtpCredential], Awaitable[None]],
        wake: Callable[[], None],
        waits: Callable[[float], None],
        stop: Stop,
    ) -> None:
        self._turn = turn
        self._wake = wake
        self._waits = waits
        self._stop = stop
        self._held = 0
        self._asking: set[asyncio.Task[None]] = set()

    def take(self, credential: SmtpCredential, wanted: int) -> int:
        """How many of ``wanted`` messages may leave now; turns for the others are asked for."""
        for _ in range(wanted - self._held - len(self._asking)):
            task = asyncio.create_task(self._ask(credential))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        taken = min(wanted, self._held)
        self._held -= taken
        return taken

    async def close(self) -> None:
        """Ask for no more."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _ask(self, credential: SmtpCredential) -> None:
        try:
            await self._turn(credential)
            self._held += 1
        except Postponed as later:
            self._waits(later.seconds)
            await asyncio.sleep(min(later.seconds, _LONGEST))
        except FlowpostError as error:
            self._stop.because(error)
        self._wake()
