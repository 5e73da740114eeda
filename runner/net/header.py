"""Headers of an outgoing request: what may be set, and what may follow a redirect to another origin."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runner.errors import HeaderError, ReservedHeaderError
from runner.net.host import shown

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Everything else may be a credential: the header of one can have any name.
FOLLOWS_ANYWHERE = frozenset({"accept", "accept-language", "content-type", "user-agent"})


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return ``headers`` with names in lower case and values trimmed.

    Raises HeaderError for a name that is no token (RFC 9110 section 5.6.2), for a value with CR, LF, NUL or
    another control character, and for two names that differ in case only; ReservedHeaderError for framing and
    connection headers, which would let a value smuggle a second request.
    """
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise HeaderError(f'"{shown(name)}" is not a header name', hint="use letters, digits and -")
        if _FORBIDDEN.search(value) or not _encodable(value):
            raise HeaderError(f'Header value contains forbidden characters: "{name}"')
        lower = name.lower()
        if lower in _RESERVED:
            raise ReservedHeaderError(f'Reserved header is not allowed: "{name}"', hint="leave it out")
        if lower in checked:
            raise HeaderError(f'header "{name}" is given twice', hint="header names ignore case")
        checked[lower] = value.strip(" \t")
    return checked


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def across_origins(headers: Mapping[str, str]) -> dict[str, str]:
    """Only the headers that can hold no credential, for a redirect that leaves the origin (RFC 9110 15.4)."""
    return {name: value for name, value in headers.items() if name in FOLLOWS_ANYWHERE}


def without_content(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that describe a body, for a redirect that turns into a GET."""
    return {name: value for name, value in headers.items() if not name.startswith("content-")}


def encode(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The headers as they go on the wire: UTF-8 where ASCII is not enough."""
    return [(name.encode("ascii"), value.encode()) for name, value in headers.items()]


def decode(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """A server's headers with names in lower case; repeated ones are joined with a comma (RFC 9110 5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
