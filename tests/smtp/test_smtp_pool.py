"""The pool: connections kept apart, within their limits, replaced when stale; no mail lost and none twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from servers.client import ENVELOPE, MESSAGE, USER, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import EXTENSIONS, Script, ScriptedServer

from runner.credential import PasswordAuth, Secret
from runner.errors import (
    AuthError,
    ConnectionFailed,
    DeliveryUnknown,
    EnvelopeError,
    FlowpostError,
    MessageError,
)
from runner.model import Outcome
from runner.smtp import lane
from runner.smtp.pool import Sender

LOCKSTEP = tuple(word for word in EXTENSIONS if word != "PIPELINING")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def numbered(count: int) -> list[bytes]:
    return [b"Subject: message %d\r\n\r\nhi\r\n" % number for number in range(count)]


async def send_all(
    sender: Sender, server: ScriptedServer, messages: list[bytes], **changes: object
) -> list[object]:
    credential = credential_for(server, **changes)
    sends = (sender.send(credential, ENVELOPE, data) for data in messages)
    return list(await asyncio.gather(*sends, return_exceptions=True))


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(guard()) as sender:
        yield sender


# -- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extensions", [EXTENSIONS, LOCKSTEP], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_200_concurrent_sends_keep_to_the_limits_and_each_arrives_once(
    sender: Sender, tls: str, extensions: tuple[str, ...]
) -> None:
    messages = numbered(200)
    async with ScriptedServer(tls=tls, extensions=extensions) as server:
        results = await send_all(sender, server, messages, max_connections=5, max_messages=15)

        assert all(isinstance(result, Outcome) for result in results)
        assert sorted(mail.data for mail in server.messages) == sorted(messages)
        assert server.most_open <= 5
        per_connection = [
            sum(mail.connection == c.number for mail in server.messages) for c in server.connections
        ]
        assert max(per_connection) <= 15
        assert len(server.connections) >= 14


async def test_200_sends_in_weather_lose_nothing_and_double_nothing(sender: Sender) -> None:
    """Refusals, drops before and after the message, 421: what is told is what the server knows."""
    script: Script = {
        "MAIL": ["ok"] * 20 + ["drop"] + ["ok"] * 20 + ["451 4.3.0 later"] + ["ok"] * 30 + ["reset"],
        "RCPT": ["ok"] * 35 + ["550 5.1.1 nobody"] + ["ok"] * 30 + ["drop"],
        "DATA": ["ok"] * 50 + ["drop"],
        "DATA_END": ["ok"] * 25 + ["drop"] + ["ok"] * 25 + ["554 5.7.1 spam"] + ["ok"] * 40 + ["reset"],
        "IDLE": ["ok"] * 60 + ["drop"] + ["ok"] * 20 + ["421 4.4.2 idle then drop"],
    }
    messages = numbered(200)
    async with ScriptedServer(script=script) as server:
        results = await send_all(sender, server, messages, max_connections=4)

    accepted = [mail.data for mail in server.messages]
    assert len(accepted) == len(set(accepted)), "none twice"
    sent = [data for data, result in zip(messages, results, strict=True) if isinstance(result, Outcome)]
    assert sorted(sent) == sorted(accepted)
    unknown = [
        data for data, result in zip(messages, results, strict=True) if isinstance(result, DeliveryUnknown)
    ]
    whole = [mail.data for mail in server.received if mail.code is None]
    assert set(whole) <= set(unknown), "every message that got no answer is unknown"
    assert len(unknown) <= 8
    refused = [result for result in results if isinstance(result, EnvelopeError | MessageError)]
    assert len(refused) == 3


async def test_one_connection_serves_one_after_the_other(sender: Sender) -> None:
    async with ScriptedServer() as server:
        for data in numbered(5):
            await sender.send(credential_for(server), ENVELOPE, data)

        assert len(server.connections) == 1
        assert server.logins() == 1


async def test_a_connection_says_goodbye_after_max_messages(sender: Sender) -> None:
    async with ScriptedServer() as server:
        for data in numbered(5):
            await sender.send(credential_for(server, max_messages=2), ENVELOPE, data)

        assert len(server.connections) == 3
        assert [connection.commands[-1] for connection in server.connections[:2]] == ["QUIT", "QUIT"]


async def test_a_connection_that_lived_long_is_replaced(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedServer() as server:
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        monkeypatch.setattr(lane, "MAX_LIFETIME", 0.0)
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)

        assert len(server.connections) == 2


async def test_an_idle_connection_says_goodbye(sender: Sender) -> None:
    async with ScriptedServer() as server:
        await sender.send(credential_for(server, idle_seconds=0.1), ENVELOPE, MESSAGE)
        await until(lambda: server.connections[0].ended)

        assert server.commands[-1] == "QUIT"
        await until(lambda: sender._lanes == {})  # and the secret leaves memory with it


async def test_leaving_the_sender_says_goodbye_everywhere() -> None:
    async with ScriptedServer() as server:
        async with Sender(guard()) as sender:
            await send_all(sender, server, numbered(20), max_connections=3)
            # An opening that nobody needs any more is broken off, without a goodbye.
            await until(lambda: not any(lane._openers for lane in sender._lanes.values()))
        await until(lambda: all(connection.ended for connection in server.connections))

        assert [connection.commands[-1] for connection in server.connections] == ["QUIT"] * len(
            server.connections
        )


@pytest.mark.parametrize("how", ["421 4.3.2 bye then drop", "450 no", "drop", "hang", "reset"])
async def test_a_server_that_is_rude_at_quit_has_the_mail_all_the_same(how: str) -> None:
    async with ScriptedServer(script={"QUIT": how}) as server:
        async with Sender(guard()) as sender:
            outcome = await sender.send(credential_for(server, timeout_seconds=1.0), ENVELOPE, MESSAGE)

        assert outcome.accepted
        assert len(server.messages) == 1


async def test_leaving_does_not_wait_for_a_connection_that_hangs() -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedServer(script={"CONNECT": "hang"}) as server:
        async with Sender(guard()) as sender:
            send = asyncio.create_task(
                sender.send(credential_for(server, timeout_seconds=30), ENVELOPE, MESSAGE)
            )
            await until(lambda: len(server.connections) == 1)
            before = loop.time()
        results = await asyncio.gather(send, return_exceptions=True)

    assert loop.time() - before < 20
    assert isinstance(results[0], ConnectionFailed)


async def test_a_closed_sender_sends_nothing() -> None:
    async with Sender(guard()) as sender:
        pass
    async with ScriptedServer() as server:
        with pytest.raises(RuntimeError, match="closed"):
            await sender.send(credential_for(server), ENVELOPE, MESSAGE)


# -- kept apart --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"workspace": "other"}, {"name": "other"}, {"fingerprint": "other"}])
async def test_another_workspace_credential_or_secret_gets_its_own_connection(
    sender: Sender, change: dict[str, str]
) -> None:
    async with ScriptedServer() as server:
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        await sender.send(credential_for(server, **change), ENVELOPE, MESSAGE)

        assert len(server.connections) == 2


async def test_a_rotated_password_never_meets_an_old_connection(sender: Sender) -> None:
    async with ScriptedServer() as server:
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        server.password = "rotated"
        changed = {"auth": PasswordAuth(USER, Secret("rotated")), "fingerprint": "two"}
        await sender.send(credential_for(server, **changed), ENVELOPE, MESSAGE)
        await until(lambda: server.connections[0].ended)

        assert server.connections[0].commands[-1] == "QUIT", "the old one is closed at once"
        assert [mail.connection for mail in server.messages] == [0, 1]


# -- stale connections -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drop", "reset", "421 4.4.2 timeout then drop", "421 4.4.2 timeout"])
async def test_a_connection_that_the_server_closed_between_messages_is_replaced_before_mail(
    sender: Sender, how: str
) -> None:
    async with ScriptedServer(script={"IDLE": [how]}) as server:
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        await asyncio.sleep(0.1)
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)

        assert [mail.connection for mail in server.messages] == [0, 1]
        assert sum(command.startswith("MAIL") for command in server.connections[0].commands) == 1


@pytest.mark.parametrize("place", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("how", ["drop", "reset", "421 4.7.0 too many messages then drop"])
async def test_a_used_connection_that_fails_before_the_message_is_replaced_and_the_mail_sent_once(
    sender: Sender, place: str, how: str
) -> None:
    async with ScriptedServer(script={place: ["ok", how]}) as server:
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        outcome = await sender.send(credential_for(server), ENVELOPE, MESSAGE)

        assert outcome.accepted
        assert [mail.connection for mail in server.messages] == [0, 1]


async def test_a_connection_that_rested_is_asked_whether_it_stands(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "PROBE_AFTER", 0.0)
    async with ScriptedServer(script={"NOOP": ["ok", "ok", "hang"]}) as server:
        credential = credential_for(server, timeout_seconds=0.5)
        for _ in range(3):
            await sender.send(credential, ENVELOPE, MESSAGE)

        assert [mail.connection for mail in server.messages] == [0, 0, 1]


async def test_a_connection_that_has_just_carried_a_message_takes_the_next_one_unasked(
    sender: Sender,
) -> None:
    async with ScriptedServer() as server:
        for _ in range(3):
            await sender.send(credential_for(server), ENVELOPE, MESSAGE)
            await asyncio.sleep(0.02)

        assert [mail.connection for mail in server.messages] == [0, 0, 0]
        assert "NOOP" not in server.connections[0].commands


async def test_a_connection_that_waits_for_the_next_message_ends_with_its_secret(sender: Sender) -> None:
    async with ScriptedServer() as server:
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        await sender.send(credential_for(server, fingerprint="another"), ENVELOPE, MESSAGE)
        await until(lambda: server.connections[0].ended)

        assert [mail.connection for mail in server.messages] == [0, 1]
        assert server.connections[0].commands[-1] == "QUIT"


async def test_a_server_that_closes_after_each_message_gets_all_of_them_once(sender: Sender) -> None:
    messages = numbered(30)
    async with ScriptedServer(script={"IDLE": "drop"}) as server:
        results = await send_all(sender, server, messages, max_connections=3)

    assert sorted(mail.data for mail in server.messages) == messages_sorted(messages)
    assert all(isinstance(result, Outcome) for result in results)


def messages_sorted(messages: list[bytes]) -> list[bytes]:
    return sorted(messages)


async def test_a_server_that_takes_fewer_connections_than_allowed_gets_all_messages_over_these(
    sender: Sender,
) -> None:
    script: Script = {"CONNECT": ["ok", "ok"] + ["421 4.7.0 too many connections then drop"] * 20}
    messages = numbered(60)
    async with ScriptedServer(script=script) as server:
        results = await send_all(sender, server, messages, max_connections=5)

    assert all(isinstance(result, Outcome) for result in results)
    assert sorted(mail.data for mail in server.messages) == sorted(messages)
    # Behind the first they open side by side; whoever was refused does not ask again.
    assert len(server.connections) <= 5


async def test_a_server_that_is_down_is_asked_once_for_all_who_wait(sender: Sender) -> None:
    async with ScriptedServer(script={"CONNECT": "554 no service"}) as server:
        results = await send_all(sender, server, numbered(50))

    assert all(isinstance(result, ConnectionFailed) for result in results)
    assert len({id(result) for result in results}) == 50, "each waiter has an error of its own"
    assert len(server.connections) <= 5


# -- holding back ------------------------------------------------------------------------------------


async def test_a_refused_login_is_tried_once_a_minute_however_many_ask() -> None:
    clock = Clock()
    async with ScriptedServer() as server, Sender(guard(), clock=clock) as sender:
        wrong = {"auth": PasswordAuth(USER, Secret("wrong"))}
        results = await send_all(sender, server, numbered(30), **wrong)
        assert all(isinstance(result, AuthError) for result in results)
        assert server.logins() == 1

        clock.now += 59
        with pytest.raises(
            AuthError, match=r"^Authentication failed: 535 .*not tried again for 1 s"
        ) as refused:
            await sender.send(credential_for(server, **wrong), ENVELOPE, MESSAGE)
        assert refused.value.smtp_code == 535
        assert server.logins() == 1

        clock.now += 2
        await send_all(sender, server, numbered(3), **wrong)
        assert server.logins() == 2


async def test_a_new_password_is_tried_at_once() -> None:
    async with ScriptedServer() as server, Sender(guard(), clock=Clock()) as sender:
        await send_all(sender, server, numbered(1), auth=PasswordAuth(USER, Secret("wrong")))
        outcome = await sender.send(credential_for(server, fingerprint="two"), ENVELOPE, MESSAGE)

        assert outcome.accepted


async def test_a_login_refused_for_now_does_not_count_as_refused(sender: Sender) -> None:
    async with ScriptedServer(script={"AUTH": ["451 4.3.0 later"]}) as server:
        with pytest.raises(AuthError):
            await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)

        assert len(server.messages) == 1


@pytest.mark.parametrize("reply", ["421 4.3.2 slow down then drop", "432 4.3.2 limit", "454 4.7.0 throttled"])
async def test_a_server_that_asks_for_less_is_given_a_pause(sender: Sender, reply: str) -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedServer(script={"MAIL": [reply]}) as server:
        with pytest.raises(EnvelopeError) as refused:
            await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        before = loop.time()
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)

    assert refused.value.transient is True
    assert loop.time() - before > 0.8


async def test_a_recipient_refused_for_now_slows_nothing_down(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.smtp.pace._FIRST_PAUSE", 30.0)
    loop = asyncio.get_running_loop()
    async with ScriptedServer(script={"RCPT": ["450 4.2.1 busy"]}) as server:
        with pytest.raises(EnvelopeError):
            await sender.send(credential_for(server), ENVELOPE, MESSAGE)
        before = loop.time()
        await sender.send(credential_for(server), ENVELOPE, MESSAGE)

    assert loop.time() - before < 15


# -- cancelled ---------------------------------------------------------------------------------------


async def test_a_send_that_is_cancelled_while_it_waits_is_not_sent(sender: Sender) -> None:
    async with ScriptedServer(script={"DATA_END": "after 0.3: 250 ok"}) as server:
        credential = credential_for(server, max_connections=1)
        first = asyncio.create_task(sender.send(credential, ENVELOPE, b"first\r\n"))
        second = asyncio.create_task(sender.send(credential, ENVELOPE, b"second\r\n"))
        third = asyncio.create_task(sender.send(credential, ENVELOPE, b"third\r\n"))
        await until(lambda: len(server.received) == 1)
        second.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)

    assert second.cancelled()
    assert [mail.data for mail in server.messages] == [b"first\r\n", b"third\r\n"]


async def test_a_send_that_is_cancelled_before_the_final_dot_is_not_sent(sender: Sender) -> None:
    async with ScriptedServer(script={"DATA": ["after 0.5: 354 go ahead"]}) as server:
        send = asyncio.create_task(sender.send(credential_for(server), ENVELOPE, b"cancelled\r\n"))
        await until(lambda: any(command == "DATA" for command in server.commands))
        send.cancel()
        await asyncio.gather(send, return_exceptions=True)
        await sender.send(credential_for(server), ENVELOPE, b"next\r\n")

    assert [mail.data for mail in server.messages] == [b"next\r\n"]


async def test_a_send_that_is_cancelled_after_the_final_dot_is_unknown(sender: Sender) -> None:
    async with ScriptedServer(script={"DATA_END": ["after 0.5: 250 ok"]}) as server:
        send = asyncio.create_task(sender.send(credential_for(server), ENVELOPE, MESSAGE))
        await until(lambda: len(server.received) == 1)
        send.cancel()

        with pytest.raises(DeliveryUnknown):
            await send


async def test_letters_that_wait_when_the_password_is_rotated_go_out_over_the_connections_that_stand(
    sender: Sender,
) -> None:
    async with ScriptedServer() as server:
        old = asyncio.create_task(send_all(sender, server, numbered(50), max_connections=2))
        await until(lambda: len(server.messages) >= 1)
        await sender.send(credential_for(server, fingerprint="two"), ENVELOPE, MESSAGE)

        assert all(isinstance(result, Outcome) for result in await old)
        assert len(server.messages) == 51
        assert len(server.connections) <= 3


async def test_a_bad_credential_is_everybodys_error_and_nobody_waits_for_ever(sender: Sender) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(FlowpostError, match="PEM"):
            await sender.send(credential_for(server, ca_pem="nonsense"), ENVELOPE, MESSAGE)


async def test_a_mistake_of_ours_reaches_all_who_wait() -> None:
    class Broken:
        async def connect(self, host: str, port: int, *, timeout: float) -> object:
            raise ZeroDivisionError

    async with ScriptedServer() as server, Sender(Broken()) as sender:  # type: ignore[arg-type]
        results = await send_all(sender, server, numbered(10))

    assert all(isinstance(result, ZeroDivisionError) for result in results)


async def until(condition: object, seconds: float = 5.0) -> None:
    """Wait for a server's thread to come that far."""
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)
