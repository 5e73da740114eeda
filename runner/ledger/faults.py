"""What databases say when they cannot take a write, in our words."""

from __future__ import annotations

from runner.errors import Unavailable

_SIGNS = (
    ("disk is full", "has no room left: the disk is full"),
    ("no space left", "has no room left: the disk is full"),
    ("readonly", "is read-only"),
    ("read-only", "is read-only"),
    ("disk i/o error", "cannot be written: the disk reports an error"),
    ("unable to open", "file cannot be opened"),
    ("malformed", "file is damaged"),
    ("not a database", "file is not a SQLite database"),
    ("locked", "is locked by another process"),
)


def told(text: str) -> Unavailable | None:
    """The error for a driver's ``text``; None when it is of no known kind."""
    lower = text.lower()
    for sign, words in _SIGNS:
        if sign in lower:
            return Unavailable(f"the database {words}")
    return None
