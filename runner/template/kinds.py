"""The kinds of field a template can fill, and where a template's text stands."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from runner.diagnostic import Position


class Kind(StrEnum):
    """What a field does with the values in it."""

    TEXT = "text"
    """One expression alone keeps its native type; text around it makes it a string."""
    HTML = "html"
    """Values are escaped; ``| safe`` opts out."""
    URL = "url"
    """Values are percent-encoded, except one that is the whole URL."""
    ADDRESS = "address"
    """The author's text and the values stay apart: ``model.Pieces``."""
    PATH = "path"
    """A file of the workspace. The author's text and the values stay apart, as in an address."""
    EXPRESSION = "expression"
    """``when`` and ``for_each``: one expression, with or without delimiters, of native type."""


LIMITS = {
    Kind.TEXT: 10_000_000,
    Kind.HTML: 10_000_000,
    Kind.URL: 65_536,
    Kind.ADDRESS: 1_000_000,
    Kind.PATH: 65_536,
    Kind.EXPRESSION: 10_000_000,
}
"""Characters that a rendered field may have, where the caller names no limit of its own."""


class Where(NamedTuple):
    """Where a template's text stands.

    ``path`` is the file as people write it, ``field`` the dotted name of the field (``smtp.subject``), and
    ``locate(line, column)`` maps a place in the template's text, counted from 1, to its place in the file.
    """

    path: str
    field: str
    locate: Callable[[int, int], Position]


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at ``offset``."""
    offset = max(0, min(offset, len(text)))
    line_start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - line_start + 1
