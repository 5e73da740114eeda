"""The parts of a request, bounded: headers by name, the body within size and time, its media type."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from runner.triggers.payload import parse_form, parse_json, parse_multipart
from runner.web.problem import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

BODY_SECONDS = 30.0
"""How long a body may take to arrive: one octet a second is an attack."""

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


async def read_body(request: Request, limit: int, seconds: float = BODY_SECONDS) -> bytes:
    """The body, counted as it comes: chunks announce no size. Raises Problem 413 or 408, or ClientDisconnect."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise too_large(limit)
                pieces.append(piece)
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {seconds:g} s",
            headers={"connection": "close"},
        ) from None
    return b"".join(pieces)


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
