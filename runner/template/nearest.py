"""The nearest name that exists, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_MOST = 200
_LONGEST = 60


def nearest(name: str, known: Iterable[object]) -> str | None:
    """The name among ``known`` that ``name`` was probably meant to be; None when nothing is near."""
    import difflib

    # names may be the keys of a body that anyone sent: few and short, since comparing is slow
    names = [key for key in islice(known, _MOST) if isinstance(key, str) and len(key) <= _LONGEST]
    for key in names:
        if key.casefold().replace("-", "_") == name.casefold().replace("-", "_"):
            return readable(key)
    close = difflib.get_close_matches(name[:_LONGEST], names, n=1, cutoff=0.6)
    return readable(close[0]) if close else None


def readable(name: str) -> str:
    """A name that may come from anyone, for a message: short, and without line ends or control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:_LONGEST])


def quoted(names: Iterable[object], most: int = 10) -> str:
    """Some of ``names`` in a row, for a hint."""
    shown = [readable(name) for name in islice(names, most + 1) if isinstance(name, str)]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")
