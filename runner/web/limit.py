"""How many requests a hook takes: a bucket per path, which fills at a steady rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Limiter:
    """``count`` requests per ``seconds`` seconds for each key, as many at once.

    Callers pass keys of a closed set (the paths of hooks), so that nobody can fill the memory with new ones.
    """

    def __init__(self, count: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = seconds / count
        self._burst = seconds
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def wait(self, key: str) -> int:
        """0 when a request may pass now, which it then has; else the whole seconds until one may."""
        now = self._clock()
        at = max(self._full_at.get(key, now), now)
        late = at + self._interval - now - self._burst
        if late > 1e-9:
            return max(1, math.ceil(late))
        self._full_at[key] = at + self._interval
        return 0
