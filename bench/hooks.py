"""Webhooks from a client that costs little beside the service: one connection, one request at a time, few bytes."""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import urlsplit

AT_ONCE = 32


class Client:
    """One kept connection, as an async context manager."""

    def __init__(self, url: str) -> None:
        self._where = urlsplit(url)

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection(self._where.hostname, self._where.port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()

    async def post(self, hook: str, body: object) -> None:
        """Post JSON to ``/hooks/<hook>``; RuntimeError when it is not accepted."""
        data = json.dumps(body).encode()
        self._writer.write(
            f"POST /hooks/{hook} HTTP/1.1\r\nhost: {self._where.netloc}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(data)}\r\n\r\n".encode()
            + data
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        await self._reader.readexactly(int(length))
        if not head.startswith(b"http/1.1 202"):
            raise RuntimeError(head.decode("latin-1"))


def event(n: int) -> dict[str, object]:
    return {"n": n, "to": f"c{n}@example.net"}


async def paced(url: str, hook: str, rate: float, number: int) -> list[float]:
    """The milliseconds of each acknowledgement, from when it was due."""
    took: list[float] = []
    idle: list[Client] = []
    begun = time.monotonic() + 0.2

    async def one(n: int) -> None:
        due = begun + n / rate
        await asyncio.sleep(due - time.monotonic())
        client = idle.pop() if idle else await Client(url).__aenter__()
        await client.post(hook, event(n))
        took.append((time.monotonic() - due) * 1000)
        idle.append(client)

    await asyncio.gather(*map(one, range(number)))
    for client in idle:
        await client.__aexit__()
    return took


async def flood(url: str, hook: str, number: int, at_once: int = AT_ONCE) -> None:
    """Ask as fast as the service acknowledges, over ``at_once`` connections."""
    numbers = iter(range(number))

    async def work() -> None:
        async with Client(url) as client:
            for n in numbers:
                await client.post(hook, event(n))

    await asyncio.gather(*(work() for _ in range(at_once)))
