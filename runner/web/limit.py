"""How many requests a hook takes: a bucket per path, which fills at a steady rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Rate = tuple[int, float]
"""So many requests in so many seconds."""


class Limiter:
    """A rate for each key: its count of requests in its seconds, as many at once.

    Callers pass keys of a closed set (the paths of hooks), so that nobody can fill the memory with new ones.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, tuple[Rate, float]] = {}

    def wait(self, key: str, rate: Rate) -> int:
        """0 when a request may pass now, which it then has; else the whole seconds until one may.

        A key whose rate is another one than before begins anew.
        """
        count, seconds = rate
        now = self._clock()
        known, full_at = self._full_at.get(key, (rate, now))
        at = max(full_at, now) if known == rate else now
        late = at + seconds / count - now - seconds
        if late > 1e-9:
            return max(1, math.ceil(late))
        self._full_at[key] = rate, at + seconds / count
        return 0
