"""One transaction: who was accepted, who was refused, with whose words, and what the connection is good for
after.
"""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator

import pytest
from servers.client import ENVELOPE, MESSAGE, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import EXTENSIONS, Script, ScriptedServer

from runner.errors import (
    AddressError,
    ConnectionFailed,
    EnvelopeError,
    FlowpostError,
    HeaderError,
    MessageError,
)
from runner.model import Envelope, Outcome, Rejection
from runner.smtp.pool import Sender

PIPELINING = {
    "pipelined": EXTENSIONS,
    "one by one": tuple(word for word in EXTENSIONS if word != "PIPELINING"),
}
THREE = Envelope("from@example.com", ("a@example.net", "b@example.net", "c@example.net"))


@pytest.fixture(params=PIPELINING.values(), ids=PIPELINING)
def extensions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(guard()) as sender:
        yield sender


async def refusal(sender: Sender, server: ScriptedServer, envelope: Envelope = ENVELOPE) -> FlowpostError:
    with pytest.raises(FlowpostError) as refused:
        await sender.send(credential_for(server), envelope, MESSAGE)
    return refused.value


async def test_some_accepted_and_some_refused_is_a_success_that_names_the_refused(
    sender: Sender, extensions: tuple[str, ...]
) -> None:
    script: Script = {"RCPT": ["250 ok", "550 5.1.1 no such user", "450-4.2.1 mailbox\n450 4.2.1 busy"]}
    async with ScriptedServer(tls="none", script=script, extensions=extensions) as server:
        outcome = await sender.send(credential_for(server), THREE, MESSAGE)

    assert outcome == Outcome(
        ("a@example.net",),
        (
            Rejection("b@example.net", 550, "5.1.1", "no such user"),
            Rejection("c@example.net", 450, "4.2.1", "mailbox busy"),
        ),
        "250 2.0.0 queued as 1",
    )
    assert server.messages[0].recipients == ["a@example.net"]


@pytest.mark.parametrize(
    ("script", "kind", "message", "transient"),
    [
        ({"MAIL": "550 5.7.1 not you"}, EnvelopeError, "550 5.7.1 not you", False),
        ({"MAIL": "451 4.3.0 later"}, EnvelopeError, "451 4.3.0 later", True),
        ({"RCPT": "550 5.1.1 nobody"}, EnvelopeError, "550 5.1.1 nobody", False),
        ({"RCPT": ["550 no", "450 4.2.1 busy", "550 no"]}, EnvelopeError, "450 4.2.1 busy", True),
        ({"DATA": "554 5.5.1 no"}, MessageError, "554 5.5.1 no", False),
        ({"DATA": "451 4.3.0 later"}, MessageError, "451 4.3.0 later", True),
        ({"DATA_END": "554 5.7.1 spam"}, MessageError, "554 5.7.1 spam", False),
        ({"DATA_END": "452 4.3.1 full"}, MessageError, "452 4.3.1 full", True),
        ({"DATA_END": "421 4.3.2 closing then drop"}, MessageError, "421 4.3.2 closing", True),
    ],
)
async def test_a_refusal_is_the_servers_reply(
    sender: Sender,
    extensions: tuple[str, ...],
    script: Script,
    kind: type[FlowpostError],
    message: str,
    transient: bool,
) -> None:
    async with ScriptedServer(tls="none", script=script, extensions=extensions) as server:
        error = await refusal(sender, server, THREE)

    assert type(error) is kind
    assert error.message == message
    assert error.transient is transient
    assert error.smtp_code == int(message[:3])
    assert error.enhanced_code == (message.split()[1] if "." in message.split()[1] else None)
    assert server.messages == []


async def test_when_everybody_is_refused_each_reply_is_kept_through_pickling_too(
    sender: Sender, extensions: tuple[str, ...]
) -> None:
    script: Script = {"RCPT": ["550 5.1.1 gone", "450 4.2.1 busy", "553 no"]}
    async with ScriptedServer(tls="none", script=script, extensions=extensions) as server:
        error = await refusal(sender, server, THREE)

    assert isinstance(error, EnvelopeError)
    assert error.rejections == (
        Rejection("a@example.net", 550, "5.1.1", "gone"),
        Rejection("b@example.net", 450, "4.2.1", "busy"),
        Rejection("c@example.net", 553, None, "no"),
    )
    assert "rejections" not in error.as_dict()
    assert pickle.loads(pickle.dumps(error)).rejections == error.rejections


async def test_a_refused_sender_refuses_nobody_in_particular(
    sender: Sender, extensions: tuple[str, ...]
) -> None:
    async with ScriptedServer(tls="none", script={"MAIL": "550 no"}, extensions=extensions) as server:
        error = await refusal(sender, server, THREE)

    assert isinstance(error, EnvelopeError)
    assert error.rejections == ()


@pytest.mark.parametrize(
    "script", [{"MAIL": ["550 no"]}, {"RCPT": ["550 no"]}, {"DATA": ["451 no"]}, {"DATA_END": ["554 no"]}]
)
async def test_after_a_refusal_the_same_connection_carries_the_next_message(
    sender: Sender, extensions: tuple[str, ...], script: Script
) -> None:
    async with ScriptedServer(tls="none", script=script, extensions=extensions) as server:
        await refusal(sender, server)
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)

    assert [mail.data for mail in server.messages] == [MESSAGE]
    assert len(server.connections) == 1


async def test_a_server_that_goes_ahead_with_nobody_gets_an_empty_message_for_no_one(sender: Sender) -> None:
    raw = b"550 5.7.1 no\r\n503 no\r\n354 go ahead anyway\r\n"
    async with ScriptedServer(tls="none", script={"MAIL": [raw]}) as server:
        error = await refusal(sender, server)

    assert error.message == "550 5.7.1 no"
    assert server.messages == []
    assert b"hello" not in server.clear


@pytest.mark.parametrize("place", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("how", ["drop", "reset", "421 4.3.2 shutting down then drop"])
async def test_a_loss_before_the_message_is_transient(
    sender: Sender, extensions: tuple[str, ...], place: str, how: str
) -> None:
    async with ScriptedServer(tls="none", script={place: how}, extensions=extensions) as server:
        error = await refusal(sender, server)

    assert error.transient is True
    assert error.code != "EUNKNOWN"
    assert error.smtp_code in (None, 421)


@pytest.mark.parametrize(
    "how", ["drop", "reset", "hang", "354 what", b"25", b"250 o", b"\xff\r\n", "250-a\n251 b"]
)
async def test_no_clear_answer_to_the_message_is_unknown(
    sender: Sender, extensions: tuple[str, ...], how: str
) -> None:
    async with ScriptedServer(tls="none", script={"DATA_END": how}, extensions=extensions) as server:
        with pytest.raises(FlowpostError, match=r"^Delivery unknown") as failed:
            await sender.send(credential_for(server, timeout_seconds=0.7), ENVELOPE, MESSAGE)

    assert failed.value.code == "EUNKNOWN"
    assert failed.value.transient is False


async def test_mail_rcpt_and_data_leave_in_one_write(sender: Sender) -> None:
    async with ScriptedServer(tls="none", script={"MAIL": "after 0.3: 250 ok"}) as server:
        await sender.send(credential_for(server), THREE, MESSAGE)

    received = bytes(server.connections[0].clear_in)
    assert received.count(b"RCPT TO") == 3


async def test_a_message_over_the_announced_size_is_not_sent(sender: Sender) -> None:
    async with ScriptedServer(extensions=["SIZE 1000"]) as server:
        with pytest.raises(MessageError, match="takes at most 1000"):
            await sender.send(credential_for(server), ENVELOPE, b"x\r\n" * 500)

    assert not any(command.startswith("MAIL") for command in server.commands)


@pytest.mark.parametrize("announced", ["SIZE", "SIZE 0", "SIZE x", "SIZE " + "9" * 400])
async def test_a_size_that_says_nothing_does_not_stop_a_message(sender: Sender, announced: str) -> None:
    async with ScriptedServer(extensions=[announced]) as server:
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)

    assert server.messages[0].options == f"SIZE={len(MESSAGE)}"


async def test_a_local_part_that_is_not_ascii_needs_smtputf8(sender: Sender) -> None:
    envelope = Envelope("from@example.com", ("jörg@example.net",), smtputf8=True)
    async with ScriptedServer() as server:
        await sender.send(credential_for(server), envelope, MESSAGE)

        assert server.messages[0].recipients == ["jörg@example.net"]
        assert "SMTPUTF8" in server.messages[0].options


async def test_without_smtputf8_such_a_local_part_is_refused_before_mail(sender: Sender) -> None:
    envelope = Envelope("from@example.com", ("jörg@example.net",), smtputf8=True)
    async with ScriptedServer(extensions=["PIPELINING"]) as server:
        with pytest.raises(EnvelopeError, match="does not offer SMTPUTF8") as refused:
            await sender.send(credential_for(server), envelope, MESSAGE)

    assert refused.value.hint
    assert not any(command.startswith("MAIL") for command in server.commands)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("a@b.example>\r\nRCPT TO:<evil@e.example", HeaderError),
        ("a@b.example\0", HeaderError),
        ("a@b.example> SIZE=1", AddressError),
        ("a b@c.example", AddressError),
        ("jörg@example.net", AddressError),
        ("a\x7f@b.example", AddressError),
        ("a" * 1000, AddressError),
        ("", AddressError),
    ],
)
async def test_an_address_that_is_more_than_one_is_refused(
    sender: Sender, address: str, kind: type[FlowpostError]
) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(kind):
            await sender.send(credential_for(server), Envelope("from@example.com", (address,)), MESSAGE)

    assert server.connections == []


async def test_the_null_sender_is_allowed(sender: Sender) -> None:
    async with ScriptedServer() as server:
        await sender.send(credential_for(server), Envelope("", ("a@example.net",)), MESSAGE)

        assert server.messages[0].sender == ""


async def test_a_message_for_nobody_is_refused(sender: Sender) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(EnvelopeError, match="no recipient"):
            await sender.send(credential_for(server), Envelope("from@example.com", ()), MESSAGE)


@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_a_large_message_arrives_byte_for_byte(sender: Sender, tls: str) -> None:
    data = b"".join(b".%06d %s\r\n" % (number, b"x" * 60) for number in range(60_000))
    async with ScriptedServer(tls=tls) as server:
        await sender.send(credential_for(server, timeout_seconds=30.0), ENVELOPE, data)

        assert server.messages[0].data == data


async def test_a_large_message_that_is_refused_on_the_way_ends_with_the_reply(sender: Sender) -> None:
    data = b"x" * 70 + b"\r\n"
    async with ScriptedServer(
        tls="none", script={"DATA": b"354 go\r\n552 5.3.4 too big after all\r\n"}
    ) as server:
        with pytest.raises((MessageError, ConnectionFailed)) as refused:
            await sender.send(credential_for(server), ENVELOPE, data * 200_000)

    assert refused.value.code != "EUNKNOWN"
