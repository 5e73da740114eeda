"""A session is aiosmtplib's: its client speaks, its errors become ours, and what we rely on in it is there.

The second half is a contract: it fails when a new aiosmtplib goes round our wire, or changes what we stand on.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import socket
import subprocess
import sys
import traceback

import aiosmtplib
import aiosmtplib.errors
import aiosmtplib.protocol
import aiosmtplib.smtp
import pytest
from conftest import ROOT
from servers.client import PASSWORD, USER, credential_for, guard
from servers.scripted import Action, ScriptedServer

from runner.credential import Encryption, PasswordAuth, Secret
from runner.errors import AuthError, ConnectionFailed, FlowpostError, TlsError
from runner.smtp.client import Client, WireProtocol, translated
from runner.smtp.reply import Garbage, Reply
from runner.smtp.session import Session, open_session, tls_context
from runner.smtp.wire import Lost, Wire


async def opened(server: ScriptedServer, **changes: object) -> Session:
    credential = credential_for(server, **changes)
    return await open_session(guard(), credential, tls_context(credential))


async def failure(server: ScriptedServer, **changes: object) -> FlowpostError:
    with pytest.raises(FlowpostError) as failed:
        await opened(server, **changes)
    return failed.value


# -- a session is aiosmtplib's ---------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_what_a_session_offers_is_aiosmtplibs_own_record(tls: str) -> None:
    async with ScriptedServer(tls=tls) as server:
        session = await opened(server)
        smtp = session.client.smtp

        assert isinstance(smtp, aiosmtplib.SMTP)
        assert smtp.is_connected
        assert smtp.supports_esmtp
        assert smtp.last_ehlo_response is not None
        assert smtp.last_ehlo_response.code == 250
        assert set(session.extensions) == {name.upper() for name in smtp.esmtp_extensions}
        assert session.extensions["AUTH"] == " ".join(smtp.server_auth_methods).upper()
        assert session.extensions["SIZE"] == smtp.esmtp_extensions["size"]
        assert smtp.get_transport_info("sslcontext") is not None
        await session.quit()

        assert not smtp.is_connected


async def test_aiosmtplib_itself_can_go_on_over_an_opened_session() -> None:
    async with ScriptedServer() as server:
        session = await opened(server)
        response = await session.client.smtp.noop()
        await session.quit()

    assert response.code == 250


async def test_after_starttls_nothing_of_what_was_offered_in_clear_is_left() -> None:
    clear = "250-localhost\n250-STARTTLS\n250-XEVIL\n250 AUTH PLAIN"
    script: dict[str, Action | list[Action]] = {"EHLO": [clear, "250-localhost\n250 SIZE 10"]}
    async with ScriptedServer(tls="starttls", script=script) as server:
        session = await opened(server, auth=None)
        await session.quit()

    assert session.extensions == {"SIZE": "10"}
    assert session.client.smtp.esmtp_extensions == {"size": "10"}
    assert session.client.smtp.server_auth_methods == []


async def test_a_server_of_the_nineties_that_knows_only_helo_is_recorded_as_such() -> None:
    async with ScriptedServer(tls="none", script={"EHLO": "502 5.5.1 what"}) as server:
        session = await opened(server)
        await session.quit()

    assert session.client.smtp.last_helo_response is not None
    assert session.client.smtp.last_ehlo_response is None
    assert session.extensions == {}


async def test_letters_that_only_look_like_ours_offer_nothing() -> None:
    ehlo = "250-localhost\n250-\u017fTARTTLS\n250-PIPEL\u0131NING\n250-SIZE=99\n250 AUTH PLA\u0131N LOGIN".encode()
    async with ScriptedServer(script={"EHLO": ehlo.replace(b"\n", b"\r\n") + b"\r\n"}) as server:
        session = await opened(server)
        await session.quit()

    assert session.extensions == {"SIZE": "99", "AUTH": "LOGIN"}


# -- logging in ------------------------------------------------------------------------------------------


async def test_the_user_name_is_sent_when_it_is_asked_for_and_the_password_never_in_its_place() -> None:
    async with ScriptedServer(mechanisms="LOGIN") as server:
        session = await opened(server)
        await session.quit()

    assert server.commands[1] == "AUTH LOGIN"
    assert len(server.commands[2:4]) == 2


async def test_a_server_that_refuses_the_login_at_its_first_question_gets_no_password() -> None:
    async with ScriptedServer(mechanisms="LOGIN", script={"CHALLENGE": ["504 5.5.4 no"]}) as server:
        error = await failure(server)

    assert isinstance(error, AuthError)
    assert server.commands[1:] == ["AUTH LOGIN"]


@pytest.mark.parametrize(
    "challenge", ["334 not base64!", "334-PDEuMkBo\n334 PDEuMkBo", "334 PDEuMkBo!!!!", b"334 \xc3\xa4\r\n"]
)
async def test_a_challenge_that_is_not_strict_base64_is_not_answered(challenge: Action) -> None:
    async with ScriptedServer(mechanisms="CRAM-MD5", script={"CHALLENGE": challenge}) as server:
        error = await failure(server, timeout_seconds=1.0)

    assert isinstance(error, ConnectionFailed)
    assert "challenge is not base64" in error.message
    assert server.commands[1:] == ["AUTH CRAM-MD5"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_a_refused_login_carries_no_error_of_aiosmtplibs_along(mechanism: str) -> None:
    """That one holds the server's words, which may be the password."""
    async with ScriptedServer(mechanisms=mechanism, script={"AUTH": f"535 {PASSWORD} is wrong"}) as server:
        error = await failure(server)

    assert error.__cause__ is None
    assert error.__context__ is None
    told = "".join(traceback.format_exception(error))
    assert PASSWORD not in told
    assert "aiosmtplib" not in told
    assert server.logins() == 1


async def test_a_reply_too_many_before_the_login_ends_the_session_in_words_of_the_wire() -> None:
    async with ScriptedServer(script={"EHLO": "250-localhost\n250 AUTH PLAIN\n235 welcome"}) as server:
        error = await failure(server)

    assert isinstance(error, ConnectionFailed)
    assert "not asked for" in error.message
    assert server.logins() == 0


async def test_the_login_is_not_kept_in_the_session() -> None:
    async with ScriptedServer() as server:
        session = await opened(server)
        kept = vars(session.client.smtp)
        await session.quit()

    assert not [name for name, value in kept.items() if value in (USER, PASSWORD)]


# -- errors ----------------------------------------------------------------------------------------------

TEXT = "the server said pass-word-1"
ERRORS: dict[type[aiosmtplib.SMTPException], tuple[aiosmtplib.SMTPException, type]] = {
    type(error): (error, becomes)
    for error, becomes in (
        (aiosmtplib.SMTPException(TEXT), Lost),
        (aiosmtplib.SMTPNotSupported(TEXT), Lost),
        (aiosmtplib.SMTPServerDisconnected(TEXT), Lost),
        (aiosmtplib.SMTPConnectError(TEXT), Lost),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(550, TEXT, "a@b")]), Lost),
        (aiosmtplib.SMTPTimeoutError(TEXT), TimeoutError),
        (aiosmtplib.SMTPConnectTimeoutError(TEXT), TimeoutError),
        (aiosmtplib.SMTPReadTimeoutError(TEXT), TimeoutError),
        (aiosmtplib.SMTPResponseException(535, TEXT), Reply),
        (aiosmtplib.SMTPConnectResponseError(554, TEXT), Reply),
        (aiosmtplib.SMTPHeloError(502, TEXT), Reply),
        (aiosmtplib.SMTPDataError(554, TEXT), Reply),
        (aiosmtplib.SMTPAuthenticationError(535, TEXT), Reply),
        (aiosmtplib.SMTPSenderRefused(550, TEXT, "a@b"), Reply),
        (aiosmtplib.SMTPRecipientRefused(550, TEXT, "a@b"), Reply),
    )
}


def test_no_error_of_aiosmtplibs_is_forgotten() -> None:
    there = {
        value
        for value in vars(aiosmtplib.errors).values()
        if isinstance(value, type) and issubclass(value, aiosmtplib.SMTPException)
    }

    assert there == set(ERRORS)
    assert set(aiosmtplib.errors.__all__) == {kind.__name__ for kind in ERRORS}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_of_aiosmtplibs_becomes_one_of_ours_that_quotes_nothing(
    kind: type[aiosmtplib.SMTPException],
) -> None:
    error, becomes = ERRORS[kind]
    found = translated(error, None)

    assert type(found) is becomes
    if isinstance(found, Reply):
        assert found == Reply(error.code, (TEXT.encode(),))  # type: ignore[attr-defined]
    else:
        assert TEXT not in str(found)


@pytest.mark.parametrize("code", [-1, 0, 25, 199, 600])
def test_a_code_that_is_none_is_garbage(code: int) -> None:
    found = translated(aiosmtplib.SMTPResponseException(code, TEXT), None)

    assert isinstance(found, Garbage)
    assert found.__cause__ is None


def test_the_wires_own_reason_is_the_one_that_is_told() -> None:
    found = translated(aiosmtplib.SMTPServerDisconnected("Server not connected"), "the reply has no end")

    assert str(found) == "the reply has no end"


# -- the contract with aiosmtplib ------------------------------------------------------------------------

OURS = {"execute_command", "is_connected", "read_response", "start_tls", "transport", "write"}
"""What of its protocol aiosmtplib's client may use: all of it is ours."""


def test_aiosmtplibs_client_uses_nothing_of_its_protocol_that_is_not_ours() -> None:
    """``data`` alone uses ``execute_data_command``; our own transaction stands in its place."""
    tree = ast.parse(inspect.getsource(aiosmtplib.smtp))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "protocol"
    }

    assert used - OURS == {"execute_data_command"}


def test_every_public_method_of_aiosmtplibs_protocol_is_ours_or_asyncios() -> None:
    asyncios = {name for name in dir(asyncio.Protocol) if not name.startswith("_")}
    public = {name for name in dir(aiosmtplib.protocol.SMTPProtocol) if not name.startswith("_")}
    ours = {name for name in vars(WireProtocol) if not name.startswith("_")}

    assert public - asyncios - ours == {"execute_data_command"}
    assert (OURS - {"transport"}) <= ours


async def test_the_data_command_of_aiosmtplibs_is_dead_here() -> None:
    async with ScriptedServer() as server:
        session = await opened(server)
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await session.client.smtp.data(b"Subject: x\r\n")
        session.wire.abort()

    assert "DATA" not in server.commands


def test_nothing_private_of_aiosmtplibs_is_touched() -> None:
    source = (ROOT / "runner" / "smtp" / "client.py").read_text(encoding="utf-8")
    private = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }

    assert {name for name in private if hasattr(aiosmtplib.SMTP(), name)} == set()


async def test_our_names_hide_no_name_of_aiosmtplibs_protocol() -> None:
    one, other = socket.socketpair()
    wire = await Wire.over(one)
    theirs = set(vars(aiosmtplib.protocol.SMTPProtocol(asyncio.get_running_loop())))
    ours = {"deadline", "doing", "wire"}

    assert set(vars(WireProtocol(wire, 0.0))) == theirs | ours
    assert theirs & ours == set()
    await wire.close()
    other.close()


@pytest.mark.parametrize("line", [b"EHLO a\r\nMAIL", b"NOOP\n", b"NO\0OP"])
async def test_a_command_that_is_two_is_not_sent(line: bytes) -> None:
    async with ScriptedServer() as server:
        session = await opened(server)
        with pytest.raises(ValueError, match="control character"):
            await session.client.smtp.execute_command(line)
        await session.quit()

    assert [command for command in server.commands if command.startswith(("MAIL", "NOOP"))] == []


async def test_one_deadline_holds_for_all_steps_together() -> None:
    slow = {
        "CONNECT": "after 0.3: 220 hi",
        "STARTTLS": "after 0.3: 220 go ahead",
        "AUTH": "after 0.9: 235 ok",
    }
    async with ScriptedServer(tls="starttls", script=slow) as server:  # type: ignore[arg-type]
        error = await failure(server, timeout_seconds=1.0)

    assert error.message.startswith("Timed out logging in")


async def test_a_refused_starttls_is_told_as_the_server_said_it() -> None:
    async with ScriptedServer(tls="starttls", script={"STARTTLS": "454 4.7.0 not now"}) as server:
        error = await failure(server)

    assert isinstance(error, TlsError)
    assert error.message.endswith(": 454 4.7.0 not now")
    assert (error.transient, error.smtp_code) == (True, 454)
    assert error.__context__ is None


async def test_openings_that_fail_leave_no_transport_behind() -> None:
    async with ScriptedServer(tls="starttls", script={"AUTH": "421 4.3.2 closing"}) as server:
        for _ in range(3):
            await failure(server)
    await asyncio.sleep(0)
    gc.collect()  # an unclosed transport warns when it is collected, and warnings are errors here

    assert server.logins() == 3


async def test_xoauth2_is_at_hand() -> None:
    """No credential comes to it yet; the exchange is aiosmtplib's, the error's challenge answered as RFC 7628."""
    script: dict[str, Action | list[Action]] = {"AUTH": "334 e30="}
    async with ScriptedServer(tls="none", script=script, mechanisms="XOAUTH2") as server:
        credential = credential_for(server)
        sock = await guard().connect(credential.host, credential.port, timeout=5)
        wire = await Wire.over(sock, greeting=True)
        client = Client(wire, asyncio.get_running_loop().time() + 5)
        await client.greeting()
        await client.ehlo("localhost")
        reply = await client.login("XOAUTH2", "user", "token")
        await wire.close()

    assert credential.encryption is Encryption.NONE
    assert reply.code == 500
    assert server.commands[1].startswith("AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIHRva2VuAQE=")


def test_the_sender_is_there_before_aiosmtplib_is_loaded() -> None:
    check = "import sys, runner.smtp.pool; sys.exit('aiosmtplib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0


async def test_a_name_and_a_password_with_every_kind_of_letter_go_through_aiosmtplib() -> None:
    secret = "p =\t'\"\\\u20ac\U0001f511\x7f"
    async with ScriptedServer(username="jörg@ü", password=secret, mechanisms="CRAM-MD5") as server:
        session = await opened(server, auth=PasswordAuth("jörg@ü", Secret(secret)))
        await session.quit()

    assert server.logins() == 1
