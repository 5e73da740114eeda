"""A user's own words, and the names of values, inside a message."""

from __future__ import annotations


def shown(text: str, most: int = 60) -> str:
    """``text`` in double quotes, at most ``most`` characters of it, what cannot be printed written as an escape."""
    short = text if len(text) <= most else text[:most] + "…"
    if not short.isprintable():
        short = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in short)
    return f'"{short}"'


def kind_of(value: object) -> str:
    """What JSON calls ``value``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
    return "an object"


def counted(number: int, noun: str) -> str:
    """``1 field``, ``4 fields``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
