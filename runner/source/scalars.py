"""Plain scalars by the core schema of YAML 1.2 (10.3.2): what is not plainly something else is text."""

from __future__ import annotations

import re

from runner.source.limits import MAX_DIGITS

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | float | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".nan": float("nan"),
    ".NaN": float("nan"),
    ".NAN": float("nan"),
}
for _sign, _infinity in (("", float("inf")), ("+", float("inf")), ("-", float("-inf"))):
    for _word in (".inf", ".Inf", ".INF"):
        _WORDS[_sign + _word] = _infinity

_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_OCTAL = re.compile(r"0o[0-7]+", re.ASCII)
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_STARTS_NUMBER = frozenset("+-.0123456789")


class NumberTooLong(ValueError):
    """A number with more digits than any use of it could want, or one that only infinity could hold."""


def resolve(text: str) -> Scalar:
    """What the plain scalar ``text`` stands for; raises NumberTooLong."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(_short(text))
    if _OCTAL.fullmatch(text):
        return int(_short(text)[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(_short(text)[2:], 16)
    if _FLOAT.fullmatch(text):
        number = float(_short(text))
        if number in (float("inf"), float("-inf")):
            raise NumberTooLong
        return number
    return text


def _short(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise NumberTooLong
    return text
