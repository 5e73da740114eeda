"""The local inbox, spoken to by the standard library's client: a stranger to our own."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.dev.inbox import Caught, Inbox
from runner.dev.throwaway import Throwaway

MESSAGE = b"Subject: hi\r\n\r\n.a line with a dot\r\n..\r\nend\r\n"


def trusting(inbox: Inbox) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=inbox.ca_pem)


def submit(
    inbox: Inbox, data: bytes = MESSAGE, login: tuple[str, str] | None = None, mechanism: str = ""
) -> None:
    if inbox.tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", inbox.port, context=trusting(inbox), timeout=10)
    else:
        client = smtplib.SMTP("localhost", inbox.port, timeout=10)
    with client:
        if inbox.tls == "starttls":
            client.starttls(context=trusting(inbox))
        if login:
            client.ehlo()
            client.esmtp_features["auth"] = mechanism
            client.login(*login)
        client.sendmail("a@example.com", ["b@example.com", "c@example.com"], data)


async def in_thread(work: Callable[[], None]) -> None:
    await asyncio.to_thread(work)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_a_message_arrives_byte_for_byte_over_tls(tls: str) -> None:
    async with Inbox(tls=tls) as inbox:
        await in_thread(lambda: submit(inbox))
        caught = await inbox.next_message(timeout=5)

    assert (caught.envelope_from, caught.recipients) == ("a@example.com", ("b@example.com", "c@example.com"))
    assert caught.data == MESSAGE
    assert caught.size == len(MESSAGE)
    assert caught.tls_version in ("TLSv1.2", "TLSv1.3")
    assert caught.cipher
    assert caught.authenticated is False


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_login_with_the_expected_password_is_noted(mechanism: str) -> None:
    async with Inbox(username="demo", password="right") as inbox:
        await in_thread(lambda: submit(inbox, login=("demo", "right"), mechanism=mechanism))

        assert (await inbox.next_message(timeout=5)).authenticated is True


async def test_a_wrong_password_is_refused() -> None:
    async with Inbox(username="demo", password="right") as inbox:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            await in_thread(lambda: submit(inbox, login=("demo", "wrong"), mechanism="PLAIN"))


async def test_mail_before_the_login_is_refused() -> None:
    async with Inbox(username="demo", password="right") as inbox:
        with pytest.raises(smtplib.SMTPSenderRefused):
            await in_thread(lambda: submit(inbox))


async def test_mail_in_clear_is_refused() -> None:
    async with Inbox(tls="starttls") as inbox:

        def clear() -> None:
            with smtplib.SMTP("127.0.0.1", inbox.port, timeout=10) as client:
                client.sendmail("a@example.com", ["b@example.com"], MESSAGE)

        with pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS"):
            await in_thread(clear)

        assert not inbox.messages


async def test_commands_behind_starttls_in_clear_are_not_read_as_if_under_tls() -> None:
    async with Inbox(tls="starttls") as inbox:

        def inject() -> bytes:
            with socket.create_connection(("127.0.0.1", inbox.port), timeout=10) as sock:
                sock.recv(1000)
                sock.sendall(b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<evil@example.com>\r\n")
                received = b""
                while b"220 2.0.0" not in received:
                    received += sock.recv(1000)
                with trusting(inbox).wrap_socket(sock, server_hostname="localhost") as secure:
                    secure.sendall(b"NOOP\r\n")
                    return secure.recv(1000)

        assert await asyncio.to_thread(inject) == b"250 2.0.0 ok\r\n"


async def test_a_message_over_the_size_limit_is_refused() -> None:
    async with Inbox(max_size=100) as inbox:
        with pytest.raises(smtplib.SMTPResponseException):
            await in_thread(lambda: submit(inbox, b"x" * 50 + b"\r\n" + b"y" * 60 + b"\r\n"))

        assert not inbox.messages


async def test_next_message_returns_each_message_once_and_then_times_out() -> None:
    async with Inbox() as inbox:
        await in_thread(lambda: submit(inbox, b"one\r\n"))
        await in_thread(lambda: submit(inbox, b"two\r\n"))

        assert [(await inbox.next_message(timeout=5)).data for _ in range(2)] == [b"one\r\n", b"two\r\n"]
        with pytest.raises(TimeoutError):
            await inbox.next_message(timeout=0.05)


async def test_the_oldest_message_gives_way_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.dev.inbox.MAX_KEPT", 2)
    async with Inbox() as inbox:
        for number in range(3):
            inbox.keep(Caught("a@b", ("c@d",), b"%d" % number, None, None, False, 1))

        assert [caught.data for caught in inbox.messages] == [b"1", b"2"]
        assert (await inbox.next_message(timeout=5)).data == b"1"


def test_no_file_of_the_key_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    Throwaway.make()

    assert list(tmp_path.iterdir()) == []


async def test_closing_the_inbox_ends_open_connections() -> None:
    async with Inbox(tls="starttls") as inbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", inbox.port)
        await reader.readline()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
