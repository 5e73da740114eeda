"""A sender that can be closed in a hurry: the service was told to stop a second time."""

from __future__ import annotations

import asyncio

from runner.smtp.pool import Sender

_PATIENCE = 0.3
"""Seconds that connections then get to finish; a server that hangs would take all of the pool's own patience."""


class Ending(Sender):
    """As Sender, until ``hurry`` is called."""

    _hurried = False

    def hurry(self) -> None:
        """At the end, give connections no time to finish: whoever waited for them has given up."""
        self._hurried = True

    async def __aexit__(self, *exc: object) -> None:
        if self._hurried:
            await asyncio.gather(*(lane.close(_PATIENCE) for lane in list(self._lanes.values())))
        await super().__aexit__(*exc)
