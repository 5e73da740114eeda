"""One row of a batch's data."""

from __future__ import annotations

from typing import Any, NamedTuple

from runner.errors import FlowpostError


class Row(NamedTuple):
    """A row as it was read.

    ``number`` counts data rows from 1, ``line`` is the physical line it begins at. ``error`` says why a row cannot
    be used; ``body`` is empty then.
    """

    number: int
    line: int
    body: dict[str, Any]
    error: FlowpostError | None = None
