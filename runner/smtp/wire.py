"""The connection: octets out, replies in, every wait with a deadline, every reply with an owner.

aiosmtplib's client opens a session over it (see ``runner.smtp.client``), our transaction goes on over it. It
knows whether a connection was lost before or after the final dot, and here a reply that was not asked for ends
the session.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections import deque
from typing import Protocol, Self, cast

from runner.smtp.reply import Reply, ReplyReader

_READ = 16 * 1024
_TCP_INFO = getattr(socket, "TCP_INFO", None)
# Linux, include/net/tcp_states.h: the states in which the other side still listens.
_ESTABLISHED = 1


class Lost(Exception):
    """The connection is gone or not usable any more; the text says why, in words for a person, from us
    alone.
    """


class Listener(Protocol):
    """Who is told what happens on a wire: a future a reply, and a task that it wakes, would cost as much as all
    the rest. Nothing here may raise.
    """

    def heard(self, replies: list[Reply]) -> None:
        """Replies that were owed to us came, in the order of what was sent."""
        ...

    def ended(self) -> None:
        """The wire has a fault; told at least once, and after the replies that came before it."""
        ...

    def drained(self) -> None:
        """All that was written has left this process."""
        ...

    def late(self) -> None:
        """The deadline that was set last has passed."""
        ...


class Wire(asyncio.BufferedProtocol):
    """One TCP connection, in clear or under TLS. Not for two tasks at a time; a listener has it for itself."""

    def __init__(self, *, greeting: bool = False) -> None:
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(_READ))
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._expected = 1 if greeting else 0
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._listener: Listener | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._writable = True
        self._aborted = False
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self.fault: str | None = None
        """Why the connection cannot be used, None while it can."""
        self.stray: Reply | None = None
        """The reply that came unasked and ended the session, such as 421 before the server closes."""
        self.secure = False

    @classmethod
    async def over(cls, sock: socket.socket, *, greeting: bool = False) -> Self:
        """Take over a connected socket; closes it when that fails. ``greeting``: the server speaks first, and
        may have spoken before this returns.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, wire = await loop.create_connection(lambda: cls(greeting=greeting), sock=sock)
        except BaseException:
            sock.close()
            raise
        # Not the transport's own view of it: uvloop would make a new socket object for every question.
        wire._socket = sock
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
        elif self.fault is not None and self.stray is None and self._reader.garbage is None:
            # uvloop has read the end already, where asyncio's handshake would find it.
            raise ConnectionResetError(self.fault)
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

    def check_peer(self) -> None:
        """Raise Lost when the server has closed, even if its goodbye is in the kernel and still unread."""
        self._alive()
        if not self._open_at_the_other_end():
            raise Lost("the server closed the connection")

    def attach(self, listener: Listener) -> None:
        """From now on ``listener`` is told; nobody may wait."""
        self._listener = listener

    def detach(self) -> None:
        """Nobody is told any more; waiting is possible again."""
        self._listener = None

    def watch(self, deadline: float) -> None:
        """Tell the listener when ``deadline`` (of the loop's clock) has passed; replaces the one before."""
        # One timer for many waits: making and cancelling one for each costs more than the wait itself.
        self._deadline = deadline
        if self._due > deadline:
            self._arm(deadline)

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

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by asyncio: where to put what comes. A buffer of our own, for asyncio's and uvloop's TLS make one of
        256 KiB for every reply.
        """
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called by asyncio: give replies to whom they are owed, and end the session when one has no owner."""
        if self.fault is not None:
            return
        replies = self._reader.feed(bytes(self._buffer[:nbytes]))
        why = self._reader.garbage
        if len(replies) > self._expected:
            self.stray = replies[self._expected]
            why = "the server sent a reply that was not asked for"
            del replies[self._expected :]
        self._expected -= len(replies)
        # Before the replies are told, so that nothing is sent to a server that is not in step any more.
        self.fault = why
        if self._listener is not None:
            if replies:
                self._listener.heard(replies)
        else:
            self._replies.extend(replies)
            if self._waiter is not None and len(self._replies) >= self._wanted:
                self._wake()
        if why is not None:
            self._end(why)

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
        self._due = math.inf
        if not self._ended.done():
            self._ended.set_result(None)

    def pause_writing(self) -> None:
        """Called by asyncio when the kernel takes no more."""
        self._writable = False

    def resume_writing(self) -> None:
        """Called by asyncio when all that was written has left."""
        self._writable = True
        if self._listener is not None:
            self._listener.drained()

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
        if self._transport is not None and not self._aborted and not self._ended.done():
            self._aborted = True
            self._transport.abort()

    def _fail(self, why: str) -> None:
        if self.fault is None:
            self.fault = why
        self._wake()
        if self._listener is not None:
            self._listener.ended()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, deadline: float) -> None:
        waiter = self._waiter = self._loop.create_future()
        self.watch(deadline)
        try:
            await waiter
        finally:
            self._waiter = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._due = math.inf
        waited_for = self._listener is not None or (self._waiter is not None and not self._waiter.done())
        if not waited_for:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
        elif self._listener is not None:
            self._listener.late()
        elif self._waiter is not None:
            self._waiter.set_exception(TimeoutError())

    def _open_at_the_other_end(self) -> bool:
        if self._socket is None or _TCP_INFO is None:
            return True
        try:
            state: bytes = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)
        except OSError:
            return True
        return state[0] == _ESTABLISHED
