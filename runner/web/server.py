"""uvicorn, bounded: how long a head may take, how many connections there may be, how large a head is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigurationError
from runner.model import Settings
from runner.web.problem import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from uvicorn import Config, Server

MAX_CONNECTIONS = 800
"""Below the 1,024 descriptors that a process has by default: files and the database need some too."""

MAX_HEAD = 32 * 1024
HEAD_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 30
BACKLOG = 1024


def server_config(
    app: Starlette,
    settings: Settings,
    *,
    drain_seconds: int = 30,
    head_seconds: float = HEAD_SECONDS,
    max_connections: int = MAX_CONNECTIONS,
) -> Config:
    """How ``app`` is served: HTTP/1.1 at the address of the settings, nothing logged but errors, no signals."""
    import logging

    from uvicorn import Config

    # It warns of each odd octet of a form: a stranger could fill the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    return Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        loop="asyncio",
        http=_protocol(head_seconds, max_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
        h11_max_incomplete_event_size=MAX_HEAD,
    )


def bind(settings: Settings) -> socket.socket:
    """A listening socket at the settings' address; raises ConfigurationError when it cannot be had."""
    where = f"{settings.http_host}:{settings.http_port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.http_host, settings.http_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Named, for asyncio sets TCP_NODELAY only where it is: else each answer waits 40 ms for an ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {where}: {error.strerror}", hint="see http.host"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {where}: {error.strerror}",
            hint="another program has the port? see http.port in flowpost.yaml, or FLOWPOST_HTTP_PORT",
        ) from None
    return listener


def make_server(config: Config) -> Server:
    """A server that leaves the signals to the service: set ``should_exit`` to stop it."""
    from uvicorn import Server

    class Quiet(Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

    return Quiet(config)


def _protocol(head_seconds: float, max_connections: int) -> type[asyncio.Protocol]:
    """The protocol of uvicorn with a deadline where it has none: a head that never ends, a body that nobody reads."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Bounded(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                self._refuse(Problem(503, "too many connections", headers={"retry-after": "5"}))
            else:
                self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def handle_events(self) -> None:
            super().handle_events()
            # Who stands in front may have taken the other one for the length, and what follows for a request (RFC 9112
            # section 6.1): nothing more is read from here.
            if self.cycle is not None and {b"content-length", b"transfer-encoding"} <= {
                name for name, _ in self.cycle.scope["headers"]
            }:
                self.cycle.keep_alive = False

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.cycle.more_body or self.conn.trailing_data[0]:
                self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_watch()

        def send_400_response(self, msg: str) -> None:
            if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
                self.transport.close()
            else:
                self._refuse(
                    Problem(400, "the request is not HTTP as it should be, or its head is too large")
                )

        def _watch(self) -> None:
            """While no request is being answered, what comes must become one in time."""
            if self.transport.is_closing() or not (self.cycle is None or self.cycle.response_complete):
                self._stop_watch()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(head_seconds, self.transport.close)

        def _stop_watch(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _refuse(self, problem: Problem) -> None:
            body = json.dumps(problem.document()).encode()
            fields = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"}
            lines = [f"HTTP/1.1 {problem.status} {problem.document()['title']}"]
            lines += [f"{name}: {value}" for name, value in {**fields, **problem.headers}.items()]
            self.transport.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
            self.transport.close()

    return Bounded
