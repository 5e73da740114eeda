"""Filters of texts and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape
from math import ceil, floor, isfinite
from typing import Any
from urllib.parse import quote

from jinja2.runtime import Undefined
from markupsafe import escape

from runner.template.budget import Refused, spend, spend_text
from runner.template.methods import METHODS, stripped
from runner.template.methods import width as sane
from runner.template.values import Html, bounded, describe, to_html, to_json, to_text

_WORD = re.compile(r"\w+")
_TITLE = re.compile(r"[^\s\-({\[<]+")
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"']{1,2000}")
_METHODS = {name: method for types, table in METHODS[:1] for name, method in table.items()}
_MAX_LINES_WIDTH = 1000
_MOST_LINKED = 200_000


class Encoded(str):
    """A part of a URL that ``| urlencode`` has encoded already."""

    __slots__ = ()


def _kept(function: Callable[..., str]) -> Callable[..., str]:
    """The same filter, whose result is markup where its subject was."""

    def kept(value: Any, *args: Any, **kwargs: Any) -> str:
        result = function(to_text(value), *args, **kwargs)
        return Html(result) if type(value) is Html else result

    return kept


def cased(name: str) -> Callable[[Any], str]:
    """``| upper``, ``| lower``, ``| capitalize``."""
    method = _METHODS[name]
    return _kept(lambda text: str(method(text)))


def title(value: Any) -> str:
    """``| title``."""
    return _kept(_title)(value)


def _title(text: str) -> str:
    spend(2 * len(text), 16 * len(text))
    return _TITLE.sub(lambda word: word[0][:1].upper() + word[0][1:].lower(), text)


def trim(value: Any, chars: Any = None) -> str:
    """``| trim``."""
    return _kept(stripped)(value, chars)


def center(value: Any, width: Any = 80) -> str:
    """The filter ``center(80)``."""
    text = to_text(value)
    spend_text(len(text) + sane(width))
    return text.center(sane(width))


def _indent(text: str, size: Any = 4, first: bool = False, blank: bool = False) -> str:
    pad = to_text(size) if isinstance(size, str) else " " * sane(size, _MAX_LINES_WIDTH)
    if len(pad) > _MAX_LINES_WIDTH:
        raise Refused(f"an indent is at most {_MAX_LINES_WIDTH} wide")
    lines = text.count("\n") + 1
    spend(lines, 64 * lines)
    spend_text(len(text) + lines * len(pad))
    rows = text.split("\n")
    done = [pad + row if (row or blank) and (number or first) else row for number, row in enumerate(rows)]
    return "\n".join(done)


def indent(value: Any, width: Any = 4, first: Any = False, blank: Any = False) -> str:
    """The filter ``indent(4)``."""
    return _kept(_indent)(value, width, bool(first), bool(blank))


def truncate(value: Any, length: Any = 255, killwords: Any = False, end: Any = "...", leeway: Any = 5) -> str:
    """The filter ``truncate(80)``."""
    text, tail = to_text(value), to_text(end)
    length, leeway = sane(length, 10_000_000), sane(leeway, 10_000_000)
    if len(text) <= length + leeway:
        return text
    if length < len(tail):
        raise Refused("a text cannot be cut shorter than its ending")
    cut = text[: length - len(tail)]
    if not killwords:
        cut = cut.rsplit(" ", 1)[0]
    spend_text(2 * len(cut))
    return cut + tail


def wordcount(value: Any) -> int:
    """``| wordcount``."""
    text = to_text(value)
    spend(len(text))
    return sum(1 for _ in _WORD.finditer(text))


def wordwrap(
    value: Any,
    width: Any = 79,
    break_long_words: Any = True,
    wrapstring: Any = None,
    break_on_hyphens: Any = True,
) -> str:
    """The filter ``wordwrap(72)``: lines of at most so many characters, broken at spaces."""
    text, size = to_text(value), sane(width)
    between = "\n" if wrapstring is None else to_text(wrapstring)
    if size < 1:
        raise Refused("a line is at least one character wide")
    spend(len(text), 80 * (len(text) // 2 + 1))
    lines = [
        line for paragraph in text.splitlines() for line in _wrapped(paragraph, size, bool(break_long_words))
    ]
    spend_text(len(text) + len(lines) * len(between))
    return between.join(lines)


def _wrapped(paragraph: str, size: int, cut: bool) -> list[str]:
    lines: list[str] = []
    row: list[str] = []
    used = 0
    for word in paragraph.split():
        if used and used + 1 + len(word) > size:
            lines.append(" ".join(row))
            row, used = [], 0
        if cut and len(word) > size:
            whole = len(word) // size * size
            lines.extend(word[start : start + size] for start in range(0, whole, size))
            word = word[whole:]
            if not word:
                continue
        used += len(word) + (1 if row else 0)
        row.append(word)
    if row or not lines:
        lines.append(" ".join(row))
    return lines


def striptags(value: Any) -> str:
    """``| striptags``: the text of some markup, its spaces collapsed."""
    text = to_text(value)
    spend(len(text) >> 1, 8 * len(text))
    parts: list[str] = []
    at = 0
    # each search goes on where the last one ended: removing in place would take the square of the length
    while (start := text.find("<", at)) >= 0:
        parts.append(text[at:start])
        close = "-->" if text.startswith("<!--", start) else ">"
        end = text.find(close, start)
        if end < 0:
            parts.append(text[start:])
            at = len(text)
            break
        spend(1, 64)
        at = end + len(close)
    parts.append(text[at:])
    return unescape(" ".join("".join(parts).split()))


def urlencode(value: Any) -> str:
    """``| urlencode``: a text, or the pairs of a mapping as a query."""
    if isinstance(value, Mapping | list | tuple):
        pairs = list(value.items()) if isinstance(value, Mapping) else list(value)
        spend(20 * len(pairs), 64 * len(pairs))
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise Refused("urlencode wants a text, a mapping or a list of pairs")
        return Encoded("&".join(f"{percent(key)}={percent(found)}" for key, found in pairs))
    return Encoded(percent(value))


def percent(value: Any) -> str:
    """The text of a value, percent-encoded but for letters, digits and ``-._~`` (RFC 3986 section 2.3)."""
    text = to_text(value)
    spend(len(text) >> 2, 16 * len(text) if len(text) > 64 else 0)
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise Refused("the value holds half a character and cannot stand in a URL") from None


def urlize(
    value: Any, trim_url_limit: Any = None, nofollow: Any = False, target: Any = None, rel: Any = None
) -> str:
    """``| urlize``: web addresses in a text become links; the rest is escaped."""
    text = to_text(value)
    if len(text) > _MOST_LINKED:
        raise Refused(f"urlize takes at most {_MOST_LINKED} characters")
    spend(len(text), 4 * len(text))
    rels = " ".join(filter(None, ["noopener", "nofollow" if nofollow else "", to_text(rel) if rel else ""]))
    more = f' rel="{escape(rels)}"' + (f' target="{escape(to_text(target))}"' if target else "")
    limit = sane(trim_url_limit) if trim_url_limit is not None else None
    parts: list[str] = []
    at = 0
    for match in _LINK.finditer(text):
        url = match[0].rstrip(".,:;!?)]}")
        shown = url if limit is None or len(url) <= limit else url[:limit] + "..."
        href = url if url.startswith("http") else f"https://{url}"
        spend_text(len(more) + 8 * len(url) + 200)
        parts += [to_html(text[at : match.start()]), f'<a href="{escape(href)}"{more}>{escape(shown)}</a>']
        at = match.start() + len(url)
    parts.append(to_html(text[at:]))
    return Html("".join(parts))


def xmlattr(value: Any, autospace: Any = True) -> str:
    """``| xmlattr``: a mapping as attributes of an element; null and unknown values are left out."""
    if not isinstance(value, Mapping):
        raise Refused(f"{describe(value)} has no keys")
    parts: list[str] = []
    for key, found in value.items():
        spend(15, 64)
        if found is None or isinstance(found, Undefined):
            continue
        name = to_text(key)
        if re.search(r"[\s/>=\"'<]", name) or not name:
            raise Refused("the name of an attribute holds a space or a sign")
        parts.append(f'{escape(name)}="{to_html(to_text(found))}"')
    spend_text(sum(map(len, parts)) + len(parts))
    return Html((" " if autospace and parts else "") + " ".join(parts))


def to_int(value: Any, default: Any = 0, base: Any = 10) -> Any:
    """``| int``."""
    if isinstance(value, Undefined):
        str(value)
    try:
        if isinstance(value, str):
            text = to_text(value).strip()
            if len(text) > 1000:
                return default
            try:
                return int(text, sane(base, 36))
            except ValueError:
                return int(float(text))
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default


def to_float(value: Any, default: Any = 0.0) -> Any:
    """``| float``."""
    if isinstance(value, Undefined):
        str(value)
    try:
        return float(to_text(value)[:1000] if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return default


def number(value: Any) -> int | float:
    """The value, if it is a number."""
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, int | float):
        return bounded(value) if isinstance(value, int) else value
    raise Refused(f"a number is wanted here, not {describe(value)}", "| int or | float makes one of a text")


def rounded(value: Any, precision: Any = 0, method: Any = "common") -> Any:
    """The filter ``round(2)``."""
    found = number(value)
    if not isinstance(precision, int) or not -20 <= precision <= 20:
        raise Refused("a number is rounded to between -20 and 20 digits")
    if method == "common":
        return round(float(found), precision) if isinstance(found, float) or precision <= 0 else found
    if method not in ("ceil", "floor"):
        raise Refused('a number is rounded "common", "ceil" or "floor"')
    if not isfinite(found):
        return found
    function = ceil if method == "ceil" else floor
    return function(found * 10**precision) / 10**precision


def filesizeformat(value: Any, binary: Any = False) -> str:
    """``| filesizeformat``: 13.0 kB, 4.1 MB."""
    size = float(value) if isinstance(value, str) and len(value) < 50 else float(number(value))
    base = 1024 if binary else 1000
    if abs(size) < base:
        return f"{int(size)} Byte{'' if size == 1 else 's'}"
    units = ("KiB", "MiB", "GiB", "TiB", "PiB") if binary else ("kB", "MB", "GB", "TB", "PB")
    unit = units[0]
    for unit in units:  # noqa: B007  (the last one is used)
        size /= base
        if abs(size) < base:
            break
    return f"{size:.1f} {unit}"


def html_json(value: Any, indent: Any = None) -> str:
    """``| tojson`` in HTML: safe inside a script or an attribute."""
    text = to_json(value, indent)
    spend_text(len(text) + 5 * sum(text.count(mark) for mark in "<>&'"))
    for mark in "<>&'":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Html(text)
