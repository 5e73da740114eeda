"""The parts of a request, bounded: headers by name, the body within size and time, its media type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from runner.triggers.payload import parse_form, parse_json, parse_multipart
from runner.web.problem import Problem, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request

BODY_SECONDS = 30.0
"""How long a body may take to arrive: one octet a second is an attack."""

LAST_SECONDS = 2.0
"""How long it may still take once the service stops; less than the server waits for its answers then."""

STOPPING = "the service is stopping and takes no new events"
_LOOK_EVERY = 0.5

MAX_HEADERS = 32 * 1024

ACCEPTED = "application/json, application/x-www-form-urlencoded, multipart/form-data"


def headers_of(request: Request) -> dict[str, list[str]]:
    """The values of each header as they came, by lower-case name; Problem 431, for they are kept with the event."""
    if sum(len(name) + len(value) for name, value in request.scope["headers"]) > MAX_HEADERS:
        raise Problem(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the headers are larger than {MAX_HEADERS:,} bytes"
        )
    headers: dict[str, list[str]] = {}
    for name, value in request.scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def check_length(headers: dict[str, list[str]], limit: int) -> None:
    """Refuse a body that says itself that it is too large, before any of it is read."""
    for length in headers.get("content-length", ()):
        if len(length) > 15 or (length.isdecimal() and int(length) > limit):
            raise too_large(limit)


async def read_body(
    request: Request, limit: int, draining: Callable[[], bool], seconds: float = BODY_SECONDS
) -> bytes:
    """The body, counted as it comes: chunks announce no size. Raises Problem 413, 408 or 503, or ClientDisconnect.

    While the service stops, a body gets ``LAST_SECONDS`` more: then its sender is told, who else would see the
    connection end, or an error that is none of his.
    """
    from starlette.requests import ClientDisconnect

    pieces: list[bytes] = []
    size, stopping = 0, False
    now = asyncio.get_running_loop().time
    until = now() + seconds
    while True:
        if not stopping and draining():
            stopping, until = True, min(until, now() + LAST_SECONDS)
        try:
            async with asyncio.timeout_at(min(until, now() + _LOOK_EVERY)):
                message = await request.receive()
        except TimeoutError:
            if now() < until:
                continue
            raise _too_slow(seconds, stopping) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)
        if now() >= until:
            raise _too_slow(seconds, stopping)


def _too_slow(seconds: float, stopping: bool) -> Problem:
    if stopping:
        problem = unavailable(STOPPING)
        problem.headers["connection"] = "close"
        return problem
    return Problem(
        HTTPStatus.REQUEST_TIMEOUT,
        f"the body did not arrive within {seconds:g} s",
        headers={"connection": "close"},
    )


def too_large(limit: int) -> Problem:
    """413."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit:,} bytes (http.max_body)"
    )


def parse_body(data: bytes, headers: dict[str, list[str]]) -> object:
    """The value of a body by its media type; without one it is JSON. Problem 415, or BadBody."""
    if any(coding.strip().lower() not in ("", "identity") for coding in headers.get("content-encoding", ())):
        raise _unsupported("a compressed body is not taken")
    types = headers.get("content-type", [])
    if not types or (len(types) == 1 and not types[0].strip()):
        return parse_json(data)
    if len(types) > 1:
        raise _unsupported("there is more than one content-type")
    kind, options = _media_type(types[0])
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise _unsupported("the charset is not utf-8")
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return parse_json(data)
    if kind == "application/x-www-form-urlencoded":
        return parse_form(data)
    if kind == "multipart/form-data":
        if not options.get("boundary"):
            raise _unsupported("the multipart/form-data has no boundary")
        return parse_multipart(data, options["boundary"])
    raise _unsupported("the content-type is none that a hook takes")


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    """Type and parameters, names in lower case (RFC 9110 section 8.3.1)."""
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(text)
    return (
        kind.decode("latin-1").strip(),
        {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in options.items()},
    )


def _unsupported(detail: str) -> Problem:
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"{detail}: send {ACCEPTED}",
        headers={"accept-post": ACCEPTED, "accept-encoding": "identity"},
    )
