"""From a credential to a connection that is ready for MAIL: greeting, EHLO, TLS, login, all within one
deadline. aiosmtplib speaks (see ``runner.smtp.client``); here it is decided what is asked, and what the answer
means.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from runner.credential import Encryption, SmtpCredential
from runner.errors import AuthError, ConfigurationError, ConnectionFailed, TimedOut, TlsError
from runner.net.tls import client_context
from runner.smtp.hints import login_hint
from runner.smtp.login import log_in
from runner.smtp.reply import Garbage, Reply
from runner.smtp.scrub import Scrubber
from runner.smtp.wire import Lost, Wire

if TYPE_CHECKING:
    from runner.smtp.client import Client

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.(?!-)[A-Za-z0-9-]{1,63})+", re.ASCII)
_GREETING = "waiting for the greeting"
_EHLO_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}", re.ASCII)


class Dialer(Protocol):
    """What opens sockets: the outbound guard."""

    async def connect(self, host: str, port: int, *, timeout: float) -> socket.socket:  # noqa: ASYNC109
        """A connected socket, or BlockedError, ConnectionFailed, TimedOut."""
        ...


class Offer(NamedTuple):
    """What a server's answer to EHLO means for a transaction. ``largest`` is in octets: None without SIZE (RFC
    1870), 0 for no limit.
    """

    pipelining: bool
    chunking: bool
    eight_bits: bool
    smtputf8: bool
    largest: int | None

    @classmethod
    def of(cls, extensions: Mapping[str, str]) -> Offer:
        """Read it from the names that EHLO offered and their parameters."""
        size = extensions.get("SIZE")
        largest = None if size is None else int(size) if size.isdecimal() and len(size) < 20 else 0
        return cls(
            "PIPELINING" in extensions,
            "CHUNKING" in extensions,
            "8BITMIME" in extensions,
            "SMTPUTF8" in extensions,
            largest,
        )


class Session:
    """A connection that is logged in. ``extensions`` maps the names that EHLO offered to their parameters,
    ``client`` is aiosmtplib's state of it.
    """

    __slots__ = (
        "_clock",
        "clean",
        "client",
        "closing",
        "credential",
        "extensions",
        "offer",
        "place",
        "scrubber",
        "sent",
        "since",
        "used",
        "wire",
    )

    def __init__(self, wire: Wire, client: Client, credential: SmtpCredential) -> None:
        self.wire = wire
        self.client = client
        self.credential = credential
        self.scrubber = Scrubber(credential.auth)
        self.place = f"{credential.host}:{credential.port}"
        self.extensions: dict[str, str] = {}
        self.offer = Offer.of({})
        """What of the extensions a transaction goes by."""
        self.clean = True
        """False when a refused message left its sender or recipients behind."""
        self.closing = False
        """True when it must not be used again."""
        self.sent = 0
        """Transactions so far."""
        self._clock = asyncio.get_running_loop().time
        self.since = self.used = self._clock()
        """When it was opened, and last used (the loop's clock)."""

    def deadline(self) -> float:
        """When a phase that begins now has to be over."""
        return self._clock() + self.credential.timeout_seconds

    def lost(self, why: str) -> ConnectionFailed:
        """The error for a connection that ended before a message was handed over."""
        stray = self.wire.stray
        told = f"{why}: {self.scrubber.reply(stray)}" if stray is not None else why
        return ConnectionFailed(
            f"Cannot connect to {self.place}: {told}",
            smtp_code=stray.code if stray is not None else None,
            transient=True,
        )

    def timed_out(self, doing: str, hint: str | None = None) -> TimedOut:
        """The error for a phase whose deadline passed before a message was handed over."""
        seconds = self.credential.timeout_seconds
        return TimedOut(f"Timed out {doing} at {self.place} after {seconds:g} s", hint=hint)

    async def quit(self) -> None:
        """Say goodbye and close, within a few seconds; never raises: the mail is out."""
        try:
            if self.wire.fault is None:
                limit = min(3.0, self.credential.timeout_seconds)
                await self.wire.command(b"QUIT", asyncio.get_running_loop().time() + limit)
        except (Lost, TimeoutError):
            pass
        finally:
            await self.wire.close()


def tls_context(credential: SmtpCredential) -> ssl.SSLContext | None:
    """The context for this credential's connections; building it costs milliseconds, so keep it."""
    if credential.encryption is Encryption.NONE:
        return None
    return client_context(verify=credential.verify, min_tls=credential.min_tls, ca_pem=credential.ca_pem)


async def open_session(
    dialer: Dialer, credential: SmtpCredential, context: ssl.SSLContext | None, *, hint: str | None = None
) -> Session:
    """Connect, secure and log in within ``timeout_seconds`` altogether.

    ``context`` comes from ``tls_context``; ``hint`` replaces the provider's own hint on a refused login.
    Not one octet of AUTH leaves before TLS is up, unless the credential says ``encryption: none`` and
    ``allow_plaintext_auth``. Raises BlockedError, ConnectionFailed (permanent for a 5xx), TimedOut,
    TlsError, AuthError.
    """
    if (
        credential.auth is not None
        and credential.encryption is Encryption.NONE
        and not credential.allow_plaintext_auth
    ):
        raise AuthError(
            "Authentication failed: no password is sent over a connection without TLS",
            hint="use encryption: starttls or tls, or accept the risk: security.allow_plaintext_auth: true",
        )
    # Here, because it takes tens of milliseconds; and before the clock runs.
    from runner.smtp.client import Client

    loop = asyncio.get_running_loop()
    deadline = loop.time() + credential.timeout_seconds
    sock = await dialer.connect(credential.host, credential.port, timeout=credential.timeout_seconds)
    wire = await Wire.over(sock, greeting=credential.encryption is not Encryption.TLS)
    client = Client(wire, deadline)
    session = Session(wire, client, credential)
    opening = _Opening(session, context)
    try:
        await opening.run(hint or login_hint(credential.provider, credential.host))
    except BaseException as exc:
        wire.abort()
        if isinstance(exc, Lost | Garbage):
            raise session.lost(str(exc)) from exc
        if isinstance(exc, TimeoutError):
            raise session.timed_out(client.doing, hint=opening.silence_hint()) from exc
        raise
    session.offer = Offer.of(session.extensions)
    session.used = loop.time()
    return session


class _Opening:
    """The steps from a fresh connection to a session."""

    def __init__(self, session: Session, context: ssl.SSLContext | None) -> None:
        self.session = session
        self.client = session.client
        self.credential = session.credential
        self.context = context

    def silence_hint(self) -> str | None:
        """A server that waits for TLS says nothing, and neither does one behind a firewall."""
        if self.client.doing == _GREETING and self.credential.encryption is not Encryption.TLS:
            return "if the server speaks TLS from the start on this port, as on 465, use encryption: tls"
        return None

    async def run(self, hint: str | None) -> None:
        tls = self.context if self.credential.encryption is Encryption.TLS else None
        self.expect(await self.client.greeting(tls, self.credential.host), 220, "the greeting")
        await self.ehlo()
        if self.credential.encryption is Encryption.STARTTLS:
            await self.starttls()
        if self.credential.auth is not None:
            secure = self.session.wire.secure
            await log_in(self.client, self.credential.auth, self.session.scrubber, secure=secure, hint=hint)

    async def ehlo(self) -> None:
        name = self.name()
        reply = await self.client.ehlo(name)
        if self.may_do_without_ehlo(reply):
            self.expect(await self.client.helo(name), 250, "HELO")
            return
        self.expect(reply, 250, "EHLO")
        self.session.extensions = self.client.extensions

    def may_do_without_ehlo(self, reply: Reply) -> bool:
        """True for an old relay that does not know EHLO (RFC 5321 section 3.2), where neither TLS nor login
        hangs on it.
        """
        unknown = reply.code in (500, 502) and self.session.scrubber.parts(reply)[0] in (
            None,
            "5.5.1",
            "5.5.2",
        )
        return (
            unknown and self.credential.auth is None and self.credential.encryption is not Encryption.STARTTLS
        )

    async def starttls(self) -> None:
        assert self.context is not None
        if "STARTTLS" not in self.session.extensions:
            raise TlsError(
                f"STARTTLS is not offered by {self.session.place}, so nothing was sent",
                hint="check host and port, or use encryption: tls on port 465",
            )
        reply = await self.client.starttls(self.context, self.credential.host)
        if reply.code != 220:
            raise TlsError(
                f"STARTTLS was refused by {self.session.place}: {self.session.scrubber.reply(reply)}",
                hint="check host and port, or use encryption: tls on port 465",
                transient=reply.transient,
                smtp_code=reply.code,
            )
        # What was said in clear is worth nothing now (RFC 3207 section 4.2).
        self.session.extensions = {}
        await self.ehlo()

    def expect(self, reply: Reply, code: int, what: str) -> None:
        if reply.code == code:
            return
        enhanced, _ = self.session.scrubber.parts(reply)
        told = self.session.scrubber.reply(reply)
        raise ConnectionFailed(
            f"Cannot connect to {self.session.place}: {what} was answered with {told}",
            hint="the server takes no mail from here now; ask its operator if it stays so",
            transient=not 500 <= reply.code < 600,
            smtp_code=reply.code,
            enhanced_code=enhanced,
        )

    def name(self) -> str:
        given = self.credential.client_identifier
        if given is None:
            return own_name(self.session.wire.own_address())
        if not _EHLO_NAME.fullmatch(given):
            raise ConfigurationError(
                "client_identifier is not a host name or an address literal",
                hint="write it like mail.example.com or [192.0.2.1]",
            )
        return given


def own_name(address: str) -> str:
    """The EHLO name: this machine's full host name, else the connection's own address as a literal."""
    host = socket.gethostname()
    if len(host) <= 255 and _HOST_NAME.fullmatch(host) and not host.lower().startswith("localhost"):
        return host
    try:
        version = ipaddress.ip_address(address.partition("%")[0]).version
    except ValueError:
        return "[127.0.0.1]"
    return f"[IPv6:{address.partition('%')[0]}]" if version == 6 else f"[{address}]"
