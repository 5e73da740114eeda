"""A local inbox: a small SMTP server with TLS that keeps what it is sent and delivers nothing.

::

    async with Inbox(username="demo", password="…") as inbox:
        ...  # send to 127.0.0.1:inbox.port, trusting inbox.ca_pem
        caught = await inbox.next_message(timeout=10)
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Self, cast

from runner.dev.throwaway import Throwaway

MAX_LINE = 16 * 1024
"""Octets of one command line; long enough for a login line."""
MAX_SIZE = 64 * 1024 * 1024
"""Octets of one message, as SIZE announces."""
MAX_RECIPIENTS = 1000
MAX_KEPT = 1000
"""Messages that are kept; the oldest gives way."""
MAX_KEPT_OCTETS = 256 * 1024 * 1024


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


class Inbox:
    """An SMTP server on 127.0.0.1 and a free port, over implicit TLS or STARTTLS: an async context manager.

    With ``username`` and ``password`` it takes mail only after a login with these; without, any login is
    welcome and none is needed. Mail is never taken over a connection without TLS. OSError when no port can
    be opened.
    """

    def __init__(
        self,
        *,
        tls: str = "implicit",
        username: str | None = None,
        password: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        max_size: int = MAX_SIZE,
    ) -> None:
        if tls not in ("implicit", "starttls"):
            raise ValueError(f'"{tls}" is not one of implicit, starttls')
        self.tls = tls
        self.host = host
        self.max_size = max_size
        self.messages: deque[Caught] = deque()
        self._wanted_port = port
        self._expected = None if username is None else (username, password or "")
        self._identity: Throwaway | None = None
        self._server: asyncio.Server | None = None
        self._news = asyncio.Condition()
        self._sessions: set[_Session] = set()
        self._taken = 0
        self._count = 0
        self._octets = 0

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            raise RuntimeError("the inbox is not open")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def ca_pem(self) -> str:
        """The certificate that a client must trust; the server's own is for ``localhost`` and 127.0.0.1."""
        if self._identity is None:
            raise RuntimeError("the inbox is not open")
        return self._identity.ca_pem

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._identity = await asyncio.to_thread(Throwaway.make)
        context = self._identity.context
        self._server = await loop.create_server(
            lambda: _Session(self, context, secure=self.tls == "implicit"),
            self.host,
            self._wanted_port,
            ssl=context if self.tls == "implicit" else None,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for session in list(self._sessions):
            session.abort()
        await self._server.wait_closed()
        # One turn of the loop lets the aborted transports close their sockets.
        await asyncio.sleep(0)

    async def next_message(self, timeout: float = 30.0) -> Caught:  # noqa: ASYNC109  (part of the contract)
        """The next message that no earlier call returned; TimeoutError after ``timeout`` seconds."""
        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(lambda: self._count > self._taken)
            gone = self._count - len(self.messages)
            self._taken = max(self._taken, gone) + 1
            return self.messages[self._taken - 1 - gone]

    def accepts(self, username: str, password: str) -> bool:
        """True for the login that is expected, compared in constant time."""
        if self._expected is None:
            return True
        name, secret = self._expected
        same_name = hmac.compare_digest(name.encode(), username.encode())
        return hmac.compare_digest(secret.encode(), password.encode()) and same_name

    @property
    def needs_login(self) -> bool:
        """Whether mail is refused before a login."""
        return self._expected is not None

    def keep(self, caught: Caught) -> None:
        """Keep one more message, and wake who waits for it."""
        self.messages.append(caught)
        self._count += 1
        self._octets += caught.size
        while len(self.messages) > MAX_KEPT or (self._octets > MAX_KEPT_OCTETS and len(self.messages) > 1):
            self._octets -= self.messages.popleft().size
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def remember(self, session: _Session) -> None:
        """Know a session that began, so that closing the inbox ends it."""
        self._sessions.add(session)

    def forget(self, session: _Session) -> None:
        """Forget a session that ended."""
        self._sessions.discard(session)


class _Session(asyncio.Protocol):
    """One connection: the server's side of RFC 5321, with commands in one write (RFC 2920)."""

    def __init__(self, inbox: Inbox, context: ssl.SSLContext, *, secure: bool) -> None:
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
        self.sender: str | None = None
        self.recipients: list[str] = []

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.inbox.remember(self)
        self.reply("220 localhost ESMTP flowpost inbox")

    def connection_lost(self, exc: Exception | None) -> None:
        self.inbox.forget(self)
        if self.upgrade is not None:
            self.upgrade.cancel()

    def data_received(self, data: bytes) -> None:
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
        assert self.transport is not None
        self.transport.write(text.encode("utf-8") + b"\r\n")

    def take_line(self) -> bool:
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
        if self.transport is not None:
            self.transport.close()

    # -- commands ----------------------------------------------------------------------------------

    def on_ehlo(self, _: str) -> None:
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
        self.greeted = True
        self.reset()
        self.reply("250 localhost")

    def on_starttls(self, _: str) -> None:
        if self.secure:
            self.reply("503 5.5.1 TLS is there already")
            return
        # What came behind STARTTLS in clear must not be read as if it had come under TLS (RFC 3207, 4.2).
        self.paused = True
        self.buffer.clear()
        self.reply("220 2.0.0 go ahead")
        self.upgrade = asyncio.get_running_loop().create_task(self.start_tls())

    async def start_tls(self) -> None:
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
        if not self.recipients:
            self.reply("503 5.5.1 RCPT first")
            return
        self.in_data = True
        self.searched = 0
        self.reply("354 end with a dot on a line of its own")

    def on_rset(self, _: str) -> None:
        self.reset()
        self.reply("250 2.0.0 ok")

    def on_noop(self, _: str) -> None:
        self.reply("250 2.0.0 ok")

    def on_quit(self, _: str) -> None:
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
