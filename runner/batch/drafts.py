"""Messages that were written before their rows' turn: by the look at every row, and by the second process."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

from runner.batch.carriage import Elsewhere, Entry, Written

if TYPE_CHECKING:
    from runner.batch.second import Second
    from runner.rows import Row

STRETCH = 10
"""Rows that the second process writes at a time: its connections wait meanwhile."""


class Drafts:
    """``take`` gives a row's message, if there is one already.

    Of each chunk that is claimed the second process, if there is one, writes the latter half, while the first one
    writes what it meets from the front. A row that both have written leaves as the first one wrote it.
    """

    def __init__(self, kept: dict[int, Written], excluded: Container[int], second: Second | None) -> None:
        """``kept`` is used up. ``excluded`` rows are left out, whatever they hold."""
        self._kept = kept
        self._excluded = excluded
        self._second = second
        self._awaited: set[int] = set()

    def take(self, number: int) -> Written | None:
        """The row's message; None when it is still to be written."""
        self._awaited.discard(number)
        return self._kept.pop(number, None)

    def claimed(self, rows: Sequence[Row]) -> None:
        """These rows come next."""
        if self._second is None:
            return
        ahead = [row.number for row in rows[len(rows) // 2 :] if row.number not in self._kept]
        for first, last in _stretches(ahead):
            self._awaited.update(range(first, last + 1))
            self._second.fill(first, last).add_done_callback(partial(self._written, first))

    def _written(self, first: int, filled: asyncio.Future[list[Entry]]) -> None:
        if filled.exception() is not None:
            return
        for number, entry in enumerate(filled.result(), first):
            # What is wrong with a row, or that it has no message, is found again when its turn comes.
            if number in self._awaited and isinstance(entry, Elsewhere) and number not in self._excluded:
                self._kept[number] = entry
            self._awaited.discard(number)


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of those in ``numbers`` that follow each other, cut into pieces."""
    first: int | None = None
    for number, after in zip_longest(numbers, numbers[1:]):
        first = number if first is None else first
        if after != number + 1 or after - first == STRETCH:
            yield first, number
            first = None
