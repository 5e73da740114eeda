"""What a value may be inside a template, and what text it becomes. Anything else is refused, not printed.

Values are plain data. Everything built here is bounded: a list that holds itself thirty doublings deep is
small in memory and endless on paper, so it is counted item by item before anything is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from jinja2.runtime import LoopContext, Macro, StrictUndefined, Undefined
from jinja2.utils import Namespace, missing
from markupsafe import Markup, escape

from runner.template.budget import Refused, spend, spend_text

_MAX_DEPTH = 100
_MAX_BITS = 16_384
_ESCAPED = (("&", 4), ("<", 3), (">", 3), ('"', 4), ("'", 4))

SCALARS = frozenset(
    {str, int, float, bool, type(None), bytes, datetime, date, time, timedelta, Decimal, UUID}
)
"""Types that cost the same to compare or copy however they were made, their length apart."""


class Html(Markup):
    """Markup that a template's author vouches for. A ``Markup`` of any other class is text."""

    __slots__ = ()


class Group(tuple[Any, list[Any]]):
    """A group of ``| groupby``: unpacks as ``(grouper, list)``, and has both by name."""

    __slots__ = ()


class Unknown(Refused):
    """A name that does not exist was used: ``name`` in ``owner`` (``missing`` when it stands alone)."""

    def __init__(self, message: str, name: object, owner: object) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner


class Missing(StrictUndefined):
    """What an unknown name gives; every use but ``is defined`` and ``default`` raises Unknown."""

    __slots__ = ()

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = None
    ) -> None:
        super().__init__(hint, obj, name)
        self._undefined_exception = self._unknown  # type: ignore[assignment]

    def _unknown(self, message: str) -> Unknown:
        return Unknown(self._undefined_hint or message, self._undefined_name, self._undefined_obj)


def describe(value: object) -> str:
    """What a value is, in an author's words; never the value itself."""
    if isinstance(value, bool):
        return "a yes or no"
    for types, words in _WORDS:
        if isinstance(value, types):
            return words
    return "a function, which must be called" if callable(value) else "something that is no data"


_WORDS: tuple[tuple[Any, str], ...] = (
    (type(None), "null"),
    (str, "a text"),
    (int | float | Decimal, "a number"),
    (bytes, "bytes"),
    (Mapping, "a mapping"),
    (list | tuple | range, "a list"),
    (date | time, "a date"),
    (timedelta, "a duration"),
    (Macro, "a macro, which must be called"),
    (LoopContext, "the loop"),
    (Namespace, "a namespace"),
    (Undefined, "an unknown name"),
)


def to_text(value: Any) -> str:
    """The text of a value, at the cost of its size; raises Refused for what is no data."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return str.__str__(value)
    if kind is int:
        return str(bounded(value))
    if kind in (float, bool, type(None), datetime, date, time, timedelta, Decimal, UUID):
        return str(value)
    if isinstance(value, bytes):
        spend_text(len(value))
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Refused("bytes that are no UTF-8 cannot stand in a text") from None
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, Mapping | list | tuple | range):
        data, size, _ = measured(value)
        spend_text(2 * size, False)
        return str(data)
    raise Refused(f"{describe(value)} cannot stand in a text")


def to_html(value: Any) -> str:
    """The text of a value, escaped for HTML unless it is ``Html``."""
    if type(value) is Html:
        return value
    text = to_text(value)
    if len(text) > 4096:
        spend_text(len(text) + sum(text.count(mark) * more for mark, more in _ESCAPED), not text.isascii())
    return escape(text)


def bounded(number: int) -> int:
    """The number, if it is not absurdly long; writing one out takes time with the square of its length."""
    if number.bit_length() > _MAX_BITS:
        raise Refused(f"a number has more than {_MAX_BITS} bits")
    return number


def plain(value: Any) -> Any:
    """A value as native data: a range is a list, a mapping a ``dict``; no markup, no unknowns."""
    return measured(value)[0]


def measured(value: Any) -> tuple[Any, int, int]:
    """``plain``, about the number of bytes that it takes written out, and how deep it is nested."""
    total = [0, _MAX_DEPTH]
    return _plain(value, _MAX_DEPTH, total), total[0], _MAX_DEPTH - total[1]


def _plain(value: Any, depth: int, total: list[int]) -> Any:
    kind = type(value)
    if kind is str:
        total[0] += 12 + (len(value) if value.isascii() else 4 * len(value))
        return value
    total[0] += 12
    if kind is int:
        return bounded(value)
    if kind in SCALARS:
        return value
    if depth <= 0:
        raise Refused(f"a value is nested more than {_MAX_DEPTH} deep")
    total[1] = min(total[1], depth - 1)
    if isinstance(value, Mapping):
        spend(1 + 2 * len(value), 64 + 100 * len(value))
        return {_plain(key, depth - 1, total): _plain(item, depth - 1, total) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        spend(1 + 2 * len(value), 64 + (8 if kind is not range else 40) * len(value))
        if kind is tuple:
            return tuple([_plain(item, depth - 1, total) for item in value])
        return [_plain(item, depth - 1, total) for item in value]
    if isinstance(value, str):
        text = to_text(value)
        total[0] += 4 * len(text)
        return text
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, bool | int | float | bytes | date | time | timedelta | Decimal | UUID):
        return value
    raise Refused(f"{describe(value)} is not data")


def to_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON text; dates in ISO 8601. Raises Refused for bytes and what is no data."""
    if indent is not None and not 0 <= indent <= 16:
        raise Refused("an indent of JSON is 0 to 16")
    data, size, depth = measured(value)
    # each item stands on a line of its own, behind as many indents as it is deep
    spend_text(2 * size + size // 12 * (indent or 0) * depth, False)
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent, default=_json_default)
    except (TypeError, ValueError) as error:
        raise Refused(f"the value cannot be written as JSON: {error}") from None


def _json_default(value: object) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"{describe(value)} has no JSON form")


def weigh(value: Any, depth: int = _MAX_DEPTH) -> int:
    """Pay for walking through a value once, as a comparison would; returns the steps."""
    kind = type(value)
    if kind in SCALARS or isinstance(value, str):
        if kind is str and len(value) > 256:
            spend(len(value) >> 8)
            return 1 + (len(value) >> 8)
        return 1
    if depth <= 0:
        raise Refused(f"a value is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        spend(1 + len(value))
        return 1 + sum(weigh(item, depth - 1) for item in value.values())
    if isinstance(value, list | tuple):
        spend(1 + len(value))
        return 1 + sum(weigh(item, depth - 1) for item in value)
    return 1
