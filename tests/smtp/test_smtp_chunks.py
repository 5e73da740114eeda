"""A window of letters by BDAT: each gets the outcome that is meant for it, whatever happens to the others.

What left this process and has no reply at a loss is unknown; what certainly did not leave is tried again.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from servers.chunking import CHUNKING, ChunkingServer
from servers.client import ENVELOPE, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import Script, ScriptedServer

from runner.errors import ConnectionFailed, DeliveryUnknown, EnvelopeError, MessageError, TimedOut
from runner.model import Envelope, Outcome, Rejection
from runner.smtp.job import Job
from runner.smtp.pool import Sender
from runner.smtp.transaction import Letter


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(guard()) as sender:
        yield sender


def data(number: int) -> bytes:
    return b"Subject: message %d\r\n\r\n.a dot\r\n.\r\nthe end of %d\r\n" % (number, number)


def submitted(
    sender: Sender,
    server: ScriptedServer,
    count: int,
    *,
    to: Sequence[str] = ("to@example.net",),
    **changes: object,
) -> list[Job]:
    """One connection and a window of four, unless ``changes`` says otherwise; each from a sender of its own."""
    credential = credential_for(server, **({"max_connections": 1, "chunking": 4} | changes))
    return [
        sender.submit(credential, Letter.seal(Envelope(f"from{number}@example.com", tuple(to)), data(number)))
        for number in range(count)
    ]


async def results(jobs: list[Job]) -> list[object]:
    return await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), 30)


# -- all is well -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_200_letters_arrive_octet_for_octet_from_and_to_whom_they_were_meant(
    sender: Sender, tls: str
) -> None:
    async with ChunkingServer(tls=tls) as server:
        jobs = submitted(sender, server, 200, max_connections=3, max_messages=40, chunking=8)
        outcomes = await results(jobs)

    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    found = sorted((mail.sender, mail.data) for mail in server.messages)
    assert found == sorted((f"from{number}@example.com", data(number)) for number in range(200))
    assert not any(command == "DATA" for command in server.commands)
    carried = [sum(mail.connection == c.number for mail in server.messages) for c in server.connections]
    assert max(carried) <= 40


@pytest.mark.parametrize("missing", ["CHUNKING", "PIPELINING"])
async def test_a_server_that_does_not_offer_it_gets_data(sender: Sender, missing: str) -> None:
    async with ChunkingServer(extensions=[word for word in CHUNKING if word != missing]) as server:
        await results(submitted(sender, server, 3))

    assert len(server.messages) == 3
    assert not any(command.startswith("BDAT") for command in server.commands)


async def test_it_is_not_used_unless_it_was_asked_for(sender: Sender) -> None:
    async with ChunkingServer() as server:
        await results(submitted(sender, server, 3, chunking=0))

    assert not any(command.startswith("BDAT") for command in server.commands)


async def test_a_missing_last_line_end_is_added_and_no_dot_is_doubled(sender: Sender) -> None:
    async with ChunkingServer() as server:
        credential = credential_for(server, chunking=1)
        await sender.send(credential, ENVELOPE, b"Subject: x\r\n\r\n.\r\n..\r\nend")

    assert server.messages[0].data == b"Subject: x\r\n\r\n.\r\n..\r\nend\r\n"


async def test_size_and_smtputf8_hold_as_with_data(sender: Sender) -> None:
    utf8 = Envelope("from@example.com", ("jörg@example.net",), smtputf8=True)
    async with ChunkingServer(extensions=["CHUNKING", "PIPELINING", "SIZE 100", "8BITMIME"]) as server:
        credential = credential_for(server, chunking=4)
        jobs = [
            sender.submit(credential, Letter.seal(ENVELOPE, b"x\r\n" * 50)),
            sender.submit(credential, Letter.seal(utf8, b"x\r\n")),
            sender.submit(credential, Letter.seal(ENVELOPE, "ö\r\n".encode())),
        ]
        large, international, good = await results(jobs)

    assert isinstance(large, MessageError)
    assert isinstance(international, EnvelopeError)
    assert isinstance(good, Outcome)
    assert server.messages[0].options == "SIZE=4 BODY=8BITMIME"


class Silent:
    """A server that reads, and answers nothing behind EHLO until it is told to."""

    tls, ca_pem = "none", ""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.read = b""
        self.answer = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        sock, _ = self.listener.accept()
        with sock:
            sock.sendall(b"220 hi\r\n")
            sock.recv(1000)
            sock.sendall(b"250-hi\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            sock.settimeout(0.05)
            while not self.answer.is_set():
                try:
                    octets = sock.recv(65536)
                except TimeoutError:
                    continue
                if not octets:
                    return
                self.read += octets
            for line in self.read.split(b"\r\n"):
                if line.startswith((b"MAIL", b"RCPT", b"RSET", b"BDAT")):
                    sock.sendall(b"250 ok\r\n")

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *exc: object) -> None:
        self.answer.set()
        self.listener.close()
        self.thread.join(5)


async def test_a_whole_window_leaves_without_waiting_and_not_one_letter_more(sender: Sender) -> None:
    with Silent() as server:
        jobs = submitted(sender, server, 10, timeout_seconds=2.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.4)
        assert server.read.count(b"BDAT") == 4
        assert server.read.count(b"RSET") == 3, "what was refused before must not reach the next letter"
        assert [job.handed_over for job in jobs] == [True] * 4 + [False] * 6
        server.answer.set()
        outcomes = await results(jobs)

    assert [type(outcome).__name__ for outcome in outcomes[:4]] == ["Outcome"] * 4


async def test_a_letter_that_comes_later_joins_the_window(sender: Sender) -> None:
    with Silent() as server:
        jobs = submitted(sender, server, 1, timeout_seconds=2.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        jobs += submitted(sender, server, 1, timeout_seconds=2.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        assert server.read.count(b"BDAT") == 2
        server.answer.set()
        outcomes = await results(jobs)

    assert all(isinstance(outcome, Outcome) for outcome in outcomes)


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["MAIL", "RCPT"])
async def test_a_refused_letter_takes_none_of_its_neighbours_along(sender: Sender, place: str) -> None:
    script: Script = {place: ["ok", "550 5.7.1 not this one", "ok", "451 4.3.0 later"]}
    async with ChunkingServer(script=script) as server:
        outcomes = await results(submitted(sender, server, 8))

    assert [type(outcome).__name__ for outcome in outcomes] == [
        *("Outcome", "EnvelopeError", "Outcome", "EnvelopeError"),
        *["Outcome"] * 4,
    ]
    assert str(outcomes[1]) == "550 5.7.1 not this one", "not the 554 to its octets"
    assert [mail.sender for mail in server.messages] == [
        f"from{number}@example.com" for number in (0, 2, 4, 5, 6, 7)
    ]
    assert all(mail.recipients == ["to@example.net"] for mail in server.messages)
    assert len(server.connections) == 1


@pytest.mark.parametrize("reply", ["552 5.3.4 too big", "452 4.3.1 full"])
async def test_a_refused_message_leaves_no_recipient_to_the_next_one(sender: Sender, reply: str) -> None:
    async with ChunkingServer(script={"BDAT": ["ok", reply]}) as server:
        outcomes = await results(submitted(sender, server, 6))

    assert [type(outcome).__name__ for outcome in outcomes] == [
        *("Outcome", "MessageError"),
        *["Outcome"] * 4,
    ]
    assert str(outcomes[1]) == reply
    assert all(mail.recipients == ["to@example.net"] for mail in server.messages)


async def test_a_letter_behind_a_refused_one_that_was_alone_begins_with_rset(sender: Sender) -> None:
    async with ChunkingServer(script={"BDAT": ["552 5.3.4 too big"]}) as server:
        await results(submitted(sender, server, 1))
        await results(submitted(sender, server, 1))

    assert "RSET" in server.commands
    assert [mail.recipients for mail in server.messages] == [["to@example.net"]]


async def test_some_recipients_refused_is_a_success_that_names_them(sender: Sender) -> None:
    script: Script = {"RCPT": ["ok", "550 5.1.1 nobody", "ok", "ok"]}
    async with ChunkingServer(script=script) as server:
        first, second = await results(submitted(sender, server, 2, to=("a@example.net", "b@example.net")))

    assert isinstance(first, Outcome)
    assert first.accepted == ("a@example.net",)
    assert first.rejected == (Rejection("b@example.net", 550, "5.1.1", "nobody"),)
    assert isinstance(second, Outcome)
    assert second.rejected == ()


async def test_everybody_refused_keeps_each_reply(sender: Sender) -> None:
    script: Script = {"RCPT": ["550 5.1.1 gone", "450 4.2.1 busy"]}
    async with ChunkingServer(script=script) as server:
        (error,) = await results(submitted(sender, server, 1, to=("a@example.net", "b@example.net")))

    assert isinstance(error, EnvelopeError)
    assert error.transient
    assert [refusal.code for refusal in error.rejections] == [550, 450]


async def test_a_yes_to_a_message_whose_sender_was_refused_is_unknown(sender: Sender) -> None:
    """A server that contradicts itself may have delivered it."""
    script: Script = {"MAIL": [b"550 no\r\n250 ok\r\n250 queued\r\n"], "RCPT": ["hang"]}
    async with ChunkingServer(script=script) as server:
        (outcome,) = await results(submitted(sender, server, 1, timeout_seconds=1.0))

    assert isinstance(outcome, DeliveryUnknown)


@pytest.mark.parametrize("reply", ["354 what", "399 hm"])
async def test_neither_yes_nor_no_is_unknown(sender: Sender, reply: str) -> None:
    async with ChunkingServer(script={"BDAT": ["ok", reply]}) as server:
        outcomes = await results(submitted(sender, server, 3))

    assert isinstance(outcomes[1], DeliveryUnknown)
    assert isinstance(outcomes[2], Outcome)


# -- losses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drop", "reset", "hang", b"25", "250-first line then drop", b"\xff\r\n"])
async def test_what_left_and_has_no_reply_is_unknown_and_the_rest_goes_elsewhere(
    sender: Sender, how: str | bytes
) -> None:
    async with ChunkingServer(script={"BDAT": ["ok", how]}) as server:
        outcomes = await results(submitted(sender, server, 10, timeout_seconds=1.0))

    assert isinstance(outcomes[0], Outcome)
    assert isinstance(outcomes[1], DeliveryUnknown)
    unknown = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, DeliveryUnknown)]
    assert unknown == list(range(1, 1 + len(unknown)))
    assert len(unknown) <= 4
    sent = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Outcome)]
    assert sorted(unknown + sent) == list(range(10))
    assert len({mail.data for mail in server.received}) == len(server.received), "none twice"


async def test_421_in_the_middle_and_no_reply_behind_it_leaves_the_rest_of_the_window_unknown(
    sender: Sender,
) -> None:
    script: Script = {"RCPT": ["ok", "421 4.3.2 closing then drop"]}
    async with ChunkingServer(script=script) as server:
        jobs = submitted(sender, server, 6, max_connections=2)
        outcomes = await results(jobs)

    sent = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    assert len(server.messages) == len(sent)
    assert not any(isinstance(outcome, ConnectionFailed) for outcome in outcomes)


async def test_421_with_replies_behind_it_is_a_refusal_of_one_letter_and_nothing_follows_the_window(
    sender: Sender,
) -> None:
    async with ChunkingServer(script={"BDAT": ["ok", "421 4.3.2 slow down"]}) as server:
        outcomes = await results(submitted(sender, server, 6))

    assert [type(outcome).__name__ for outcome in outcomes] == [
        *("Outcome", "MessageError"),
        *["Outcome"] * 4,
    ]
    assert len(server.connections) == 2


async def test_cut_at_every_octet_that_the_server_reads() -> None:
    async with ChunkingServer() as server, Sender(guard()) as sender:
        await results(submitted(sender, server, 3))
    said = len(server.connections[0].clear_in) - len(b"QUIT\r\n")

    for octets in range(0, said, 3):
        async with ChunkingServer(drop_received=octets, drops=1) as server, Sender(guard()) as sender:
            outcomes = await results(submitted(sender, server, 3))

        check(server, outcomes, f"cut after {octets} octets")


async def test_cut_at_every_octet_that_the_server_says() -> None:
    async with ChunkingServer() as server, Sender(guard()) as sender:
        await results(submitted(sender, server, 3))
    heard = len(server.connections[0].clear_out) - len(b"221 2.0.0 bye\r\n")

    for octets in range(1, heard + 1, 3):
        async with ChunkingServer(drop_sent=octets, drops=1) as server, Sender(guard()) as sender:
            outcomes = await results(submitted(sender, server, 3))

        check(server, outcomes, f"cut after {octets} octets")


def check(server: ScriptedServer, outcomes: list[object], when: str) -> None:
    """What was told of each letter is compatible with what the server knows of it."""
    for number, outcome in enumerate(outcomes):
        whole = [mail for mail in server.received if mail.data == data(number)]
        assert len(whole) <= 1, f"message {number} twice, {when}"
        if isinstance(outcome, Outcome):
            assert whole, f"message {number} was not sent, {when}"
        elif not isinstance(outcome, DeliveryUnknown):
            assert not whole, f"message {number} may be sent again, and was accepted, {when}"


async def test_200_letters_in_weather_lose_nothing_and_double_nothing(sender: Sender) -> None:
    script: Script = {
        "MAIL": ["ok"] * 20 + ["drop"] + ["ok"] * 20 + ["451 4.3.0 later"] + ["ok"] * 30 + ["reset"],
        "RCPT": ["ok"] * 35 + ["550 5.1.1 nobody"] + ["ok"] * 30 + ["drop"],
        "BDAT": ["ok"] * 25 + ["drop"] + ["ok"] * 25 + ["554 5.7.1 spam"] + ["ok"] * 40 + ["reset"],
    }
    async with ChunkingServer(script=script) as server:
        outcomes = await results(submitted(sender, server, 200, max_connections=4, chunking=8))

    for number, outcome in enumerate(outcomes):
        found = [mail for mail in server.messages if mail.data == data(number)]
        assert len(found) <= 1
        assert bool(found) == isinstance(outcome, Outcome) or isinstance(outcome, DeliveryUnknown)
        assert all(mail.sender == f"from{number}@example.com" for mail in found)
    unknown = sum(isinstance(outcome, DeliveryUnknown) for outcome in outcomes)
    assert unknown <= 5 * 8


# -- large ones, and servers that do not read --------------------------------------------------------

LARGE = b"%s\r\n" % (b"x" * 70) * 100_000


@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_a_large_letter_arrives_between_small_ones(sender: Sender, tls: str) -> None:
    async with ChunkingServer(tls=tls, receive_buffer=200_000) as server:
        credential = credential_for(server, max_connections=1, chunking=4)
        letters = [data(0), LARGE, data(1), LARGE + b"2\r\n", data(2)]
        jobs = [sender.submit(credential, Letter.seal(ENVELOPE, text)) for text in letters]
        outcomes = await results(jobs)

    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    assert [mail.data for mail in server.messages] == letters


@pytest.mark.parametrize("octets", [1000, 60_000, 900_000])
@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_a_loss_in_the_middle_of_a_large_letter_is_transient(tls: str, octets: int) -> None:
    async with (
        ChunkingServer(tls=tls, drop_received=300 + octets, receive_buffer=8192) as server,
        Sender(guard()) as sender,
    ):
        job = sender.submit(credential_for(server, chunking=4), Letter.seal(ENVELOPE, LARGE))
        (outcome,) = await results([job])

    assert isinstance(outcome, ConnectionFailed)
    assert not job.handed_over


async def test_a_large_letter_that_is_refused_while_it_is_sent_ends_with_the_refusal(sender: Sender) -> None:
    async with ChunkingServer(
        script={"EARLY": ["552 5.3.4 too big then hang"]}, receive_buffer=8192
    ) as server:
        credential = credential_for(server, max_connections=1, chunking=4, timeout_seconds=2.0)
        jobs = [sender.submit(credential, Letter.seal(ENVELOPE, text)) for text in (LARGE, data(1))]
        large, small = await results(jobs)

    assert isinstance(large, MessageError)
    assert str(large) == "552 5.3.4 too big"
    assert isinstance(small, Outcome)
    assert [mail.connection for mail in server.messages] == [1]


async def test_a_yes_to_a_letter_that_was_not_sent_yet_is_no_yes(sender: Sender) -> None:
    async with ChunkingServer(script={"EARLY": "250 2.0.0 queued then hang"}, receive_buffer=8192) as server:
        credential = credential_for(server, chunking=4, timeout_seconds=1.0)
        (outcome,) = await results([sender.submit(credential, Letter.seal(ENVELOPE, LARGE))])

    assert isinstance(outcome, ConnectionFailed)


async def test_a_server_that_stops_reading_is_left_at_the_deadline(sender: Sender) -> None:
    """What is wholly in the kernel may arrive yet; what is still here will not."""
    async with ChunkingServer(script={"EARLY": "hang"}, receive_buffer=8192) as server:
        credential = credential_for(server, max_connections=1, chunking=4, timeout_seconds=0.5)
        jobs = [sender.submit(credential, Letter.seal(ENVELOPE, text)) for text in (data(0), LARGE)]
        outcomes = await results(jobs)

    assert isinstance(outcomes[0], DeliveryUnknown)
    assert isinstance(outcomes[1], TimedOut)
    assert not jobs[1].handed_over


async def test_a_server_that_wants_its_replies_read_before_it_reads_on_does_not_stand_still(
    sender: Sender,
) -> None:
    """Both sides' buffers would be full: a client that reads nothing while it writes waits for ever."""
    long = "\n".join(["250-" + "x" * 900] * 60) + "\n250 2.0.0 queued"
    async with ChunkingServer(script={"BDAT": long}, receive_buffer=65536) as server:
        credential = credential_for(server, max_connections=1, chunking=64, timeout_seconds=20.0)
        text = b"%s\r\n" % (b"y" * 70) * 800
        jobs = [sender.submit(credential, Letter.seal(ENVELOPE, text)) for _ in range(100)]
        outcomes = await results(jobs)

    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    assert len(server.received) == 100


# -- cancelled ---------------------------------------------------------------------------------------


async def test_one_letter_of_a_window_is_given_up_and_the_others_have_their_outcomes(sender: Sender) -> None:
    with Silent() as server:
        jobs = submitted(sender, server, 6, timeout_seconds=2.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.3)
        assert jobs[1].cancel()
        assert jobs[5].cancel()
        server.answer.set()
        outcomes = await results(jobs[:4])

    assert isinstance(outcomes[1], DeliveryUnknown)
    assert [type(outcomes[number]) for number in (0, 2, 3)] == [Outcome] * 3
    assert jobs[5].cancelled()
    assert b"message 5" not in server.read


async def test_a_large_letter_that_is_given_up_in_its_middle_is_not_sent(sender: Sender) -> None:
    async with ChunkingServer(script={"EARLY": ["ok", "hang"]}, receive_buffer=8192) as server:
        credential = credential_for(server, max_connections=1, chunking=4, timeout_seconds=2.0)
        jobs = [sender.submit(credential, Letter.seal(ENVELOPE, text)) for text in (data(0), LARGE, data(2))]
        await jobs[0]
        while sum(line.startswith("BDAT") for line in server.connections[0].commands) < 2:
            await asyncio.sleep(0.01)  # or the next connection would be the one that hangs
        jobs[1].cancel()
        outcome = await asyncio.wait_for(jobs[2], 10)

    assert jobs[1].cancelled()
    assert isinstance(outcome, Outcome)
    assert [mail.data for mail in server.messages] == [data(0), data(2)]


async def test_a_sender_that_closes_tells_of_each_letter_what_it_knows() -> None:
    with Silent() as server:
        async with Sender(guard()) as sender:
            jobs = submitted(sender, server, 6, timeout_seconds=1.0)  # type: ignore[arg-type]
            await asyncio.sleep(0.3)
        outcomes = await results(jobs)

    assert [type(outcome) for outcome in outcomes] == [DeliveryUnknown] * 4 + [ConnectionFailed] * 2


async def test_without_a_window_of_more_than_one_each_waits_for_the_one_before(sender: Sender) -> None:
    with Silent() as server:
        jobs = submitted(sender, server, 3, chunking=1, timeout_seconds=1.0)  # type: ignore[arg-type]
        await asyncio.sleep(0.3)
        assert server.read.count(b"BDAT") == 1
        await results(jobs[:1])
