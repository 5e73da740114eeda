"""One row of a batch's data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.errors import FlowpostError


@dataclass(frozen=True, slots=True, init=False)
class Row:
    """A row as it was read.

    ``number`` counts data rows from 1, ``line`` is the physical line it begins at. ``error`` says why a row cannot
    be used; ``body`` is empty then.
    """

    number: int
    line: int
    body: dict[str, Any]
    error: FlowpostError | None

    def __init__(
        self, number: int, line: int, body: dict[str, Any], error: FlowpostError | None = None
    ) -> None:
        # There is one of these a row: the __init__ that dataclass makes for a frozen class takes twice the time.
        _set_number(self, number)
        _set_line(self, line)
        _set_body(self, body)
        _set_error(self, error)


_set_number = Row.__dict__["number"].__set__
_set_line = Row.__dict__["line"].__set__
_set_body = Row.__dict__["body"].__set__
_set_error = Row.__dict__["error"].__set__
