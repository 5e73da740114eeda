"""httpcore's network backend, so that every socket it uses comes from the guard."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterable

import httpcore

from runner.net.guard import Guard
from runner.net.tls import describe_tls_error


class GuardedStream(httpcore.AsyncNetworkStream):
    """One connected socket, with TLS on it or not; ``ended`` turns true when the server closed its side."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: socket.socket | None = sock
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.ended = False

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's contract)
    ) -> httpcore.AsyncNetworkStream:
        """Verify the server against ``server_hostname``, the name of the URL; raises TlsError."""
        try:
            self._pair = await asyncio.open_connection(
                sock=self._give_up(), ssl=ssl_context, server_hostname=server_hostname
            )
        except (OSError, EOFError) as exc:
            raise describe_tls_error(exc, server_hostname or "the server") from exc
        return self

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return at most ``max_bytes``, or nothing when the server closed; raises OSError."""
        reader, _ = await self._streams()
        data = await reader.read(max_bytes)
        self.ended = not data
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of ``buffer``; after a WriteError httpcore still reads what the server answered."""
        _, writer = await self._streams()
        try:
            writer.write(buffer)
            await writer.drain()
        except OSError as exc:
            raise httpcore.WriteError("the server closed the connection") from exc

    async def aclose(self) -> None:
        """Close at once: nobody waits for a server's farewell."""
        if self._sock is not None:
            self._sock.close()
        if self._pair is None:
            return
        _, writer = self._pair
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks a stream for: the TLS object, to see the protocol."""
        if info == "ssl_object" and self._pair is not None:
            return self._pair[1].get_extra_info("ssl_object")
        return None

    def _give_up(self) -> socket.socket | None:
        """Hand the socket to asyncio, which closes it from then on, also when a handshake fails."""
        sock, self._sock = self._sock, None
        return sock

    async def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._pair is None:
            self._pair = await asyncio.open_connection(sock=self._give_up())
        return self._pair


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects through the guard and in no other way."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.stream: GuardedStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's contract)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to an address that was checked; raises what ``Guard.connect`` raises."""
        self.stream = GuardedStream(await self._guard.connect(host, port, timeout=timeout or 60.0))
        return self.stream

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's contract)
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: a socket file is no public address."""
        raise NotImplementedError("the guard opens no socket files")

    async def sleep(self, seconds: float) -> None:
        """Wait; httpcore does so between retries."""
        await asyncio.sleep(seconds)
