"""The methods that a template may call on a value, and nothing else: a list, not a filter of what Python has.

Each is bounded in what it makes and in how long it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from runner.template.budget import Refused, spend, spend_text
from runner.template.dates import strftime
from runner.template.operators import contains, hashable
from runner.template.values import Html, describe, to_html, to_text, weigh

_MAX_WIDTH = 10_000
_ENCODINGS = frozenset(
    {"utf-8", "utf8", "ascii", "us-ascii", "latin-1", "latin1", "iso-8859-1", "cp1252", "utf-16"}
)
_QUESTIONS = (
    "isdigit",
    "isalpha",
    "isalnum",
    "isnumeric",
    "isdecimal",
    "isspace",
    "isupper",
    "islower",
    "istitle",
    "isascii",
    "isidentifier",
)
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def _cased(name: str) -> Callable[[str], str]:
    function: Callable[[str], str] = getattr(str, name)

    def method(text: str) -> str:
        # Python takes twelve bytes a character to change the case of a text that is not ASCII
        spend(len(text) >> 4, len(text) if text.isascii() else 16 * len(text))
        return function(text)

    return method


def _asked(name: str) -> Callable[[str], bool]:
    function: Callable[[str], bool] = getattr(str, name)

    def method(text: str) -> bool:
        spend(len(text) >> 5)
        return function(text)

    return method


def stripped(text: str, characters: str | None, how: str = "strip") -> str:
    """``text.strip(characters)`` and its two halves."""
    spend_text(len(text), not text.isascii())
    if characters is not None:
        characters = _text(characters)
        if len(characters) > 100:
            raise Refused("strip takes at most 100 characters to strip")
    function: Callable[[str, str | None], str] = getattr(str, how)
    return function(text, characters)


def _search(name: str, backwards: bool) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(str, name)

    def method(text: str, part: str, start: int | None = None, end: int | None = None) -> Any:
        part = _text(part)
        _pay_search(text, part, backwards)
        try:
            return function(text, part, start, end)
        except ValueError:
            raise Refused("the text that is searched for is not there") from None

    return method


def _pay_search(text: str, part: str, backwards: bool) -> None:
    # searching from the end, Python compares all of the part at each place
    spend(1 + ((len(text) * (len(part) if backwards else 1)) >> 5))


def _affix(name: str) -> Callable[..., bool]:
    function: Callable[..., bool] = getattr(str, name)

    def method(
        text: str, part: str | tuple[str, ...], start: int | None = None, end: int | None = None
    ) -> bool:
        if isinstance(part, list | tuple):
            spend(len(part))
            return function(text, tuple(_text(one) for one in part), start, end)
        return function(text, _text(part), start, end)

    return method


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"a text is wanted here, not {describe(value)}")
    return to_text(value)


def replace(text: str, old: Any, new: Any, count: int = -1) -> str:
    """``text.replace(old, new, count)``; the result is ``Html`` when the text is."""
    html = type(text) is Html
    before = to_html(old) if html else to_text(old)
    after = to_html(new) if html else to_text(new)
    whole = to_text(text)
    spend(1 + (len(whole) >> 5))
    times = whole.count(before) if before else len(whole) + 1
    if count is not None and count >= 0:
        times = min(times, count)
    more = max(len(after) - len(before), 0)
    spend_text(len(whole) + times * more, not (whole.isascii() and after.isascii()))
    result = str.replace(whole, str.__str__(before), str.__str__(after), -1 if count is None else count)
    return Html(result) if html else result


def split(text: str, separator: str | None = None, maxsplit: int = -1, how: str = "split") -> list[str]:
    """``text.split(separator, maxsplit)``."""
    if separator is None:
        pieces = len(text) // 2 + 1
    else:
        separator = _text(separator)
        if not separator:
            raise Refused("a text cannot be split at an empty separator")
        _pay_search(text, separator, how == "rsplit")
        pieces = text.count(separator) + 1
    if maxsplit >= 0:
        pieces = min(pieces, maxsplit + 1)
    spend(pieces, 64 * pieces + len(text))
    function: Callable[..., list[str]] = getattr(str, how)
    return function(text, separator, maxsplit)


def _splitlines(text: str, keepends: bool = False) -> list[str]:
    pieces = 1 + sum(text.count(mark) for mark in _BREAKS)
    spend(pieces, 64 * pieces + len(text))
    return text.splitlines(bool(keepends))


def _partition(name: str) -> Callable[[str, str], list[str]]:
    function: Callable[[str, str], tuple[str, str, str]] = getattr(str, name)

    def method(text: str, separator: str) -> list[str]:
        separator = _text(separator)
        if not separator:
            raise Refused("a text cannot be split at an empty separator")
        _pay_search(text, separator, name == "rpartition")
        spend_text(len(text), not text.isascii())
        return list(function(text, separator))

    return method


def width(number: Any, most: int = _MAX_WIDTH) -> int:
    """A width that a template asks for, if it is a sane one."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise Refused(f"a width is a whole number, not {describe(number)}")
    if number > most:
        raise Refused(f"a width is at most {most}")
    return max(number, 0)


def _justified(name: str) -> Callable[..., str]:
    function: Callable[..., str] = getattr(str, name)

    def method(text: str, size: int, fill: str = " ") -> str:
        fill = _text(fill)
        if len(fill) != 1:
            raise Refused("the character to fill with is one character")
        size = width(size)
        spend_text(len(text) + size)
        return function(text, size, fill)

    return method


def _zfill(text: str, size: int) -> str:
    size = width(size)
    spend_text(len(text) + size)
    return text.zfill(size)


def _expandtabs(text: str, size: int = 8) -> str:
    size = width(size, 100)
    spend_text(len(text) + text.count("\t") * size)
    return text.expandtabs(size)


def join(values: Iterable[Any], separator: Any = "") -> str:
    """The texts of ``values`` with ``separator`` between; ``Html`` when any of them is."""
    parts = items(values)
    html = type(separator) is Html or any(type(value) is Html for value in parts)
    between = str.__str__(to_html(separator)) if html else to_text(separator)
    spend(4 * len(parts))
    texts = [to_html(value) if html else to_text(value) for value in parts]
    spend_text(sum(map(len, texts)) + len(between) * max(len(texts) - 1, 0))
    result = str.join(between, texts)
    return Html(result) if html else result


def items(values: Any) -> list[Any]:
    """The items of a list, the keys of a mapping, the characters of a text, as a list that is paid for."""
    if isinstance(values, str):
        values = to_text(values)
    elif not isinstance(values, list | tuple | range | Mapping):
        if isinstance(values, Iterable) and not isinstance(values, bytes):
            iter(values)  # an unknown name says so here
        raise Refused(f"{describe(values)} has no items", "a list is wanted here")
    try:
        size = len(values)
    except OverflowError:
        raise Refused("the range is too long") from None
    spend(1 + size, (8 if isinstance(values, list | tuple) else 60) * size)
    return list(values)


def _encode(text: str, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    spend_text(len(text))
    _encoding(encoding, errors)
    try:
        return text.encode(encoding, errors)
    except UnicodeError:
        raise Refused(f"the text cannot be written in {encoding}") from None


def _decode(data: bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    spend_text(len(data))
    _encoding(encoding, errors)
    try:
        return data.decode(encoding, errors)
    except UnicodeError:
        raise Refused(f"the bytes are not {encoding}") from None


def _encoding(encoding: Any, errors: Any) -> None:
    if not isinstance(encoding, str) or encoding.lower() not in _ENCODINGS:
        raise Refused("an encoding is utf-8, utf-16, ascii, latin-1 or cp1252")
    if errors not in ("strict", "ignore", "replace"):
        raise Refused('"errors" is strict, ignore or replace')


def _listed(mapping: Mapping[Any, Any], pick: Callable[[Mapping[Any, Any]], Iterable[Any]]) -> list[Any]:
    spend(1 + len(mapping), 72 * len(mapping))
    return list(pick(mapping))


def _index(values: list[Any], value: Any) -> int:
    if not contains(values, value):
        raise Refused("the value that is searched for is not in the list")
    return list(values).index(value)


def _count(values: list[Any], value: Any) -> int:
    contains(values, value)
    spend(weigh(value) * len(values))
    return list(values).count(value)


_STR: dict[str, Callable[..., Any]] = {
    **{name: _cased(name) for name in ("upper", "lower", "title", "capitalize", "casefold", "swapcase")},
    **{name: _asked(name) for name in _QUESTIONS},
    "strip": lambda text, characters=None: stripped(text, characters),
    "lstrip": lambda text, characters=None: stripped(text, characters, "lstrip"),
    "rstrip": lambda text, characters=None: stripped(text, characters, "rstrip"),
    "find": _search("find", False),
    "index": _search("index", False),
    "count": _search("count", False),
    "rfind": _search("rfind", True),
    "rindex": _search("rindex", True),
    "startswith": _affix("startswith"),
    "endswith": _affix("endswith"),
    "removeprefix": lambda text, prefix: text.removeprefix(_text(prefix)),
    "removesuffix": lambda text, suffix: text.removesuffix(_text(suffix)),
    "replace": replace,
    "split": split,
    "rsplit": lambda text, separator=None, maxsplit=-1: split(text, separator, maxsplit, "rsplit"),
    "splitlines": _splitlines,
    "partition": _partition("partition"),
    "rpartition": _partition("rpartition"),
    "ljust": _justified("ljust"),
    "rjust": _justified("rjust"),
    "center": _justified("center"),
    "zfill": _zfill,
    "expandtabs": _expandtabs,
    "join": lambda text, values: join(values, text),
    "encode": _encode,
}
_MAPPING: dict[str, Callable[..., Any]] = {
    "items": lambda mapping: _listed(mapping, lambda found: found.items()),
    "keys": lambda mapping: _listed(mapping, lambda found: found.keys()),
    "values": lambda mapping: _listed(mapping, lambda found: found.values()),
    "get": lambda mapping, key, default=None: mapping.get(hashable(key), default),
    "copy": lambda mapping: dict(_listed(mapping, lambda found: found.items())),
}
_LIST: dict[str, Callable[..., Any]] = {"index": _index, "count": _count, "copy": items}
_DATE: dict[str, Callable[..., Any]] = {
    "strftime": strftime,
    "isoformat": lambda moment: moment.isoformat(),
}
_DAY: dict[str, Callable[..., Any]] = {
    **_DATE,
    "weekday": lambda day: day.weekday(),
    "isoweekday": lambda day: day.isoweekday(),
}
_DATETIME: dict[str, Callable[..., Any]] = {
    **_DAY,
    "date": lambda moment: moment.date(),
    "time": lambda moment: moment.time(),
    "timestamp": lambda moment: moment.timestamp(),
}

# the first type that fits: datetime is a date, bool an int
METHODS: tuple[tuple[Any, dict[str, Callable[..., Any]]], ...] = (
    (str, _STR),
    (Mapping, _MAPPING),
    (list | tuple | range, _LIST),
    (datetime, _DATETIME),
    (date, _DAY),
    (time, _DATE),
    (timedelta, {"total_seconds": lambda span: span.total_seconds()}),
    (bytes, {"decode": _decode}),
    (float, {"is_integer": lambda number: number.is_integer()}),
)
NAMES = frozenset({"format"}.union(*(table for _, table in METHODS)))
"""Every method that some value has."""

ATTRIBUTES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (datetime, ("year", "month", "day", "hour", "minute", "second", "microsecond")),
    (date, ("year", "month", "day")),
    (time, ("hour", "minute", "second", "microsecond")),
    (timedelta, ("days", "seconds")),
)
