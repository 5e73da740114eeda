"""One strict reading of a URL (RFC 3986), so that nobody behind it reads another host into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin

from runner.net.host import parse_host, shown

_LIMIT = 8000
_SHAPE = re.compile(r"(https?)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?", re.ASCII)
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"
_SHOWN_SEGMENT = 16
_SHOWN_BEGINNING = 4

Params = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Url:
    """A URL taken apart. ``host`` is an ASCII name or a canonical address, without brackets; no fragment.

    Path and query may hold a secret: neither is in the repr, and ``shown`` has a beginning of the path at most.
    """

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    query: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a credential is bound to (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """What the Host header carries: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """What the request line carries."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def full(self) -> str:
        """The whole URL, for the program and not for messages."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def root(self) -> str:
        """The URL of the origin itself: no path, no query."""
        return f"{self.scheme}://{self.authority}/"

    @property
    def shown(self) -> str:
        """The URL as messages show it: without the query, and of the path no more than its first segment.

        Many a webhook's path is its password, sometimes in the first segment: so a long one is cut short too.
        """
        first, slash, more = self.path[1:].partition("/")
        if len(first) > _SHOWN_SEGMENT:
            first = f"{first[:_SHOWN_BEGINNING]}…"
        return f"{self.root}{first}{slash}{'…' if more else ''}"

    def join(self, reference: str) -> Url:
        """Where a Location header leads from here; raises ValueError as ``parse_url`` does."""
        return parse_url(urljoin(self.full, reference))


def parse_url(text: str, params: Params = ()) -> Url:
    """Read ``text`` (at most 8000 characters) and add ``params`` to its query.

    Raises ValueError, whose text never holds the URL itself, for another scheme, user and password, blanks,
    control characters, backslashes, a port out of range, and hosts that ``parse_host`` refuses.
    """
    if len(text) > _LIMIT:
        raise ValueError(f"the URL is longer than {_LIMIT} characters")
    if any(not char.isprintable() or char.isspace() or char == "\\" for char in text):
        raise ValueError("the URL holds a blank, a line break, a backslash or a control character")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError("the URL does not begin with http:// or https:// and a host")
    scheme, authority, path, query = match[1].lower(), match[2], match[3], match[4]
    if "@" in authority:
        raise ValueError("the URL holds a user name or password; use a credential")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise ValueError("the URL has no host and port that can be read")
    port = int(parts[2]) if parts[2] else _PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(f"the URL's port {port} is not a port")
    try:
        host = str(parse_host(parts[1]))
    except ValueError as exc:
        raise ValueError(f'the URL\'s host "{shown(parts[1])}" is not a host name or address') from exc
    added = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in _pairs(params))
    encoded = None if query is None else _encoded(query, _PATH_SAFE + "?")
    if added:
        encoded = f"{encoded}&{added}" if encoded else added
    return Url(scheme, host, port, _encoded(path, _PATH_SAFE) or "/", encoded)


def _pairs(params: Params) -> Iterable[tuple[str, str]]:
    return params.items() if isinstance(params, Mapping) else params


def _encoded(text: str, safe: str) -> str:
    return quote(_LONE_PERCENT.sub("%25", text), safe=safe)
