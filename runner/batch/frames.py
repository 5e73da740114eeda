"""What the two processes of a batch tell each other: pickled tuples, each behind its length, over a socket pair.

Nobody else can write to that socket: it has no name, and the fork gave it to these two alone. So what comes is no
stranger's pickle.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Callable
from typing import Any, cast

_LENGTH = struct.Struct("!I")


class Frames(asyncio.Protocol):
    """One end. ``heard`` gets each message, ``ended`` is called when the other end is gone."""

    def __init__(self, heard: Callable[[tuple[Any, ...]], None], ended: Callable[[], None]) -> None:
        self._heard = heard
        self._ended = ended
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = None
        self._ended()

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, at)
            end = at + _LENGTH.size + size
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:
                message = pickle.loads(view[at + _LENGTH.size : end])  # noqa: S301  # see above
            at = end
            self._heard(message)
        del buffer[:at]

    def tell(self, *message: object) -> None:
        """Send a message; nothing when the other end is gone, which ``ended`` has told."""
        if self._transport is not None:
            data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
            self._transport.writelines((_LENGTH.pack(len(data)), data))

    def close(self) -> None:
        """Close this end, once what was told has left."""
        if self._transport is not None:
            self._transport.close()
