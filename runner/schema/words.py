"""Words for people: kinds of values, quoted words, and the nearest of the words that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from typing import Any

_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def kinds(names: Iterable[str]) -> str:
    """JSON Schema's type names as a person says them: ``text or a list``."""
    words = [_KINDS.get(name, name) for name in names]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def kind_of(value: Any) -> str:
    """What kind ``value`` is."""
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case bytes():
            return "bytes"
        case list() | tuple() | range():
            return "a list"
        case Mapping():
            return "a mapping"
        case None:
            return "nothing"
        case date() | time():
            return "a date"
    return "something else"


def quoted(word: object) -> str:
    """The user's own word in quotes, shortened, on one line."""
    text = str(word).replace("\n", " ")
    return f'"{text[:57]}…"' if len(text) > 60 else f'"{text}"'


def shown(value: Any, written: str = "") -> str:
    """A value as a person wrote it: texts in quotes, numbers and words bare, collections by their name."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    return written or str(value)


def nearest(word: str, words: Sequence[str]) -> str | None:
    """The one of ``words`` that ``word`` was probably meant to be."""
    from difflib import get_close_matches

    by_lower = {known.lower().replace("-", "_"): known for known in reversed(words)}
    found = get_close_matches(word.lower().replace("-", "_")[:100], list(by_lower), n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None
