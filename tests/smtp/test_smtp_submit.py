"""Letters without a task each: the future of a submitted letter says what became of it, also when it is
cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from servers.client import ENVELOPE, MESSAGE, USER, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import ScriptedServer

from runner.credential import PasswordAuth, Secret
from runner.errors import AuthError, ConnectionFailed, DeliveryUnknown, EnvelopeError, TimedOut
from runner.model import Outcome
from runner.smtp.job import Job
from runner.smtp.pool import Sender
from runner.smtp.transaction import Letter


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(guard()) as sender:
        yield sender


def letter(text: str = "hello") -> Letter:
    return Letter.seal(ENVELOPE, b"Subject: %s\r\n\r\nhi\r\n" % text.encode())


async def until(condition: object, seconds: float = 5.0) -> None:
    """Wait for a server's thread to come that far."""
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def ended(*jobs: Job) -> None:
    await asyncio.wait(jobs)


async def test_each_submitted_letter_has_the_future_of_its_own_outcome(sender: Sender) -> None:
    async with ScriptedServer() as server:
        credential = credential_for(server)
        jobs = [sender.submit(credential, letter(f"number {number}")) for number in range(100)]
        outcomes = await asyncio.gather(*jobs)

    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    assert sorted(mail.data for mail in server.messages) == sorted(job.letter.content for job in jobs)
    assert all(job.handed_over for job in jobs)


async def test_a_refused_letter_raises_as_send_does(sender: Sender) -> None:
    async with ScriptedServer(script={"RCPT": ["550 5.1.1 nobody"]}) as server:
        job = sender.submit(credential_for(server), letter())
        with pytest.raises(EnvelopeError, match=r"550 5\.1\.1 nobody"):
            await job

    assert not job.handed_over


async def test_a_letter_that_waits_is_cancelled_and_never_sent(sender: Sender) -> None:
    async with ScriptedServer(script={"DATA_END": "after 0.2: 250 ok"}) as server:
        credential = credential_for(server, max_connections=1)
        jobs = [sender.submit(credential, letter(text)) for text in ("a", "b", "c", "d")]
        await until(lambda: len(server.received) == 1)
        assert jobs[1].cancel()
        assert jobs[3].cancel()
        await ended(*jobs)

    assert [job.cancelled() for job in jobs] == [False, True, False, True]
    assert [mail.data[9:10] for mail in server.messages] == [b"a", b"c"]


async def test_a_letter_whose_end_may_have_left_is_unknown_when_it_is_cancelled(sender: Sender) -> None:
    async with ScriptedServer(script={"DATA_END": ["after 0.3: 250 ok"]}) as server:
        credential = credential_for(server, max_connections=1)
        first, second = (sender.submit(credential, letter(text)) for text in ("a", "b"))
        await until(lambda: len(server.received) == 1)
        assert first.handed_over
        assert first.cancel()
        assert not first.cancelled()
        with pytest.raises(DeliveryUnknown):
            await first
        await second  # its connection was not taken from under it

    assert len(server.messages) == 2


async def test_cancelling_what_is_done_changes_nothing(sender: Sender) -> None:
    async with ScriptedServer() as server:
        job = sender.submit(credential_for(server), letter())
        outcome = await job

    assert not job.cancel()
    assert job.result() is outcome


async def test_a_time_limit_after_the_final_dot_is_not_taken_for_not_sent(sender: Sender) -> None:
    async with ScriptedServer(script={"DATA_END": "hang"}) as server:
        job = sender.submit(credential_for(server), letter())
        with pytest.raises(DeliveryUnknown):
            async with asyncio.timeout(0.5):
                await job


async def test_a_refused_login_fails_every_letter_that_waits_and_those_that_come(sender: Sender) -> None:
    async with ScriptedServer() as server:
        credential = credential_for(server, auth=PasswordAuth(USER, Secret("wrong")))
        jobs = [sender.submit(credential, letter()) for _ in range(50)]
        await ended(*jobs)
        late = sender.submit(credential, letter())
        await ended(late)

        assert all(isinstance(job.exception(), AuthError) for job in [*jobs, late])
        assert server.logins() == 1


async def test_a_server_that_is_down_fails_every_letter_that_waits_with_one_try(sender: Sender) -> None:
    async with ScriptedServer() as server:
        credential = credential_for(server)
    jobs = [sender.submit(credential, letter()) for _ in range(50)]
    await ended(*jobs)

    assert all(isinstance(job.exception(), ConnectionFailed) for job in jobs)


async def test_a_credential_that_is_held_back_says_for_how_long(sender: Sender) -> None:
    async with ScriptedServer(script={"MAIL": ["421 4.3.2 slow down then drop"]}) as server:
        credential = credential_for(server)
        assert sender.wait(credential) is None
        await ended(sender.submit(credential, letter()))
        held = sender.wait(credential)
        assert held is not None
        assert 0 < held <= 1
        await sender.submit(credential, letter())
        assert sender.wait(credential) is None


async def test_a_closed_sender_takes_no_letter() -> None:
    async with Sender(guard()) as sender:
        pass
    async with ScriptedServer() as server:
        with pytest.raises(RuntimeError, match="closed"):
            sender.submit(credential_for(server), Letter.seal(ENVELOPE, MESSAGE))


async def test_letters_that_wait_when_the_sender_closes_are_not_sent() -> None:
    async with ScriptedServer(script={"DATA_END": "after 0.3: 250 ok"}) as server:
        async with Sender(guard()) as sender:
            credential = credential_for(server, max_connections=1)
            jobs = [sender.submit(credential, letter()) for _ in range(5)]
            await until(lambda: len(server.received) == 1)
        await ended(*jobs)

    failed = [job for job in jobs if job.exception() is not None]
    assert all(isinstance(job.exception(), ConnectionFailed) for job in failed)
    assert len(server.messages) == len(jobs) - len(failed)


@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_what_was_told_to_be_not_sent_is_out_of_every_buffer_when_it_is_told(tls: str) -> None:
    """Else its end could leave a moment later, to a server that reads again, and be accepted."""
    large = Letter.seal(ENVELOPE, b"%s\r\n" % (b"x" * 70) * 100_000)
    async with (
        ScriptedServer(tls=tls, script={"DATA": "354 go then hang"}, receive_buffer=8192) as server,
        Sender(guard()) as sender,
    ):
        credential = credential_for(server, timeout_seconds=1.0)
        job = sender.submit(credential, large)
        await until(lambda: "DATA" in server.commands)
        (session,) = next(iter(sender._lanes.values()))._sessions
        faults: list[str | None] = []
        job.add_done_callback(lambda _: faults.append(session.wire.fault))
        session.wire.watch(0.0)  # the deadline of so many octets is minutes away
        await ended(job)

    assert isinstance(job.exception(), TimedOut)
    assert faults == ["the connection was closed"]


@pytest.mark.parametrize("text", [b"Subject: x\r\n\r\nno line end", b""])
async def test_octets_that_were_looked_through_end_with_a_line_end_all_the_same(
    sender: Sender, text: bytes
) -> None:
    async with ScriptedServer() as server:
        await sender.submit(credential_for(server), Letter.seal(ENVELOPE, text, dotted=False))

    assert server.messages[0].data in (text + b"\r\n", b"")
