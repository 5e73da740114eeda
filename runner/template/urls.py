"""A URL that is made of an author's text and of values: no value may change where it leads (RFC 3986)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.template.budget import Refused

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:(//)?")
_HOST = re.compile(r"(?:[a-zA-Z0-9._-]|%[89A-Fa-f][0-9A-Fa-f])*")
_LABEL = re.compile(r"(?:[a-zA-Z0-9_-]|%[89A-Fa-f][0-9A-Fa-f])*")


class UrlPart(str):
    """The text of a value in a URL, percent-encoded; ``trusted`` when its author vouches for it as it is."""

    trusted: bool
    __slots__ = ("trusted",)

    def __new__(cls, text: str, trusted: bool = False) -> UrlPart:
        """``text`` is encoded already, or trusted."""
        part = super().__new__(cls, text)
        part.trusted = trusted
        return part


def assemble(parts: Sequence[str]) -> str:
    """The URL; raises Refused when a value would be its scheme or host, or a step up in its path."""
    text = "".join(parts)
    values: list[tuple[int, int]] = []
    at = 0
    for part in parts:
        if type(part) is UrlPart and not part.trusted and part:
            values.append((at, at + len(part)))
        at += len(part)
    if not values:
        return text
    scheme = _SCHEME.match(text)
    begin = scheme.end() if scheme else 0
    if values[0][0] < begin or (scheme is None and values[0][0] == 0):
        raise Refused(
            "a value cannot be the beginning of a URL",
            "write the scheme and host out, keep them in vars, or add | safe to a value that you trust",
        )
    path = begin
    if scheme is not None and scheme[1]:
        path = min((found for mark in "/?#" if (found := text.find(mark, begin)) >= 0), default=len(text))
        _check_host(text, begin, path, values)
    end = min((found for mark in "?#" if (found := text.find(mark, path)) >= 0), default=len(text))
    _check_path(text, path, end, values)
    return text


def _check_host(text: str, begin: int, end: int, values: list[tuple[int, int]]) -> None:
    user = text.rfind("@", begin, end) + 1
    for start, stop in values:
        if stop <= max(begin, user) or start >= end:
            continue
        # "https://example.com<< x >>" and ".evil.test" lead elsewhere: only a whole label may hold a dot
        fresh = start in (begin, user) or text[start - 1] == "."
        if (_HOST if fresh else _LABEL).fullmatch(text, start, stop) is None:
            raise Refused(
                "a value cannot change the host of a URL", "write a / between the host and the value"
            )


def _check_path(text: str, begin: int, end: int, values: list[tuple[int, int]]) -> None:
    at = begin
    for segment in text[begin:end].split("/"):
        stop = at + len(segment)
        if segment.lower().replace("%2e", ".") in (".", "..") and any(
            first < stop and last > at for first, last in values
        ):
            raise Refused('a value in the path of a URL cannot be "." or ".."')
        at = stop + 1
