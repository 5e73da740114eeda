"""The connection: octets out, replies in, every wait with a deadline, every reply with an owner.

aiosmtplib's client opens a session over it (see ``runner.smtp.client``), our transaction goes on over it. It
knows whether a connection was lost before or after the final dot, and here a reply that was not asked for ends
the session.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import Self, cast

from runner.smtp.reply import Reply, ReplyReader

_CHUNK = 128 * 1024
_TCP_INFO = getattr(socket, "TCP_INFO", None)
# Linux, include/net/tcp_states.h: the states in which the other side still listens.
_ESTABLISHED = 1


class Lost(Exception):
    """The connection is gone or not usable any more; the text says why, in words for a person, from us
    alone.
    """


class Wire(asyncio.Protocol):
    """One TCP connection, in clear or under TLS. Not for two tasks at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._expected = 0
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self.fault: str | None = None
        """Why the connection cannot be used, None while it can."""
        self.stray: Reply | None = None
        """The reply that came unasked and ended the session, such as 421 before the server closes."""
        self.secure = False

    @classmethod
    async def over(cls, sock: socket.socket) -> Self:
        """Take over a connected socket; closes it when that fails."""
        try:
            transport, wire = await asyncio.get_running_loop().create_connection(cls, sock=sock)
        except BaseException:
            sock.close()
            raise
        # Pause at the first octet that the kernel does not take: "written" then means "left this process".
        transport.set_write_buffer_limits(0)
        return wire

    async def start_tls(self, context: ssl.SSLContext, host: str, *, greeting: bool) -> None:
        """Put TLS on the connection; ``greeting``: the server speaks first, right behind the handshake.

        Raises Lost when anything came in clear that was not asked for (RFC 3207 section 4.2), and
        ssl.SSLError or OSError from the handshake.
        """
        if self._reader.unfinished or self._replies:
            self._end("the server sent more than its reply before TLS began")
        transport = self._alive()
        self._reader = ReplyReader()
        self._expected = 1 if greeting else 0
        try:
            upgraded = await self._loop.start_tls(transport, self, context, server_hostname=host)
            if upgraded is None:
                raise ConnectionResetError
        except BaseException:
            # asyncio does not tell the protocol of a connection that ends in its handshake.
            transport.abort()
            self.connection_lost(None)
            raise
        self._transport = upgraded
        # Not 0: asyncio's TLS counts "nothing waits" as having reached that limit.
        upgraded.set_write_buffer_limits(high=1, low=0)
        self.secure = True

    # -- what the session calls ----------------------------------------------------------------------

    def expect_greeting(self) -> None:
        """The server speaks first, once."""
        self._expected += 1

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection as asyncio sees it; that of TLS once it is up."""
        return self._transport

    def own_address(self) -> str:
        """The IP address of this end."""
        name = self._alive().get_extra_info("sockname")
        return str(name[0]) if name else ""

    def send(self, data: bytes, replies: int = 1) -> None:
        """Write ``data``, to which the server will answer with so many replies; raises Lost."""
        if self._expected == 0 and self._reader.unfinished:
            self._end("the server sent part of a reply that was not asked for")
        transport = self._alive()
        self._expected += replies
        transport.write(data)

    async def reply(self, deadline: float) -> Reply:
        """The next reply; raises Lost, or TimeoutError at ``deadline`` (of the loop's clock)."""
        if not self._replies:
            await self.gather(1, deadline)
        return self._replies.popleft()

    async def gather(self, count: int, deadline: float) -> None:
        """Wait until ``count`` replies are there; raises Lost when none is there and none can come any
        more.
        """
        while len(self._replies) < count:
            if self.fault is not None:
                if self._replies:
                    return
                raise Lost(self.fault)
            self._wanted = count
            await self._wait(deadline)

    async def take(self, count: int, deadline: float) -> list[Reply]:
        """The next ``count`` replies, fewer (or none) when the connection ends first; raises TimeoutError."""
        try:
            await self.gather(count, deadline)
        except Lost:
            return []
        return [self._replies.popleft() for _ in range(min(count, len(self._replies)))]

    async def command(self, line: bytes, deadline: float) -> Reply:
        """Send one line and return its reply; raises Lost or TimeoutError."""
        self.send(line + b"\r\n")
        return await self.reply(deadline)

    async def stream(self, data: bytes, deadline: float) -> None:
        """Write ``data``, to which no reply belongs yet, and return when all of it has left this process.

        Raises Lost, or TimeoutError at ``deadline``.
        """
        for start in range(0, len(data), _CHUNK):
            self.send(data[start : start + _CHUNK], replies=0)
            while not self._writable:
                self._alive()
                await self._wait(deadline)

    def check_peer(self) -> None:
        """Raise Lost when the server has closed, even if its goodbye is in the kernel and still unread;
        ``last_words`` reads it.
        """
        self._alive()
        if not self._open_at_the_other_end():
            raise Lost("the server closed the connection")

    async def last_words(self, patience: float = 1.0) -> None:
        """After Lost: read what the server said before it closed, into ``stray``; then close."""
        deadline = self._loop.time() + patience
        try:
            while self.fault is None:
                await self._wait(deadline)
        except TimeoutError:
            pass
        self.abort()

    @property
    def unsent(self) -> bool:
        """True when the end of what was written is still, or was to the last, in this process."""
        return not self._writable

    async def close(self, patience: float = 1.0) -> None:
        """Close; ``patience`` seconds for TLS to say goodbye, then by force."""
        if self._transport is not None and not self._ended.done():
            self._transport.close()
            await asyncio.wait([self._ended], timeout=patience)
        self.abort()
        if not self._ended.done():
            await asyncio.wait([self._ended], timeout=patience)

    def abort(self) -> None:
        """Close at once, sending nothing more."""
        self._end("the connection was closed")

    # -- asyncio.Protocol ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio with the open connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: sort replies to their owners, and end the session when one has none."""
        if self.fault is not None:
            return
        for reply in self._reader.feed(data):
            if self._expected == 0:
                self.stray = reply
                self._end("the server sent a reply that was not asked for")
                return
            self._expected -= 1
            self._replies.append(reply)
        if self._reader.garbage is not None:
            self._end(self._reader.garbage)
        if self._waiter is not None and len(self._replies) >= self._wanted:
            self._wake()

    def eof_received(self) -> bool:
        """Called by asyncio: a server that has finished writing can answer no more."""
        self._fail("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio, once."""
        self._fail("the connection was lost" if exc is not None else "the server closed the connection")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._ended.done():
            self._ended.set_result(None)

    def pause_writing(self) -> None:
        """Called by asyncio when the kernel takes no more."""
        self._writable = False

    def resume_writing(self) -> None:
        """Called by asyncio when all that was written has left."""
        self._writable = True
        self._wake()

    # -- inside --------------------------------------------------------------------------------------

    def _alive(self) -> asyncio.Transport:
        if self.fault is None and (self._transport is None or self._transport.is_closing()):
            self._fail("the connection was lost")
        if self.fault is not None:
            raise Lost(self.fault)
        assert self._transport is not None
        return self._transport

    def _end(self, why: str) -> None:
        self._fail(why)
        # Python 3.11.2's TLS transports raise when they are aborted after their end.
        if self._transport is not None and not self._ended.done():
            self._transport.abort()

    def _fail(self, why: str) -> None:
        if self.fault is None:
            self.fault = why
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, deadline: float) -> None:
        # One timer for many waits: making and cancelling one for each costs more than the wait itself.
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            self._arm(deadline)
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._deadline:
            self._waiter.set_exception(TimeoutError())
        else:
            self._arm(self._deadline)

    def _open_at_the_other_end(self) -> bool:
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        if sock is None or _TCP_INFO is None:
            return True
        try:
            state: bytes = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)
        except OSError:
            return True
        return state[0] == _ESTABLISHED
