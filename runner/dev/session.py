"""One connection to the inbox, from greeting to goodbye: just enough SMTP for any well-behaved client."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import Protocol, cast

MAX_LINE = 16 * 1024
"""Octets of one command line; long enough for a login line."""
MAX_RECIPIENTS = 1000


@dataclass(frozen=True, slots=True)
class Caught:
    """A message as it arrived: envelope, octets (dots unstuffed), and how the connection was protected."""

    envelope_from: str
    recipients: tuple[str, ...]
    data: bytes = field(repr=False)
    tls_version: str | None
    cipher: str | None
    authenticated: bool
    size: int


class Keeper(Protocol):
    """What a session asks of the inbox that it belongs to."""

    max_size: int

    @property
    def needs_login(self) -> bool:
        """Whether mail is taken only after a login."""
        ...

    def accepts(self, username: str, password: str) -> bool:
        """Whether that login is the expected one."""
        ...

    def keep(self, caught: Caught) -> None:
        """Take a message that arrived."""
        ...

    def remember(self, session: Session) -> None:
        """A connection was opened."""
        ...

    def forget(self, session: Session) -> None:
        """A connection ended."""
        ...


class Session(asyncio.Protocol):
    """One connection: the server's side of RFC 5321, with commands in one write (RFC 2920)."""

    def __init__(self, inbox: Keeper, context: ssl.SSLContext, *, secure: bool) -> None:
        self.inbox = inbox
        self.context = context
        self.secure = secure
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.searched = 0
        self.in_data = False
        self.paused = False
        self.login: list[str] | None = None
        self.reset()
        self.authenticated = False
        self.greeted = False
        self.upgrade: asyncio.Task[None] | None = None

    def reset(self) -> None:
        """Forget the sender and the recipients."""
        self.sender: str | None = None
        self.recipients: list[str] = []

    def abort(self) -> None:
        """Break the connection."""
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = cast("asyncio.Transport", transport)
        self.inbox.remember(self)
        self.reply("220 localhost ESMTP flowpost inbox")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the inbox."""
        self.inbox.forget(self)
        if self.upgrade is not None:
            self.upgrade.cancel()

    def data_received(self, data: bytes) -> None:
        """Take as many lines, or as much content, as came."""
        if self.paused:
            return
        self.buffer += data
        while (
            self.buffer and not self.paused and self.transport is not None and not self.transport.is_closing()
        ):
            if not (self.take_content() if self.in_data else self.take_line()):
                return

    # -- lines -------------------------------------------------------------------------------------

    def reply(self, text: str) -> None:
        """Answer with one line or several."""
        assert self.transport is not None
        self.transport.write(text.encode("utf-8") + b"\r\n")

    def take_line(self) -> bool:
        """Take one command; False when no whole line has come."""
        end = self.buffer.find(b"\r\n")
        if end < 0:
            if len(self.buffer) > MAX_LINE:
                self.reply("500 5.5.6 line too long")
                self.close()
            return False
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        if self.login is not None:
            self.on_answer(line)
            return True
        verb, _, rest = line.decode("utf-8", "replace").partition(" ")
        handler = getattr(self, f"on_{verb.lower()}", None) if verb.isascii() and verb.isalpha() else None
        if handler is None:
            self.reply("500 5.5.2 unknown command")
        else:
            handler(rest.strip())
        return True

    def take_content(self) -> bool:
        """Take a message up to its final dot; False when that has not come."""
        if self.buffer.startswith(b".\r\n"):
            content, size = b"", 3
        else:
            end = self.buffer.find(b"\r\n.\r\n", max(0, self.searched - 5))
            self.searched = len(self.buffer)
            if end < 0:
                if len(self.buffer) > self.inbox.max_size + 1024:
                    self.reply("552 5.3.4 message too large")
                    self.close()
                return False
            content, size = bytes(self.buffer[: end + 2]), end + 5
        del self.buffer[:size]
        self.in_data = False
        self.accept(content.replace(b"\r\n.", b"\r\n")[1 if content.startswith(b".") else 0 :])
        return True

    def accept(self, data: bytes) -> None:
        """Keep the message that arrived."""
        assert self.transport is not None
        tls = self.transport.get_extra_info("ssl_object")
        if len(data) > self.inbox.max_size:
            self.reply("552 5.3.4 message too large")
        else:
            cipher = tls.cipher() if tls is not None else None
            self.inbox.keep(
                Caught(
                    envelope_from=self.sender or "",
                    recipients=tuple(self.recipients),
                    data=data,
                    tls_version=tls.version() if tls is not None else None,
                    cipher=cipher[0] if cipher else None,
                    authenticated=self.authenticated,
                    size=len(data),
                )
            )
            self.reply("250 2.0.0 caught, and not delivered")
        self.reset()

    def close(self) -> None:
        """Say nothing more, and close."""
        if self.transport is not None:
            self.transport.close()

    # -- commands ----------------------------------------------------------------------------------

    def on_ehlo(self, _: str) -> None:
        """Offer what the inbox knows (RFC 5321 section 4.1.1.1)."""
        words = [
            "localhost",
            "PIPELINING",
            f"SIZE {self.inbox.max_size}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
        ]
        words.append("AUTH PLAIN LOGIN" if self.secure else "STARTTLS")
        self.greeted = True
        self.reset()
        self.reply("\r\n".join([*(f"250-{word}" for word in words[:-1]), f"250 {words[-1]}"]))

    def on_helo(self, _: str) -> None:
        """Greet an old client."""
        self.greeted = True
        self.reset()
        self.reply("250 localhost")

    def on_starttls(self, _: str) -> None:
        """Secure the connection (RFC 3207)."""
        if self.secure:
            self.reply("503 5.5.1 TLS is there already")
            return
        # What came behind STARTTLS in clear must not be read as if it had come under TLS (RFC 3207, 4.2).
        self.paused = True
        self.buffer.clear()
        self.reply("220 2.0.0 go ahead")
        self.upgrade = asyncio.get_running_loop().create_task(self.start_tls())

    async def start_tls(self) -> None:
        """Do the handshake; what was said before it counts for nothing."""
        assert self.transport is not None
        plain = self.transport
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                plain, self, self.context, server_side=True, ssl_handshake_timeout=30
            )
        except (OSError, ssl.SSLError):
            plain.abort()
            return
        if transport is None:  # the client left during the handshake
            return
        self.transport = transport
        self.secure = True
        self.greeted = False
        self.paused = False
        self.buffer.clear()

    def on_auth(self, rest: str) -> None:
        """Begin a login: PLAIN or LOGIN (RFC 4954)."""
        words = rest.split(" ")
        mechanism = words[0].upper()
        if not self.secure:
            self.reply("538 5.7.11 TLS first")
        elif self.authenticated or mechanism not in ("PLAIN", "LOGIN") or len(words) > 2:
            self.reply("504 5.5.4 PLAIN or LOGIN, once")
        else:
            self.login = [mechanism]
            if len(words) == 2:
                self.on_answer(words[1].encode())
            else:
                self.reply("334 " + ("" if mechanism == "PLAIN" else "VXNlcm5hbWU6"))

    def on_answer(self, line: bytes) -> None:
        """Take one answer of a login."""
        assert self.login is not None
        try:
            self.login.append(base64.b64decode(line, validate=True).decode("utf-8"))
        except (binascii.Error, UnicodeDecodeError):
            self.login = None
            self.reply("501 5.5.2 not base64")
            return
        if self.login[0] == "LOGIN" and len(self.login) == 2:
            self.reply("334 UGFzc3dvcmQ6")
            return
        given = self.login[1].split("\0")[1:] if self.login[0] == "PLAIN" else self.login[1:]
        self.login = None
        self.authenticated = len(given) == 2 and self.inbox.accepts(given[0], given[1])
        self.reply("235 2.7.0 welcome" if self.authenticated else "535 5.7.8 wrong user name or password")

    def on_mail(self, rest: str) -> None:
        """Begin a message."""
        address = _address(rest, "FROM:")
        if not self.secure:
            self.reply("530 5.7.0 STARTTLS first")
        elif self.inbox.needs_login and not self.authenticated:
            self.reply("530 5.7.0 log in first")
        elif not self.greeted or self.sender is not None:
            self.reply("503 5.5.1 not now")
        elif address is None:
            self.reply("501 5.5.4 MAIL FROM:<address>")
        elif _announced(rest) > self.inbox.max_size:
            self.reply("552 5.3.4 message too large")
        else:
            self.sender = address
            self.reply("250 2.1.0 ok")

    def on_rcpt(self, rest: str) -> None:
        """Add a recipient."""
        address = _address(rest, "TO:")
        if self.sender is None:
            self.reply("503 5.5.1 MAIL first")
        elif not address:
            self.reply("501 5.5.4 RCPT TO:<address>")
        elif len(self.recipients) >= MAX_RECIPIENTS:
            self.reply("452 4.5.3 too many recipients")
        else:
            self.recipients.append(address)
            self.reply("250 2.1.5 ok")

    def on_data(self, _: str) -> None:
        """Ask for the content."""
        if not self.recipients:
            self.reply("503 5.5.1 RCPT first")
            return
        self.in_data = True
        self.searched = 0
        self.reply("354 end with a dot on a line of its own")

    def on_rset(self, _: str) -> None:
        """Abandon the message."""
        self.reset()
        self.reply("250 2.0.0 ok")

    def on_noop(self, _: str) -> None:
        """Do nothing."""
        self.reply("250 2.0.0 ok")

    def on_quit(self, _: str) -> None:
        """Say goodbye."""
        self.reply("221 2.0.0 bye")
        self.close()


def _address(rest: str, keyword: str) -> str | None:
    """The address of ``FROM:<a@b> SIZE=1``; None when it is not written so."""
    if rest[: len(keyword)].upper() != keyword:
        return None
    path = rest[len(keyword) :].lstrip()
    end = path.rfind(">")
    return path[1:end] if path.startswith("<") and end > 0 else None


def _announced(rest: str) -> int:
    """The octets that ``SIZE=`` announces (RFC 1870), or 0."""
    for word in rest.rpartition(">")[2].split():
        if word.upper().startswith("SIZE="):
            with contextlib.suppress(ValueError):
                return int(word[5:20])
    return 0
