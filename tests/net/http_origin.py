"""A real HTTP server that answers with whatever bytes a test gives it, and counts who came."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

Script = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = b"", *, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer with its length; ``content_type=…`` becomes Content-Type."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Origin:
    """Listens on a port of its own; ``scripts`` maps a path (without query) to what is sent back."""

    def __init__(
        self,
        scripts: Mapping[str, Script],
        *,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.scripts = dict(scripts)
        self.connections = 0
        self.requests: list[bytes] = []
        self._tls = tls
        self._address = address
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._address, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def heads(self) -> list[dict[str, str]]:
        """The headers of every request, names in lower case."""
        found = []
        for request in self.requests:
            lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
            found.append({line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines})
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        self.requests.append(head + await reader.readexactly(length))
        path = head.split(b" ")[1].partition(b"?")[0].decode()
        script = self.scripts.get(path, answer(status="404 Not Found"))
        if isinstance(script, bytes):
            writer.write(script)
        else:
            await script(writer)
        await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
        with contextlib.suppress(OSError):
            await reader.read(1)
