"""aiosmtplib's client over our connection: it speaks EHLO, STARTTLS and AUTH, and ``Wire`` reads and writes.

aiosmtplib's own protocol is not under it: that drops a reply that nobody waits for and goes on, so that an
injected one is not noticed; it reads ``+25`` and mixed codes as replies; it waits per command, not for the
whole opening. This is also the one place where aiosmtplib's errors become ours.

Loading this module loads aiosmtplib (tens of milliseconds): import it where a session is opened.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
from collections.abc import Coroutine

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from runner.net.tls import describe_tls_error
from runner.smtp.reply import Garbage, Reply
from runner.smtp.wire import Lost, Wire

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LOGINS = {
    "PLAIN": aiosmtplib.SMTP.auth_plain,
    "LOGIN": aiosmtplib.SMTP.auth_login,
    "CRAM-MD5": aiosmtplib.SMTP.auth_crammd5,
    "XOAUTH2": aiosmtplib.SMTP.auth_xoauth2,
}


class WireProtocol(SMTPProtocol):
    """What aiosmtplib's client takes for its protocol; every octet goes through ``wire``.

    asyncio never calls it: the wire is what the transport knows. ``deadline`` (of the loop's clock) bounds all
    waits together, so the ``timeout`` of single commands is not looked at. ``doing`` says what is waited for.
    Raises Lost, Garbage, TimeoutError and TlsError, which aiosmtplib lets through as they are.
    """

    def __init__(self, wire: Wire, deadline: float) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.wire = wire
        self.deadline = deadline
        self.doing = ""
        self.transport = wire.transport

    @property
    def is_connected(self) -> bool:
        """True while the wire can be used; one reply too many ends that."""
        return self.wire.fault is None and super().is_connected

    def write(self, data: bytes) -> None:
        """Write one command, to which one reply belongs."""
        self.wire.send(data)

    async def read_response(self, timeout: float | None = None) -> aiosmtplib.SMTPResponse:  # noqa: ASYNC109
        """The next reply that is owed to us."""
        return _response(await self.wire.reply(self.deadline))

    async def execute_command(
        self,
        *args: bytes,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> aiosmtplib.SMTPResponse:
        """Send one command and return its reply; ValueError for what would be a second command."""
        if any(_CONTROL.search(arg) for arg in args):
            raise ValueError("an SMTP command holds a control character")
        if args[:2] == (b"AUTH", b"LOGIN") and len(args) == 3:
            # aiosmtplib sends the user name along. A server that does not expect it there asks for the name
            # and would be given the password as one, which it may log.
            reply = await self._ask(b"AUTH LOGIN")
            return _response(await self._ask(args[2]) if reply.code == 334 else reply)
        reply = await self._ask(b" ".join(args))
        if args == (b"AUTH", b"CRAM-MD5") and reply.code == 334:
            _check_challenge(reply)
        return _response(reply)

    async def start_tls(
        self,
        tls_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> aiosmtplib.SMTPResponse:
        """Ask for TLS and make the handshake; anything said in clear behind the 220 ends the session."""
        response = _response(await self._ask(b"STARTTLS"))
        if response.code != 220:
            raise aiosmtplib.SMTPResponseException(response.code, response.message)
        await self.handshake(tls_context, server_hostname or "", greeting=False)
        return response

    async def handshake(self, context: ssl.SSLContext, host: str, *, greeting: bool) -> None:
        """Put TLS on the connection; ``greeting``: the server speaks first, right behind it."""
        self.doing = "in the TLS handshake"
        try:
            async with asyncio.timeout_at(self.deadline):
                await self.wire.start_tls(context, host, greeting=greeting)
        except TimeoutError:
            raise
        except (OSError, EOFError) as exc:
            raise describe_tls_error(exc, host) from exc
        self.transport = self.wire.transport

    async def _ask(self, line: bytes) -> Reply:
        return await self.wire.command(line, self.deadline)


class Client:
    """The steps of an opening. Each returns the server's reply, welcome or not.

    Raises Lost, Garbage, TimeoutError (at ``deadline``, of the loop's clock) and, from a handshake, TlsError.
    """

    def __init__(self, wire: Wire, deadline: float) -> None:
        self._protocol = WireProtocol(wire, deadline)
        self.smtp = aiosmtplib.SMTP(timeout=None, start_tls=False)
        """aiosmtplib's state: what the server said to EHLO, and what it offers since."""
        self.smtp.protocol = self._protocol
        self.smtp.transport = self._protocol.transport

    @property
    def doing(self) -> str:
        """What the opening waits for, in words for an error."""
        return self._protocol.doing

    async def greeting(self, tls: ssl.SSLContext | None = None, host: str = "") -> Reply:
        """What the server says first; with ``tls``, after a handshake with ``host``. In clear the wire has to know
        of it from its beginning.
        """
        if tls is not None:
            await self._protocol.handshake(tls, host, greeting=True)
            self.smtp.transport = self._protocol.transport
        return await self._reply("waiting for the greeting", self._protocol.read_response())

    async def ehlo(self, name: str) -> Reply:
        """Say EHLO; afterwards ``extensions`` is what this reply offers."""
        return await self._reply("waiting for the answer to EHLO", self.smtp.ehlo(hostname=name))

    async def helo(self, name: str) -> Reply:
        """Say HELO, to a server that does not know EHLO."""
        return await self._reply("waiting for the answer to EHLO", self.smtp.helo(hostname=name))

    async def starttls(self, context: ssl.SSLContext, host: str) -> Reply:
        """Ask for TLS and make the handshake; what was offered in clear is forgotten (RFC 3207 section 4.2)."""
        asked = self.smtp.starttls(tls_context=context, server_hostname=host)
        return await self._reply("waiting for the answer to STARTTLS", asked)

    async def login(self, mechanism: str, username: str, secret: str) -> Reply:
        """Log in by one of PLAIN, LOGIN, CRAM-MD5 (``secret`` is a password) or XOAUTH2 (an access token)."""
        return await self._reply("logging in", _LOGINS[mechanism](self.smtp, username, secret))

    @property
    def extensions(self) -> dict[str, str]:
        """What the last EHLO offered: names in upper case, and their parameters (RFC 5321 section 4.1.1.1)."""
        found: dict[str, str] = {}
        for keyword, rest in self.smtp.esmtp_extensions.items():
            # ``SIZE=1000``, like ``AUTH=PLAIN``, is how some servers of the nineties, and their heirs, write it.
            name, _, more = keyword.partition("=")
            # Only ASCII: the upper case of some other letters is a letter of ours.
            if name.isascii():
                found[name.upper()] = f"{more} {rest}".strip()
        if "AUTH" in found:
            # Offered in both ways at once, it is what both offer.
            methods = self.smtp.server_auth_methods
            found["AUTH"] = " ".join(name.upper() for name in methods if name.isascii())
        return found

    async def _reply(self, doing: str, call: Coroutine[object, object, aiosmtplib.SMTPResponse]) -> Reply:
        self._protocol.doing = doing
        try:
            response = await call
        except aiosmtplib.SMTPException as exc:
            found = translated(exc, self._protocol.wire.fault)
        else:
            return _as_reply(*response)
        # Out here nothing hangs on it: aiosmtplib's error holds what the server echoed of the login.
        if isinstance(found, Reply):
            return found
        raise found


def translated(error: aiosmtplib.SMTPException, fault: str | None) -> Reply | Lost | Garbage | TimeoutError:
    """An error of aiosmtplib's as a reply to judge, or as one of ours that quotes nothing of it.

    ``fault`` is the wire's own reason, when it knows one. The cause is kept where it cannot hold a word of
    the server's.
    """
    if isinstance(error, aiosmtplib.SMTPResponseException):
        if 200 <= error.code < 600:
            return _as_reply(error.code, error.message)
        return Garbage("the answer is not an SMTP reply")
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return TimeoutError()
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return Lost(fault or "the session cannot go on")
    lost = isinstance(error, aiosmtplib.SMTPServerDisconnected | aiosmtplib.SMTPConnectError)
    found = Lost(fault or ("the connection was lost" if lost else "the session cannot go on"))
    found.__cause__ = error
    return found


def _check_challenge(reply: Reply) -> None:
    """Raise Garbage for a challenge (RFC 2195) that is not strict base64; aiosmtplib would skip what is not."""
    try:
        base64.b64decode(b"\n".join(reply.lines), validate=True)
    except binascii.Error as exc:
        raise Garbage("the login challenge is not base64") from exc


def _response(reply: Reply) -> aiosmtplib.SMTPResponse:
    # Not aiosmtplib's "surrogateescape": half a character is no text that could be printed.
    return aiosmtplib.SMTPResponse(reply.code, b"\n".join(reply.lines).decode("utf-8", "replace"))


def _as_reply(code: int, message: str) -> Reply:
    return Reply(code, tuple(line.encode() for line in message.split("\n")))
