"""HTTP requests through the guard: bounded in time and size, with nothing taken from the environment.

No proxies, no cookies, no ``.netrc``, no connection kept for the next request. httpx speaks HTTP/1.1 through
``runner.net.transport``; redirects, content codings and limits are ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from runner.errors import ConfigurationError, HttpError, TimedOut
from runner.net.coding import Inflater
from runner.net.guard import Guard
from runner.net.translate import HINT, translated

if TYPE_CHECKING:
    import ssl

    import httpx

    from runner.net.request import Request
    from runner.net.url import Params

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 20
# What compression may cost beyond what it saves: headers and checksums of a short body.
_CODING_OVERHEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A server's answer: lower-case header names, the body decoded, the URL that was asked last."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)


class HttpClient:
    """Makes requests through ``guard``; the authorities in ``ca_file`` are trusted beside the system's."""

    def __init__(self, guard: Guard, *, ca_file: str | None = None) -> None:
        self._guard = guard
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params = (),
        content: bytes | None = None,
        timeout: float,  # noqa: ASYNC109
        max_bytes: int,
        redirects: int = 0,
    ) -> HttpReply:
        """Send one request and return the answer, whatever its status.

        ``timeout`` is seconds for everything, redirects included; ``max_bytes`` caps the decoded body and is
        enforced while it streams. ``redirects`` is how many are followed (0: the 3xx itself is the answer);
        each hop is guarded, and no header that may be a credential leaves the origin it was meant for.

        Raises BlockedError, ConnectionFailed, TimedOut, TlsError, HeaderError, ReservedHeaderError, and
        HttpError for a URL or method that cannot be meant and for an answer that is broken, too large or
        oddly encoded.
        """
        from runner.net.request import make_request

        request = make_request(method, url, headers or {}, params, content)
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await self._follow(request, min(redirects, _MOST_REDIRECTS), timeout, max_bytes)
        except TimeoutError as exc:
            raise TimedOut(f"Timed out after {timeout:g} s: {request}", hint=HINT) from exc

    async def _follow(self, request: Request, redirects: int, seconds: float, max_bytes: int) -> HttpReply:
        from runner.net.header import decode
        from runner.net.request import redirected
        from runner.net.transport import HEADERS

        left = redirects
        while True:
            async with self._answer(request, seconds) as response:
                headers = decode(response.extensions[HEADERS])
                location = headers.get("location")
                if not redirects or response.status_code not in _REDIRECTS or location is None:
                    body = await _body(request, response, headers, max_bytes)
                    return HttpReply(response.status_code, headers, body, request.url.full)
                if not left:
                    raise HttpError(f"{request} redirects once more than the {redirects} allowed")
                left -= 1
                request = redirected(request, response.status_code, location)

    @contextlib.asynccontextmanager
    async def _answer(self, request: Request, seconds: float) -> AsyncIterator[httpx.Response]:
        """The head of the answer, with its body still to come, over a connection of its own."""
        import httpx

        from runner.net.header import encode
        from runner.net.request import complete
        from runner.net.transport import GuardedTransport, silence

        silence()
        url = request.url
        transport = GuardedTransport(self._guard, await self._tls() if url.scheme == "https" else None)
        # A client for each request: there is no cookie jar, connection or setting to share. And it is told the
        # origin only: what httpx neither reads nor rewrites cannot differ from what parse_url has judged.
        client = httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)
        async with client:
            with translated(request, transport):
                message = httpx.Request(
                    request.method,
                    url.root,
                    headers=encode(complete(request)),
                    content=request.content or b"",
                    extensions={"timeout": {"connect": seconds}, "target": url.target.encode()},
                )
                yield await client.send(message, stream=True)

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(self._build_context)
        return self._context

    def _build_context(self) -> ssl.SSLContext:
        from runner.net.tls import client_context

        context = client_context()
        if self._ca_file is not None:
            try:
                context.load_verify_locations(cadata=Path(self._ca_file).read_text(encoding="ascii"))
            except (OSError, ValueError) as exc:
                raise ConfigurationError(f'"{self._ca_file}" is not a file of PEM certificates') from exc
        return context


async def _body(
    request: Request, response: httpx.Response, headers: Mapping[str, str], max_bytes: int
) -> bytes:
    too_large = HttpError(f"the answer to {request} is larger than {max_bytes} bytes")
    try:
        inflater = Inflater(headers.get("content-encoding", ""))
    except ValueError as exc:
        raise HttpError(f"the answer to {request} cannot be read: {exc}") from exc
    raw_limit = max_bytes if inflater.plain else max_bytes + _CODING_OVERHEAD
    length = headers.get("content-length", "0")
    if request.method != "HEAD" and length.isdecimal() and int(length) > raw_limit:
        raise too_large
    pieces: list[bytes] = []
    raw = size = 0
    try:
        async with contextlib.aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as chunks:
            async for chunk in chunks:
                raw += len(chunk)
                if raw > raw_limit:
                    raise too_large
                for piece in inflater.feed(chunk):
                    size += len(piece)
                    if size > max_bytes:
                        raise too_large
                    pieces.append(piece)
        inflater.finish()
    except ValueError as exc:
        raise HttpError(f"the answer to {request} cannot be read: {exc}") from exc
    return b"".join(pieces)
