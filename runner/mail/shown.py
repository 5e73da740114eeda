"""A user's own words inside a message: quoted, short, and without a raw control character."""

from __future__ import annotations

_MOST = 80


def shown(text: str, most: int = _MOST) -> str:
    """``text`` in double quotes, at most ``most`` characters of it, what cannot be printed written as an
    escape.

    Error texts end in terminals and log files, where a raw escape sequence would be an attack.
    """
    short = text if len(text) <= most else text[:most] + "…"
    if not short.isprintable():
        short = "".join(char if char.isprintable() else _escape(char) for char in short)
    return f'"{short}"'


def _escape(char: str) -> str:
    return (
        char.encode("ascii", "backslashreplace").decode("ascii") if ord(char) > 127 else f"\\x{ord(char):02x}"
    )
