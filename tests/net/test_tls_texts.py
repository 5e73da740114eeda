"""What a failed handshake is called, with real servers and real certificates."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_origin import Origin, answer
from servers.certificates import certificate

from runner.errors import ConfigurationError, TlsError
from runner.net.guard import Guard
from runner.net.http import HttpClient
from runner.net.tls import client_context, describe_tls_error

LOCAL = ["127.0.0.0/8"]


@contextlib.contextmanager
def blocking_server(context: ssl.SSLContext) -> Iterator[int]:
    """One handshake in a thread: asyncio's servers go away without the alert that real ones send."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as sock:
                context.wrap_socket(sock, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


async def failure(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> TlsError:
    """The error that a handshake between the two ends with."""
    with blocking_server(server) as port, pytest.raises((OSError, EOFError)) as caught:
        await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
    return describe_tls_error(caught.value, name)


@pytest.mark.parametrize(
    ("persona", "begins"),
    [
        ("expired", "Certificate expired: "),
        ("not-yet-valid", "Certificate expired or not valid yet"),
        ("self-signed", "Self-signed certificate: "),
        ("unknown-ca", "Self-signed certificate or unknown authority"),
        ("wrong-name", "Hostname mismatch"),
        ("common-name-only", "Hostname mismatch"),
    ],
)
async def test_each_way_of_being_a_wrong_certificate_has_its_own_words(persona: str, begins: str) -> None:
    wrong = certificate(persona)

    error = await failure(wrong.context(), client_context(ca_pem=wrong.ca_pem))

    assert error.message.startswith(begins)
    assert "localhost" in error.message
    assert "security.certificates" in (error.hint or "")
    assert not error.transient


async def test_the_name_is_verified_and_not_only_the_chain() -> None:
    good = certificate("good")

    error = await failure(good.context(), client_context(ca_pem=good.ca_pem), "mail.example.net")

    assert error.message.startswith("Hostname mismatch")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_a_server_that_speaks_only_tls_1_1_is_refused_for_its_version() -> None:
    good = certificate("good")
    old = good.context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    error = await failure(old, client_context(ca_pem=good.ca_pem))

    assert error.message.startswith("TLS version")


async def test_a_server_below_the_version_that_is_asked_for_is_refused_for_its_version() -> None:
    good = certificate("good")
    old = good.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    error = await failure(old, client_context(ca_pem=good.ca_pem, min_tls="1.3"))

    assert error.message.startswith("TLS version")


async def test_a_server_that_does_not_speak_tls_is_recognised() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    with pytest.raises(ssl.SSLError) as caught:
        await asyncio.open_connection(
            "127.0.0.1", server.sockets[0].getsockname()[1], ssl=client_context(), server_hostname="localhost"
        )
    server.close()
    await server.wait_closed()

    error = describe_tls_error(caught.value, "localhost")
    assert error.message.startswith("TLS version not recognised")
    assert "STARTTLS" in (error.hint or "")


@pytest.mark.parametrize("exc", [ConnectionResetError("reset"), EOFError(), ssl.SSLEOFError(8, "EOF")])
def test_a_handshake_that_is_broken_off_may_be_tried_again(exc: BaseException) -> None:
    error = describe_tls_error(exc, "mail.example.com")

    assert error.transient
    assert error.message == "TLS version or settings not agreed: mail.example.com broke the handshake off"


def test_a_reason_that_nobody_foresaw_is_told_in_words() -> None:
    exc = ssl.SSLError(1, "odd")
    exc.reason = "NO_SHARED_CIPHER"

    assert describe_tls_error(exc, "h").message == "TLS handshake with h failed: no shared cipher"


async def test_without_verification_any_certificate_will_do() -> None:
    async with Origin({}, tls=certificate("self-signed").context()) as origin:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", origin.port, ssl=client_context(verify=False), server_hostname="localhost"
        )
        writer.transport.abort()


@pytest.mark.parametrize(
    "pem", ["", "not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_private_authority_that_is_no_certificate_is_a_configuration_error(pem: str) -> None:
    with pytest.raises(ConfigurationError, match="PEM"):
        client_context(ca_pem=pem)


@pytest.mark.parametrize("version", ["1.1", "1.0", "", "3"])
def test_no_version_below_1_2_can_be_asked_for(version: str) -> None:
    with pytest.raises(ValueError):
        client_context(min_tls=version)


def test_session_keys_are_not_written_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))

    assert client_context().keylog_filename is None


def test_the_systems_authorities_are_trusted_when_no_other_is_named() -> None:
    context = client_context()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_text(certificate("good").ca_pem)
    return str(path)


async def test_a_pinned_connection_is_still_verified_against_the_name_in_the_url(ca_file: str) -> None:
    """The resolver sends localhost's certificate's owner somewhere else: same socket, other name."""

    async def resolve(host: str) -> list[str]:
        return ["127.0.0.1"]

    async with (
        Origin({"/": answer(b"hi")}, tls=certificate("good").context()) as origin,
        HttpClient(Guard(LOCAL, resolve), ca_file=ca_file) as client,
    ):
        reply = await client.request("GET", origin.url(host="localhost"), timeout=10, max_bytes=100)
        assert reply.body == b"hi"
        with pytest.raises(TlsError, match=r"^Hostname mismatch.*bank\.example"):
            await client.request("GET", origin.url(host="bank.example"), timeout=10, max_bytes=100)
        assert len(origin.requests) == 1


async def test_an_address_in_a_url_is_verified_against_the_addresses_of_the_certificate(ca_file: str) -> None:
    async with (
        Origin({"/": answer(b"hi")}, tls=certificate("good").context()) as origin,
        Origin({}, tls=certificate("good").context(), address="127.0.0.2") as other,
        HttpClient(Guard(LOCAL), ca_file=ca_file) as client,
    ):
        assert (await client.request("GET", origin.url(), timeout=10, max_bytes=100)).body == b"hi"
        with pytest.raises(TlsError, match=r"^Hostname mismatch"):
            await client.request("GET", other.url(host="127.0.0.2"), timeout=10, max_bytes=100)


@pytest.mark.parametrize(
    ("persona", "begins"),
    [
        ("expired", "Certificate expired"),
        ("self-signed", "Self-signed certificate"),
        ("wrong-name", "Hostname mismatch"),
        ("unknown-ca", "Self-signed certificate or unknown authority"),
    ],
)
async def test_a_request_is_never_sent_to_a_server_that_is_not_verified(
    persona: str, begins: str, ca_file: str
) -> None:
    async with (
        Origin({"/": answer(b"hi")}, tls=certificate(persona).context()) as origin,
        HttpClient(Guard(LOCAL), ca_file=ca_file) as client,
    ):
        with pytest.raises(TlsError, match=f"^{begins}") as caught:
            await client.request("GET", origin.url(host="localhost"), timeout=10, max_bytes=100)

        assert origin.requests == []
        assert "security.certificates" not in (caught.value.hint or "")


async def test_a_file_of_authorities_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    async with Origin({}) as origin, HttpClient(Guard(LOCAL), ca_file=str(tmp_path / "none.pem")) as client:
        with pytest.raises(ConfigurationError, match=r"none\.pem"):
            await client.request("GET", f"https://127.0.0.1:{origin.port}/", timeout=10, max_bytes=100)
