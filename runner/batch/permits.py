"""Turns at the rates, asked for as messages are at hand, so that none is taken that nobody uses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from runner.batch.stop import Stop
from runner.credential import SmtpCredential
from runner.errors import FlowpostError
from runner.ledger.postponed import Postponed

if TYPE_CHECKING:
    from runner.ledger.deliveries import Turn

    Claim = Callable[[SmtpCredential], Awaitable[Turn | None]]

_LONGEST = 60.0
"""Seconds after which somebody whose turn is far away asks again: rates may have changed."""


class Permits:
    """``wake`` is called when a turn has come, ``waits`` told when the next one is far away."""

    def __init__(
        self,
        claim: Claim,
        wake: Callable[[], None],
        waits: Callable[[float], None],
        stop: Stop,
    ) -> None:
        self._claim = claim
        self._wake = wake
        self._waits = waits
        self._stop = stop
        self._held: deque[Turn | None] = deque()
        self._asking: set[asyncio.Task[None]] = set()

    def take(self, credential: SmtpCredential, wanted: int) -> list[Turn | None]:
        """The turns of those of ``wanted`` messages that may leave now; for the others they are asked for."""
        for _ in range(wanted - len(self._held) - len(self._asking)):
            task = asyncio.create_task(self._ask(credential))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return [self._held.popleft() for _ in range(min(wanted, len(self._held)))]

    async def close(self) -> None:
        """Ask for no more."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _ask(self, credential: SmtpCredential) -> None:
        try:
            turn = await self._claim(credential)
            if turn is not None:
                await turn.begin()
            self._held.append(turn)
        except Postponed as later:
            self._waits(later.seconds)
            await asyncio.sleep(min(later.seconds, _LONGEST))
        except FlowpostError as error:
            self._stop.because(error)
        self._wake()
