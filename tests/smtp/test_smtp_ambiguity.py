"""Where the exchange breaks decides what is told: before the end of DATA transient, after it unknown. At
every octet.

The server cuts the connection after exactly N octets, N running through all that either side says. Three
things must hold each time: a message that the server has whole and did not answer is unknown, never "try
again" (it would arrive twice) and never "sent" (it may not have arrived); one that the server cannot have
whole is never "sent"; and while the client has not written the final dot it is transient.
"""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from servers.client import ENVELOPE, MESSAGE, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import EXTENSIONS, Action, Script, ScriptedServer

from runner.errors import DeliveryUnknown, FlowpostError
from runner.model import Outcome
from runner.smtp.pool import Sender
from runner.smtp.wire import Lost, Wire

LOCKSTEP = tuple(word for word in EXTENSIONS if word != "PIPELINING")
WAYS = {
    "in clear, one by one": ("none", LOCKSTEP),
    "in clear, pipelined": ("none", EXTENSIONS),
    "tls": ("implicit", EXTENSIONS),
    "starttls": ("starttls", EXTENSIONS),
}


async def attempt(server: ScriptedServer, data: bytes = MESSAGE) -> Outcome | FlowpostError:
    async with Sender(guard()) as sender:
        try:
            return await sender.send(credential_for(server), ENVELOPE, data)
        except FlowpostError as exc:
            return exc


async def whole_exchange(tls: str, extensions: tuple[str, ...]) -> tuple[bytes, bytes]:
    """What client and server say when nothing breaks, up to the reply to the final dot."""
    async with ScriptedServer(tls=tls, extensions=extensions) as server:
        assert isinstance(await attempt(server), Outcome)
    connection = server.connections[0]
    said = bytes(connection.clear_in + connection.tls_in)
    heard = bytes(connection.clear_out + connection.tls_out)
    return said[: said.index(b"\r\n.\r\n") + 5], heard[
        : heard.index(b"queued as 1\r\n") + len(b"queued as 1\r\n")
    ]


@pytest.mark.parametrize(("tls", "extensions"), WAYS.values(), ids=WAYS)
async def test_cut_at_every_octet_that_the_server_reads(tls: str, extensions: tuple[str, ...]) -> None:
    said, _ = await whole_exchange(tls, extensions)
    content = said.index(b"DATA\r\n") + len(b"DATA\r\n")

    for octets in range(len(said)):
        async with ScriptedServer(tls=tls, extensions=extensions, drop_received=octets) as server:
            result = await attempt(server)

        assert isinstance(result, FlowpostError), f"sent, though cut after {octets} octets"
        assert server.received == []
        if octets < content:
            assert result.transient, f"{result!r} after {octets} octets"
        else:
            # The kernel may have had the final dot when the server closed.
            assert result.transient or isinstance(result, DeliveryUnknown)
        assert result.smtp_code is None


@pytest.mark.parametrize(("tls", "extensions"), WAYS.values(), ids=WAYS)
async def test_cut_at_every_octet_that_the_server_says(tls: str, extensions: tuple[str, ...]) -> None:
    _, heard = await whole_exchange(tls, extensions)
    last = heard.rindex(b"250 2.0.0 queued")

    for octets in range(1, len(heard) + 1):
        async with ScriptedServer(tls=tls, extensions=extensions, drop_sent=octets) as server:
            result = await attempt(server)

        if octets == len(heard):
            assert isinstance(result, Outcome)
        elif octets > last:
            assert isinstance(result, DeliveryUnknown), f"{result!r} after {octets} octets"
            assert len(server.received) == 1
        else:
            assert isinstance(result, FlowpostError)
            assert server.received == []
            # "354 go ahead" whole, and closed behind it, is the one place where the dot may be on its way.
            assert result.transient or (octets == last and isinstance(result, DeliveryUnknown))


@pytest.mark.parametrize("how", ["drop", "reset", "hang", "250-first line then drop", b"250 2.0.0 ok"])
@pytest.mark.parametrize("tls", ["none", "implicit", "starttls"])
async def test_a_loss_after_the_end_of_data_is_unknown(tls: str, how: Action) -> None:
    script: Script = {"DATA_END": how}
    async with ScriptedServer(tls=tls, script=script) as server, Sender(guard()) as sender:
        with pytest.raises(DeliveryUnknown, match=r"^Delivery unknown") as failed:
            await sender.send(credential_for(server, timeout_seconds=0.8), ENVELOPE, MESSAGE)

    assert failed.value.transient is False
    assert len(server.received) == 1


@pytest.mark.parametrize("octets", [1, 1000, 60_000, 300_000, 900_000])
@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_a_loss_in_the_middle_of_a_large_message_is_transient(tls: str, octets: int) -> None:
    """The message is larger than all buffers on the way, so the final dot is still here when the server
    closes.
    """
    data = b"%s\r\n" % (b"x" * 70) * 200_000
    async with ScriptedServer(tls=tls, drop_received=300 + octets, receive_buffer=8192) as server:
        result = await attempt(server, data)

    assert isinstance(result, FlowpostError)
    assert result.transient
    assert result.code == "ECONNECTION"


async def test_a_goodbye_that_the_kernel_has_and_nobody_has_read_is_seen_before_the_dot() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        wire = await Wire.over(client)
        wire.check_peer()
        server.close()
        time.sleep(0.05)  # the loop stands still, so that it cannot have read the end

        with pytest.raises(Lost, match="the server closed the connection"):
            wire.check_peer()
        await wire.close()


async def test_a_refusal_that_stands_before_the_close_is_read_and_not_taken_for_a_loss() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        wire = await Wire.over(client)
        server.sendall(b"550 5.7.1 not this one\r\n")
        server.close()
        time.sleep(0.05)  # the loop stands still, so that it cannot have read the reply

        with pytest.raises(Lost):
            wire.check_peer()
        with pytest.raises(Lost):
            await wire.reply(asyncio.get_running_loop().time() + 1)

        assert wire.stray is not None
        assert wire.stray.code == 550
        await wire.close()


async def test_the_next_message_announced_behind_the_dot_is_sent_again_and_the_one_before_is_unknown() -> (
    None
):
    async with ScriptedServer(script={"DATA_END": ["drop"]}) as server, Sender(guard()) as sender:
        credential = credential_for(server, max_connections=1)
        results = await asyncio.gather(
            *(sender.send(credential, ENVELOPE, b"Subject: %d\r\n" % number) for number in range(4)),
            return_exceptions=True,
        )

    assert isinstance(results[0], DeliveryUnknown)
    assert all(isinstance(result, Outcome) for result in results[1:])
    assert [mail.data for mail in server.messages] == [b"Subject: %d\r\n" % number for number in (1, 2, 3)]
