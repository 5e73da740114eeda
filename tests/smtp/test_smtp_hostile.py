"""Servers that never come to an end: each is left at the deadline at the latest, and none fills the memory."""

from __future__ import annotations

import asyncio
import time
import tracemalloc

import pytest
from servers.client import ENVELOPE, MESSAGE, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import Action, ScriptedServer

from runner.errors import FlowpostError
from runner.model import Outcome
from runner.smtp.pool import Sender

TIMEOUT = 1.0
MEMORY = 10_000_000

ANSWERS: dict[str, Action] = {
    "endless continuation lines": "endless",
    "a line of 100 MB": "flood 100000000",
    "one octet at a time": "drip 0.1: 250 " + "x" * 200,
    "silence": "hang",
    "not ascii": b"\xc3\xa4\xc3\xb6\xc3\xbc\r\n",
    "not text": bytes(range(128, 256)) * 20 + b"\r\n",
    "nul": b"\0\0\0\0\r\n",
    "the wrong code": "299 nobody knows this one",
    "a code of 4 digits": b"2500 ok\r\n",
    "http": b"HTTP/1.1 200 OK\r\n\r\n",
}
PLACES = ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "DATA_END"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ANSWERS)
async def test_it_ends_at_the_deadline_within_10_mb(place: str, name: str) -> None:
    async with ScriptedServer(script={place: ANSWERS[name]}) as server, Sender(guard()) as sender:
        credential = credential_for(server, timeout_seconds=TIMEOUT)
        await sender_warmed_up(sender)
        tracemalloc.start()
        before = time.monotonic()
        outcome: object = None
        try:
            outcome = await sender.send(credential, ENVELOPE, MESSAGE)
        except FlowpostError as exc:
            outcome = exc
        seconds = time.monotonic() - before
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert seconds < TIMEOUT + 5
    assert peak < MEMORY
    if name == "the wrong code" and place in ("MAIL", "RCPT", "DATA_END"):
        assert isinstance(outcome, Outcome), "there, any 2xx is a yes"
        return
    assert isinstance(outcome, FlowpostError)
    assert (outcome.code == "EUNKNOWN") is (place == "DATA_END")
    assert outcome.transient is (place != "DATA_END") or outcome.code == "EAUTH"
    assert len(outcome.message) < 1000


async def sender_warmed_up(sender: Sender) -> None:
    """Import what the first send imports, so that it does not count as memory that a server took."""
    async with ScriptedServer() as server:
        await sender.send(credential_for(server, fingerprint="warm"), ENVELOPE, MESSAGE)


@pytest.mark.parametrize(
    "answer", ["endless", "flood 100000000", b"\xff\xff", b"250 2.1.0 ok", "250 2.1.0 ok", "421 bye"]
)
async def test_what_comes_between_messages_costs_the_connection_and_no_mail(answer: Action) -> None:
    async with ScriptedServer(script={"IDLE": [answer]}) as server, Sender(guard()) as sender:
        credential = credential_for(server, timeout_seconds=TIMEOUT)
        await sender.send(credential, ENVELOPE, MESSAGE)
        await asyncio.sleep(0.2)
        await sender.send(credential, ENVELOPE, MESSAGE)

    assert len(server.messages) == 2
    assert len(server.connections) == 2


async def test_a_slow_server_within_the_deadline_is_waited_for() -> None:
    async with ScriptedServer(
        script={"CONNECT": "after 0.5: 220 hi", "DATA_END": "after 0.7: 250 ok"}
    ) as server:
        async with Sender(guard()) as sender:
            await sender.send(credential_for(server), ENVELOPE, MESSAGE)

        assert len(server.messages) == 1
