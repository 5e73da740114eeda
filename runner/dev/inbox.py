"""A local inbox: a small SMTP server with TLS that keeps what it is sent and delivers nothing.

::

    async with Inbox(username="demo", password="…") as inbox:
        ...  # send to 127.0.0.1:inbox.port, trusting inbox.ca_pem
        caught = await inbox.next_message(timeout=10)
"""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from typing import Self

from runner.dev.session import Caught, Session
from runner.dev.throwaway import Throwaway

__all__ = ["Caught", "Inbox"]

MAX_SIZE = 64 * 1024 * 1024
"""Octets of one message, as SIZE announces."""
MAX_KEPT = 1000
"""Messages that are kept; the oldest gives way."""
MAX_KEPT_OCTETS = 256 * 1024 * 1024


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
        self._sessions: set[Session] = set()
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
            lambda: Session(self, context, secure=self.tls == "implicit"),
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

    def remember(self, session: Session) -> None:
        """Know a session that began, so that closing the inbox ends it."""
        self._sessions.add(session)

    def forget(self, session: Session) -> None:
        """Forget a session that ended."""
        self._sessions.discard(session)
