"""httpx over the guard: a transport for one request, whose sockets come from ``runner.net.stream``.

Imported at the first request, and not before: httpx costs more than ``flowpost --help`` may.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from functools import cache

import httpcore
import httpx

from runner.net.guard import Guard
from runner.net.stream import GuardedBackend

HEADERS = "flowpost.headers"
"""The extension of a response that holds its headers, raw, as ``runner.net.header.decode`` takes them."""


class GuardedTransport(httpx.AsyncBaseTransport):
    """Carries one request over a connection of its own through ``guard``; closing it closes the connection.

    ``context`` is for https; httpcore verifies the host of the URL, whatever address was connected to.
    """

    def __init__(self, guard: Guard, context: ssl.SSLContext | None) -> None:
        self._backend = GuardedBackend(guard)
        self._context = context

    @property
    def ended(self) -> bool:
        """Whether the server closed its side."""
        return self._backend.stream is not None and self._backend.stream.ended

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` and return the head of its answer, the body still to come, its headers in HEADERS.

        Raises what ``Guard.connect`` raises, TlsError, OSError, and httpcore's own exceptions.
        """
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        connection = httpcore.AsyncHTTPConnection(
            origin=url.origin, ssl_context=self._context, network_backend=self._backend
        )
        answer = await connection.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=dict(request.extensions),
            )
        )
        # httpx acts on headers unasked: it reads Location as a URL even when it follows none, keeps cookies, and
        # decompresses without a bound. What it does not see it cannot act on.
        return httpx.Response(answer.status, stream=_Body(answer), extensions={HEADERS: answer.headers})

    async def aclose(self) -> None:
        """Close the connection at once, whatever became of the request."""
        if self._backend.stream is not None:
            await self._backend.stream.aclose()


class _Body(httpx.AsyncByteStream):
    """The body as it arrives; the transport closes the connection under it."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.aiter_stream()


def silence() -> None:
    """Turn the loggers of httpx and httpcore off, whatever the level: they write URLs and headers out.

    For every request anew, as ``logging.config`` turns them on again.
    """
    for logger in _loggers():
        logger.disabled = True


@cache
def _loggers() -> tuple[logging.Logger, ...]:
    known = logging.Logger.manager.loggerDict
    return tuple(
        logging.getLogger(name) for name in list(known) if name.partition(".")[0] in ("httpx", "httpcore")
    )
