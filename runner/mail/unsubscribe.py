"""``List-Unsubscribe`` and ``List-Unsubscribe-Post`` (RFC 2369, RFC 8058)."""

from __future__ import annotations

from runner.errors import HeaderError
from runner.mail.address import parse_one
from runner.mail.headers import forbid_line_ends
from runner.mail.message import Unsubscribe
from runner.mail.shown import shown

LIST_UNSUBSCRIBE = "List-Unsubscribe"
LIST_UNSUBSCRIBE_POST = "List-Unsubscribe-Post"

# What may stand in a URI between angle brackets (RFC 3986); the comma separates URIs for some readers.
_SAFE = "!#$%&'()*+-./:;=?@_~[]"
_LONGEST = 900


def unsubscribe_headers(unsubscribe: Unsubscribe) -> list[tuple[str, str]]:
    """The headers as names and raw ASCII values; HeaderError (EHEADER) for what cannot be one."""
    targets: list[str] = []
    if unsubscribe.url:
        targets.append(f"<{_url(unsubscribe.url)}>")
    if unsubscribe.mailto:
        targets.append(f"<{_mailto(unsubscribe.mailto)}>")
    if not targets:
        raise HeaderError("unsubscribe has neither a url nor a mailto", hint="give at least one of them")
    found = [(LIST_UNSUBSCRIBE, ", ".join(targets))]
    if unsubscribe.one_click:
        if not (unsubscribe.url or "").lower().startswith("https://"):
            raise HeaderError(
                "one-click unsubscribe needs an https url",
                hint="give unsubscribe.url, or set one_click: false",
            )
        found.append((LIST_UNSUBSCRIBE_POST, "List-Unsubscribe=One-Click"))
    return found


def _url(url: str) -> str:
    from urllib.parse import quote, urlsplit

    forbid_line_ends(url, " in unsubscribe.url")
    text = url.strip()
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not host.isascii():
        raise HeaderError(f"unsubscribe.url {shown(url)} is not an http or https URL", hint="")
    return _bounded(quote(text, safe=_SAFE, errors="replace"), "unsubscribe.url")


def _mailto(mailto: str) -> str:
    from urllib.parse import quote

    forbid_line_ends(mailto, " in unsubscribe.mailto")
    text = mailto.strip()
    if text.lower().startswith("mailto:"):
        text = text[7:]
    address, mark, query = text.partition("?")
    spec = parse_one(address).wire
    return _bounded(
        f"mailto:{quote(spec, safe='!$*+-./=@_~')}{mark}{quote(query, safe='%&=+-._~:/@!$*', errors='replace')}",
        "unsubscribe.mailto",
    )


def _bounded(uri: str, where: str) -> str:
    if len(uri) > _LONGEST:
        raise HeaderError(
            f"{where} has {len(uri):,} characters, at most {_LONGEST} are allowed", hint="shorten it"
        )
    return uri
