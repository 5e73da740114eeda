"""What becomes of the values in a field of each kind, and how the parts of a field are put together.

In a URL, a path and an address field the author's text and the values never mix: the generated code yields them as
objects of different types, and macros and blocks keep them apart in ``Mixed``. There is no mark in the text
that a value could forge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from jinja2.runtime import Undefined

from runner.model import Fixed, Given, Pieces
from runner.template.budget import Refused, spend, spend_text
from runner.template.filters import Expand
from runner.template.kinds import Kind
from runner.template.textfilters import Encoded, percent
from runner.template.urls import UrlPart, assemble
from runner.template.values import Html, describe, plain, to_html, to_text

_AT_ONCE = 256
_MOST_CONCATENATED = 20_000_000
_MOST_PIECES = 10_000
_FEW = 64
MARKUP = re.compile("[&<>'\"]").search
"""Finds what has to be escaped in HTML."""


class Mixed:
    """Text and values of an address, path or URL that a macro or block has put together."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts


def text_out(value: Any) -> str:
    """A value in a text."""
    return value if type(value) is str else to_text(value)


def html_out(value: Any) -> str:
    """A value in HTML."""
    if type(value) is str and len(value) < 4096:
        if MARKUP(value) is None:
            return value
        # markupsafe's replacements, without an object of its class for a text that is joined at once
        return (
            value.replace("&", "&amp;")
            .replace("<", "&lt;")
            .replace(">", "&gt;")
            .replace("'", "&#39;")
            .replace('"', "&#34;")
        )
    return to_html(value)


def unless_null(out: Callable[[Any], Any], value: Any) -> Any:
    """What ``out`` makes of a value that is all there is in a field; null is nothing."""
    return "" if value is None else out(value)


def native_out(value: Any) -> Any:
    """A value that is a whole field."""
    return value


def address_out(value: Any) -> Any:
    """A value in an address field."""
    if type(value) is Mixed:
        return value
    if type(value) is Expand:
        return Given(_address_value(value.value), expand=True)
    if isinstance(value, Undefined):
        return str(value)
    return Given(_address_value(value))


def path_out(value: Any) -> Any:
    """A value in a path; one that is ``| safe`` is the author's own text."""
    return to_text(value) if type(value) is Html else address_out(value)


def _address_value(value: Any) -> Any:
    if type(value) is str:
        return value
    if isinstance(value, Mixed | Expand):
        raise Refused("an address or path that is put together cannot be used like a value")
    return plain(value)


def url_out(value: Any) -> Any:
    """A value in a part of a URL: percent-encoded, unless it is ``| safe`` or encoded already."""
    if type(value) is Mixed:
        return value
    if isinstance(value, Undefined):
        return str(value)
    if type(value) is Html:
        return UrlPart(to_text(value), trusted=True)
    if type(value) is Encoded:
        return UrlPart(to_text(value))
    if value is None or isinstance(value, list | tuple | range | dict):
        raise Refused(f"{describe(value)} cannot stand in a URL")
    return UrlPart(percent(value))


def _mixed(parts: Iterable[Any]) -> Mixed:
    flat: list[Any] = []
    for part in parts:
        if type(part) is Mixed:
            spend(len(part.parts), 8 * len(part.parts))
            flat.extend(part.parts)
        elif part != "":
            spend(1, 8)
            flat.append(part)
    return Mixed(tuple(flat))


def gather(parts: Iterable[str], limit: int) -> list[str]:
    """The parts, of at most ``limit`` characters in all; raises Refused as soon as there are more.

    The first of them are as they came; the many that may follow are joined in groups.
    """
    stream = iter(parts)
    texts = list(islice(stream, _AT_ONCE))
    size = sum(map(len, texts))
    if size > limit:
        raise _too_long(limit)
    if len(texts) < _AT_ONCE:
        return texts
    while some := list(islice(stream, _AT_ONCE)):
        spend(len(some))
        size += sum(map(len, some))
        if size > limit:
            raise _too_long(limit)
        texts.append("".join(some))
    return texts


def collect(parts: Iterable[str], limit: int) -> str:
    """The parts as one text, of at most ``limit`` characters; raises Refused as soon as there are more."""
    return "".join(gather(parts, limit))


def _too_long(limit: int) -> Refused:
    return Refused(
        f"the result has more than {limit} characters", "the field's cap is reached while rendering"
    )


def _text_concat(parts: Iterable[str]) -> str:
    text = collect(parts, _MOST_CONCATENATED)
    spend_text(2 * len(text), not text.isascii())
    return text


def _html_concat(parts: Iterable[str]) -> str:
    return Html(_text_concat(parts))


def _flat(parts: Iterable[Any]) -> Iterable[Any]:
    stream = iter(parts)
    found = list(islice(stream, _FEW))
    if len(found) < _FEW and Mixed not in map(type, found):
        return found
    return _flattened(chain(found, stream))


def _flattened(parts: Iterable[Any]) -> Iterator[Any]:
    count = 0
    for part in parts:
        for one in part.parts if type(part) is Mixed else (part,):
            count += 1
            if count > _MOST_PIECES:
                raise Refused(f"the field has more than {_MOST_PIECES} parts")
            yield one


def address(parts: Iterable[Any], limit: int) -> Pieces:
    """The parts of an address field or a path; neighbouring texts of the author are one piece."""
    pieces: list[Fixed | Given] = []
    author = ""
    size = 0
    for part in _flat(parts):
        if type(part) is Given:
            if author:
                pieces.append(_fixed(author))
                author = ""
            pieces.append(part)
            size += len(part.value) if isinstance(part.value, str) else 0
        else:
            author += part
            size += len(part)
        if size > limit:
            raise _too_long(limit)
    if author:
        pieces.append(_fixed(author))
    return tuple(pieces)


@lru_cache(maxsize=256)
def _fixed(text: str) -> Fixed:
    return Fixed(text)


def url(parts: Iterable[Any], limit: int) -> str:
    """The parts of a URL, put together and checked."""
    found: list[Any] = []
    size = 0
    for part in _flat(parts):
        size += len(part)
        if size > limit:
            raise _too_long(limit)
        found.append(part)
    return assemble(found)


OUT: dict[Kind, tuple[Callable[[Any], Any], Callable[[Iterable[Any]], Any]]] = {
    Kind.TEXT: (text_out, _text_concat),
    Kind.HTML: (html_out, _html_concat),
    Kind.URL: (url_out, _mixed),
    Kind.ADDRESS: (address_out, _mixed),
    Kind.PATH: (path_out, _mixed),
    Kind.EXPRESSION: (native_out, _text_concat),
}
"""For each kind: what is done with a value, and how a macro's parts become one value."""
