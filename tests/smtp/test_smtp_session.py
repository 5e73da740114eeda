"""Opening a session: TLS before anything that matters, one login, and each failure with the words of its
own.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import pytest
from servers.client import ENVELOPE, MESSAGE, PASSWORD, USER, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import ScriptedServer

from runner.credential import Encryption, OAuth2Auth, PasswordAuth, Secret
from runner.errors import (
    AuthError,
    ConfigurationError,
    ConnectionFailed,
    EnvelopeError,
    FlowpostError,
    TimedOut,
    TlsError,
)
from runner.model import Outcome
from runner.smtp.pool import Sender
from runner.smtp.session import open_session, own_name, tls_context


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(guard()) as sender:
        yield sender


async def send(sender: Sender, server: ScriptedServer, **changes: object) -> Outcome:
    return await sender.send(credential_for(server, **changes), ENVELOPE, MESSAGE)


# -- TLS ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_a_message_travels_under_tls_and_logged_in(sender: Sender, tls: str) -> None:
    async with ScriptedServer(tls=tls) as server:
        outcome = await send(sender, server)

    assert outcome.accepted == ("to@example.net",)
    assert outcome.response == "250 2.0.0 queued as 1"
    mail = server.messages[0]
    assert (mail.sender, mail.recipients, mail.data) == ("from@example.com", ["to@example.net"], MESSAGE)
    assert mail.tls
    assert mail.user == USER
    assert server.connections[0].server_name == "localhost"


async def test_nothing_but_ehlo_and_starttls_goes_in_clear(sender: Sender) -> None:
    async with ScriptedServer(tls="starttls", clear_mechanisms="PLAIN LOGIN") as server:
        await send(sender, server)

    ehlo, starttls, *rest = server.clear.split(b"\r\n", 2)
    assert ehlo.startswith(b"EHLO ")
    assert starttls == b"STARTTLS"
    assert rest == [b""]


async def test_what_was_offered_in_clear_is_forgotten_under_tls(sender: Sender) -> None:
    async with ScriptedServer(tls="starttls", clear_mechanisms="PLAIN", mechanisms="") as server:
        with pytest.raises(AuthError, match="no login at all"):
            await send(sender, server)


REFUSED = {
    "expired": "Certificate expired",
    "self-signed": "Self-signed certificate",
    "wrong-name": "Hostname mismatch",
    "common-name-only": "Hostname mismatch",
    "unknown-ca": "Self-signed certificate or unknown authority",
    "not-yet-valid": "Certificate expired or not valid yet",
}


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize("persona", REFUSED)
async def test_a_bad_certificate_is_refused_with_its_own_words(
    sender: Sender, persona: str, tls: str
) -> None:
    async with ScriptedServer(tls=tls, certificate=persona) as server:
        with pytest.raises(TlsError, match=rf"^{REFUSED[persona]}") as refused:
            await send(sender, server)

    assert refused.value.transient is False
    assert "accept-unverified" in (refused.value.hint or "")
    assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


@pytest.mark.parametrize("persona", REFUSED)
async def test_accept_unverified_takes_any_certificate(sender: Sender, persona: str) -> None:
    async with ScriptedServer(certificate=persona) as server:
        await send(sender, server, verify=False)

        assert len(server.messages) == 1


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_tls_1_1_is_refused(sender: Sender, tls: str) -> None:
    async with ScriptedServer(tls=tls, max_tls=ssl.TLSVersion.TLSv1_1) as server:
        with pytest.raises(TlsError, match=r"^TLS version"):
            await send(sender, server, verify=False)


async def test_min_tls_1_3_refuses_a_server_with_1_2(sender: Sender) -> None:
    async with ScriptedServer(max_tls=ssl.TLSVersion.TLSv1_2) as server:
        await send(sender, server)
        with pytest.raises(TlsError, match=r"^TLS version"):
            await send(sender, server, min_tls="1.3", fingerprint="two")


async def test_a_server_in_clear_on_the_tls_port_is_an_error_of_tls(sender: Sender) -> None:
    async with ScriptedServer(script={"TLS": "220 hello, no TLS here then hang"}) as server:
        with pytest.raises(FlowpostError) as failed:
            await send(sender, server)

    assert failed.value.code in ("ETLS", "ECONNECTION")
    assert b"AUTH" not in server.clear


async def test_a_server_that_closes_in_the_handshake_is_an_error_that_can_be_tried_again(
    sender: Sender,
) -> None:
    async with ScriptedServer(script={"TLS": "drop"}) as server:
        with pytest.raises(TlsError, match=r"^TLS") as failed:
            await send(sender, server)

    assert failed.value.transient is True


async def test_a_server_that_hangs_in_the_handshake_is_left_at_the_deadline(sender: Sender) -> None:
    async with ScriptedServer(script={"TLS": "hang"}) as server:
        with pytest.raises(FlowpostError, match=r"^Timed out in the TLS handshake") as failed:
            await send(sender, server, timeout_seconds=0.5)

    assert failed.value.code == "ETIMEDOUT"


# -- login -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_each_mechanism_logs_in(sender: Sender, mechanism: str) -> None:
    async with ScriptedServer(mechanisms=mechanism) as server:
        await send(sender, server)

        assert server.messages[0].user == USER


async def test_a_name_and_a_password_that_are_not_ascii_log_in(sender: Sender) -> None:
    async with ScriptedServer(username="jörg", password="pä:ß") as server:
        await send(sender, server, auth=PasswordAuth("jörg", Secret("pä:ß")))

        assert server.messages[0].user == "jörg"


async def test_the_way_auth_was_offered_in_the_nineties_is_understood() -> None:
    ehlo = "250-hi\n250-AUTH=LOGIN\n250-AUTH PLAIN\n250-size 10 \n250 "
    async with ScriptedServer(script={"EHLO": ehlo}) as server:
        credential = credential_for(server)
        session = await open_session(guard(), credential, tls_context(credential))
        await session.quit()

    assert session.extensions == {"AUTH": "LOGIN PLAIN", "SIZE": "10"}


async def test_a_refused_login_says_so_and_is_not_tried_with_another_mechanism(sender: Sender) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(AuthError, match=r"^Authentication failed: 535 5.7.8 bad credentials$") as refused:
            await send(sender, server, auth=PasswordAuth(USER, Secret("wrong")))

    assert (refused.value.smtp_code, refused.value.enhanced_code) == (535, "5.7.8")
    assert refused.value.transient is False
    assert server.logins() == 1


@pytest.mark.parametrize(
    ("provider", "word"),
    [("gmail", "App Password"), ("microsoft365", "App Password"), ("sendgrid", "apikey"), ("", "username")],
)
async def test_the_hint_is_the_one_of_the_provider(sender: Sender, provider: str, word: str) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(AuthError) as refused:
            await send(sender, server, provider=provider, auth=PasswordAuth(USER, Secret("wrong")))

    assert word in (refused.value.hint or "")


async def test_a_login_that_is_refused_for_now_can_be_tried_again(sender: Sender) -> None:
    async with ScriptedServer(script={"AUTH": "454 4.7.0 temporary failure"}) as server:
        with pytest.raises(AuthError, match=r"^Authentication failed: 454") as refused:
            await send(sender, server)

    assert refused.value.transient is True


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("where", ["AUTH", "MAIL"])
async def test_an_echo_of_the_login_does_not_reach_the_error(
    sender: Sender, mechanism: str, where: str
) -> None:
    async with ScriptedServer(mechanisms=mechanism, script={"AUTH": "535 you said: {line}"}) as server:
        if where == "MAIL":
            server._script = {"MAIL": f"550 your password is {PASSWORD}"}
        with pytest.raises((AuthError, EnvelopeError)) as refused:
            await send(sender, server)

    told = repr(refused.value.as_dict())
    secrets = [
        PASSWORD,
        *(line for line in server.commands if "=" in line),
        *server.commands[1].split(" ")[2:],
    ]
    assert not [secret for secret in secrets if secret in told]
    assert "***" in told


async def test_no_password_goes_over_a_connection_without_tls(sender: Sender) -> None:
    async with ScriptedServer(tls="none") as server:
        with pytest.raises(AuthError, match=r"^Authentication failed: no password is sent") as refused:
            await send(sender, server, auth=PasswordAuth(USER, Secret(PASSWORD)))

    assert "allow_plaintext_auth" in (refused.value.hint or "")
    assert server.connections == []


async def test_in_clear_and_allowed_the_password_itself_is_shown_last(sender: Sender) -> None:
    async with ScriptedServer(tls="none") as server:
        await send(sender, server, auth=PasswordAuth(USER, Secret(PASSWORD)), allow_plaintext_auth=True)

    assert "AUTH CRAM-MD5" in server.commands


async def test_a_relay_without_login_gets_none(sender: Sender) -> None:
    async with ScriptedServer() as server:
        await send(sender, server, auth=None)

        assert server.messages[0].user is None


async def test_a_server_without_a_mechanism_that_we_know_is_told(sender: Sender) -> None:
    async with ScriptedServer(mechanisms="GSSAPI NTLM") as server:
        with pytest.raises(AuthError, match="GSSAPI, NTLM"):
            await send(sender, server)

    assert server.logins() == 0


async def test_a_password_with_a_line_end_is_refused_before_it_is_sent(sender: Sender) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(AuthError, match="line end"):
            await send(sender, server, auth=PasswordAuth(USER, Secret("abc\n")))

    assert server.logins() == 0


async def test_oauth2_is_refused_in_words_for_now(sender: Sender) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(AuthError, match="OAuth2"):
            await send(sender, server, auth=OAuth2Auth("user", "refresh_token", "id"))


async def test_a_challenge_that_is_not_base64_ends_the_session(sender: Sender) -> None:
    async with ScriptedServer(mechanisms="CRAM-MD5", script={"CHALLENGE": "334 not base64!"}) as server:
        with pytest.raises(ConnectionFailed, match="challenge is not base64"):
            await send(sender, server)

    assert server.commands[1:] == ["AUTH CRAM-MD5"]


# -- greeting and EHLO -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code", "transient"),
    [
        ({"CONNECT": "554 5.7.1 go away"}, 554, False),
        ({"CONNECT": "421 4.3.2 too busy then drop"}, 421, True),
        ({"CONNECT": "250 wrong code"}, 250, True),
        ({"EHLO": "550 5.5.0 no"}, 550, False),
        ({"EHLO": "421 4.3.2 closing then drop"}, 421, True),
        ({"EHLO": "354 what"}, 354, True),
    ],
)
async def test_a_server_that_does_not_welcome_us_is_a_failed_connection(
    sender: Sender, script: dict[str, str], code: int, transient: bool
) -> None:
    async with ScriptedServer(script=script) as server:
        with pytest.raises(ConnectionFailed, match=r"^Cannot connect to localhost:") as failed:
            await send(sender, server)

    assert failed.value.smtp_code == code
    assert failed.value.transient is transient
    assert server.logins() == 0


async def test_starttls_on_a_port_that_wants_tls_from_the_start_ends_with_a_hint(sender: Sender) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(TimedOut, match=r"^Timed out waiting for the greeting") as failed:
            await send(sender, server, encryption=Encryption.STARTTLS, timeout_seconds=0.4)

    assert "encryption: tls" in (failed.value.hint or "")


async def test_an_address_that_is_not_public_is_refused_by_the_guard() -> None:
    from runner.net.guard import Guard

    async with ScriptedServer() as server, Sender(Guard()) as sender:
        with pytest.raises(FlowpostError, match=r"^Address is not public") as refused:
            await send(sender, server)

    assert refused.value.code == "EBLOCKED"
    assert server.connections == []


async def test_a_port_where_nobody_listens_cannot_be_connected_to(sender: Sender) -> None:
    async with ScriptedServer() as server:
        credential = credential_for(server)
    with pytest.raises(ConnectionFailed, match=rf"^Cannot connect to localhost:{credential.port}") as failed:
        await sender.send(credential, ENVELOPE, MESSAGE)

    assert failed.value.transient is True


async def test_the_client_identifier_is_the_ehlo_name(sender: Sender) -> None:
    async with ScriptedServer() as server:
        await send(sender, server, client_identifier="mail.example.org")

    assert server.commands[0] == "EHLO mail.example.org"


async def test_a_client_identifier_that_is_two_commands_is_refused(sender: Sender) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(ConfigurationError, match="client_identifier"):
            await send(sender, server, client_identifier="x\r\nMAIL FROM:<a@b>")

    assert server.commands == []


def test_without_a_full_host_name_the_own_address_is_the_ehlo_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")

    assert own_name("192.0.2.7") == "[192.0.2.7]"
    assert own_name("2001:db8::1%eth0") == "[IPv6:2001:db8::1]"
    assert own_name("") == "[127.0.0.1]"


def test_a_full_host_name_is_the_ehlo_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "mx1.example.org")

    assert own_name("192.0.2.7") == "mx1.example.org"
