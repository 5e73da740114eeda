"""A command's heartbeat: others see that it lives, and it knows when nobody can be sure of that any more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

from runner.errors import Unavailable
from runner.ledger.database import execute
from runner.ledger.presence import BEAT, DEAD, here
from runner.ledger.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Pulse:
    """Beats for one owner."""

    def __init__(self, writer: Writer, owner: str) -> None:
        self._writer = writer
        self._owner = owner
        self._node = here(socket.gethostname())
        self._beaten = -1e9

    @property
    def trusted(self) -> bool:
        """Whether nobody can think this process dead."""
        return time.monotonic() - self._beaten < DEAD - BEAT

    async def beat(self) -> None:
        """Beat once. Raises Unavailable."""
        before = time.monotonic()
        await self._writer.write(self.mark)
        self.marked(before)

    def mark(self, connection: Connection) -> None:
        """Beat within a transaction of the caller's; ``marked`` follows once that is written."""
        execute(connection, "heartbeats.beat", owner=self._owner, node=self._node)

    def marked(self, before: float) -> None:
        """A beat is on disk that was begun at ``before``, of the monotonic clock."""
        self._beaten = before

    async def keep_beating(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(BEAT)
            with contextlib.suppress(Unavailable):
                await self.beat()

    def leave(self, connection: Connection) -> None:
        """Say that it has ended in order."""
        execute(connection, "heartbeats.leave", owner=self._owner)
