"""What the readers of the formats and the file have in common: marks, blocks, and the contract of a format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from runner.errors import UsageError
from runner.rows.limits import MAX_ROW
from runner.rows.row import Row


class Mark(NamedTuple):
    """A place between two rows: the next row's number, and the line and the octet at which reading goes on.

    ``stage`` is the format's own: where in a JSON array it is.
    """

    number: int
    line: int
    offset: int
    stage: int = 0


class Block(NamedTuple):
    """The rows that stand wholly in a piece of the file, as the format parsed them, and where each begins."""

    records: Sequence[Any]
    starts: Sequence[int]
    octets: int
    lines: int
    stage: int = 0

    def after(self, mark: Mark) -> Mark:
        """The place behind a block that began at ``mark``."""
        return Mark(
            mark.number + len(self.records), mark.line + self.lines, mark.offset + self.octets, self.stage
        )


class Format(Protocol):
    """How octets become rows. Holds no state: any thread may read any place."""

    def cut(self, data: bytes, mark: Mark, last: bool) -> Block | None:
        """The whole rows at the beginning of ``data``; None when that is less than one row.

        ``last``: the file ends with ``data``. Raises UsageError when the rest of the file cannot be read.
        """

    def rows(self, block: Block, mark: Mark, first: int, last: int) -> Iterator[Row]:
        """The rows ``first`` to ``last`` (numbers of the file) of a block that began at ``mark``."""


def within(block: Block, mark: Mark, first: int, last: int) -> tuple[int, slice]:
    """The first number, and the part of the block's lists, that ``first`` to ``last`` mean."""
    begin = max(first - mark.number, 0)
    return mark.number + begin, slice(begin, last - mark.number + 1)


def broken(name: str, line: int, what: str, hint: str | None = None) -> UsageError:
    """The error of a file that cannot be read on from ``line``."""
    return UsageError(f"{name}:{line}: {what}", hint=hint)


def too_long(name: str, line: int, number: int, hint: str) -> UsageError:
    """The error of a row that is longer than MAX_ROW."""
    return broken(name, line, f"row {number} is longer than 1 MiB ({MAX_ROW:,} octets)", hint)


def vanished(name: str) -> UsageError:
    """The error of a file that was shortened or rewritten between two looks."""
    return UsageError(f"{name} changed while it was read", hint="leave the file alone while the batch runs")
