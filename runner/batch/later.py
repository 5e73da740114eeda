"""Rows that wait for another attempt, the one whose turn comes first on top."""

from __future__ import annotations

import heapq
import itertools

from runner.batch.feed import Item

MOST = 20_000
"""Rows that wait at most; then no new ones are begun, so that memory stays bounded."""


class Later:
    """Moments are the caller's clock's."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def full(self) -> bool:
        """Whether nothing new may be begun."""
        return len(self._heap) >= MOST

    def put(self, moment: float, item: Item) -> None:
        """Wait until ``moment``; of two with the same, the first comes first."""
        heapq.heappush(self._heap, (moment, next(self._order), item))

    def due(self, now: float) -> Item | None:
        """A row whose moment has come."""
        return heapq.heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now else None

    def wait(self, now: float) -> float | None:
        """Seconds until the next one is due; None when none waits."""
        return max(0.0, self._heap[0][0] - now) if self._heap else None
