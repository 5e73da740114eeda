"""Whoever keeps notes of what leaves hears of it before the server can have the whole message, wherever it breaks.

Two things must hold: what has arrived whole was noted, and what was not noted is neither sent nor unknown.
"""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from servers.chunking import ChunkingServer
from servers.client import credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import EXTENSIONS, ScriptedServer

from runner.errors import DeliveryUnknown, FlowpostError
from runner.model import Envelope, Outcome
from runner.smtp.pool import Sender
from runner.smtp.transaction import Letter

LOCKSTEP = tuple(word for word in EXTENSIONS if word != "PIPELINING")
WAYS = {
    "one by one": (partial(ScriptedServer, tls="none", extensions=LOCKSTEP), 0),
    "pipelined": (partial(ScriptedServer, tls="none"), 0),
    "a window": (partial(ChunkingServer, tls="none"), 4),
}
COUNT = 3


async def carried(
    server: ScriptedServer, chunking: int, size: int = 0, count: int = COUNT
) -> tuple[set[str], dict[str, Outcome | BaseException]]:
    """Who was noted to leave, and what became of each letter; a letter is known by its sender."""
    noted: set[str] = set()
    credential = credential_for(server, max_connections=1, chunking=chunking, timeout_seconds=2.0)
    async with Sender(guard()) as sender:
        jobs = {}
        for number in range(count):
            name = f"from{number}@example.com"
            data = b"Subject: hi\r\n\r\n" + b"x" * 60 + b"\r\n" + b"y" * 70 * (size // 70) + b"\r\n"
            data = data.replace(b"y" * 70, b"y" * 68 + b"\r\n")
            letter = Letter.seal(Envelope(name, ("to@example.net",)), data, leaves=partial(noted.add, name))
            jobs[name] = sender.submit(credential, letter)
        results = await asyncio.gather(*jobs.values(), return_exceptions=True)
    return noted, dict(zip(jobs, results, strict=True))


def holds(server: ScriptedServer, noted: set[str], results: dict[str, Outcome | BaseException]) -> None:
    assert {mail.sender for mail in server.received} <= noted
    for name, result in results.items():
        if name not in noted:
            assert isinstance(result, FlowpostError)
            assert not isinstance(result, DeliveryUnknown)


@pytest.mark.parametrize(("make", "chunking"), WAYS.values(), ids=WAYS)
async def test_all_that_arrive_are_noted(make: partial[ScriptedServer], chunking: int) -> None:
    async with make() as server:
        noted, results = await carried(server, chunking)

    assert {mail.sender for mail in server.messages} == noted == set(results)


@pytest.mark.parametrize(("make", "chunking"), WAYS.values(), ids=WAYS)
async def test_what_arrived_is_noted_wherever_the_connection_is_cut(
    make: partial[ScriptedServer], chunking: int
) -> None:
    async with make() as server:
        await carried(server, chunking)
    said = len(server.connections[0].clear_in)

    seen = set()
    for octets in range(0, said, 7):
        async with make(drop_received=octets) as server:
            noted, results = await carried(server, chunking)
        holds(server, noted, results)
        seen.add(len(noted))
    assert {0, COUNT} <= seen


@pytest.mark.parametrize("place", ["MAIL", "RCPT", "DATA"])
async def test_a_message_that_is_refused_before_its_content_is_not_noted(place: str) -> None:
    async with ScriptedServer(tls="none", script={place: "550 5.7.1 no"}) as server:
        noted, results = await carried(server, 0)

    assert noted == set()
    assert all(isinstance(result, FlowpostError) for result in results.values())


@pytest.mark.parametrize(("make", "chunking"), WAYS.values(), ids=WAYS)
async def test_a_large_message_is_noted_with_its_last_octets(
    make: partial[ScriptedServer], chunking: int
) -> None:
    """It is larger than all buffers on the way."""
    size = 16 * 2**20
    async with make(drop_received=2**16, receive_buffer=4096) as server:
        noted, results = await carried(server, chunking, size, count=1)
    assert noted == set()
    assert isinstance(results["from0@example.com"], FlowpostError)

    async with make() as server:
        noted, results = await carried(server, chunking, size, count=1)
    assert noted == set(results) == {mail.sender for mail in server.messages}
