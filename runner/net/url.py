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
_SHOWN_PATH = 100

Params = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Url:
    """A URL taken apart. ``host`` is an ASCII name or a canonical address, without brackets; no fragment.

    The query may hold a secret: it is in no repr, and ``shown`` leaves it out.
    """

    scheme: str
    host: str
    port: int
    path: str
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
    def shown(self) -> str:
        """The URL as messages show it: without the query, and not endless."""
        path = self.path if len(self.path) <= _SHOWN_PATH else f"{self.path[:_SHOWN_PATH]}…"
        return f"{self.scheme}://{self.authority}{path}"

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
