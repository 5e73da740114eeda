"""One row of JSON: an object, bounded, and without what two readers would read as two things (RFC 8259, RFC 7493)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from runner.errors import FlowpostError, UsageError
from runner.rows.limits import MAX_DEPTH, MAX_DIGITS
from runner.rows.row import Row
from runner.rows.words import kind_of, shown

_HALF = re.compile(r"[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_INFINITE = (float("inf"), float("-inf"))


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a record is no row."""

    what: str
    hint: str | None = None

    def error(self, number: int, line: int) -> FlowpostError:
        """The error of the row."""
        return UsageError(f"row {number} (line {line}) {self.what}", hint=self.hint)


def row_of(number: int, line: int, record: dict[str, Any] | Flaw) -> Row:
    """The record as a row."""
    if isinstance(record, Flaw):
        return Row(number, line, {}, record.error(number, line))
    return Row(number, line, record)


class Records:
    """Decodes records one after the other; for one thread.

    What is JSON but no good row is noted and told, not raised, so that an array can be read on behind it.
    """

    def __init__(self) -> None:
        self._flaws: list[Flaw] = []
        self._decode = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_float=self._float,
            parse_constant=self._constant,
        ).raw_decode

    def decode(self, text: str, start: int) -> tuple[dict[str, Any] | Flaw, int]:
        """The record at ``start`` (no white space) and where it ends; JSONDecodeError, RecursionError."""
        self._flaws.clear()
        value, end = self._decode(text, start)
        if not isinstance(value, dict):
            return Flaw(
                f"is {kind_of(value)}, expected an object", 'write each row as {"email": "ann@example.com"}'
            ), end
        if self._flaws:
            return self._flaws[0], end
        if text.count("{", start, end) + text.count("[", start, end) > MAX_DEPTH and _too_deep(value):
            return TOO_DEEP, end
        if text.find("\\u", start, end) >= 0 and _ESCAPED_HALF.search(text, start, end) and _has_half(value):
            return Flaw(
                "holds half of a surrogate pair", "write the character itself, or both escapes of the pair"
            ), end
        return value, end

    def _note(self, what: str, hint: str) -> None:
        self._flaws.append(Flaw(what, hint))

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in value if keys.count(key) > 1)
            self._note(f"holds the key {shown(twice)} twice", "keep one of them")
        return value

    def _integer(self, digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            self._note(f"holds a number of more than {MAX_DIGITS:,} digits", "write it as a text")
            return 0
        return int(digits)

    def _float(self, digits: str) -> float:
        value = float(digits)
        if value in _INFINITE:
            self._note("holds a number that is too large", "write it as a text")
        return value

    def _constant(self, word: str) -> None:
        self._note(f"holds {word}, which is no number of JSON", "write null, or leave the key out")


TOO_DEEP = Flaw(
    f"is nested more than {MAX_DEPTH} levels deep", "a row is an object with a few levels at most"
)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
            below += [part for part in inner if isinstance(part, dict | list)]
        if not below:
            return False
        level = below
    return True


def _has_half(value: object) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and _HALF.search(item):
            return True
    return False
