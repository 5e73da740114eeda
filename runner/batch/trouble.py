"""A server that is out of reach: everybody waits, one message finds out when it is back, and at last it is given up."""

from __future__ import annotations

from typing import Self

from runner.engine.retry import next_delay
from runner.errors import FlowpostError
from runner.model import Retry

PATIENCE = 300.0
"""Seconds for which a server that served before may be away."""
FIRST_PATIENCE = 30.0
"""The same for one that has not served yet: more likely it is a mistake."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Trouble:
    """Moments are the caller's clock's, in seconds."""

    def __init__(self, patience: float = PATIENCE, first_patience: float = FIRST_PATIENCE) -> None:
        self._patience = patience
        self._first = first_patience
        self._since: float | None = None
        self._pause = 0.0
        self._served = False
        self.until = 0.0

    @classmethod
    def of(cls, retry: Retry) -> Self:
        """As patient as the flow is with a row, within the bounds above."""
        total = sum(next_delay(retry, attempt, 0.5) or 0.0 for attempt in range(1, min(retry.attempts, 100)))
        return cls(min(PATIENCE, total), min(FIRST_PATIENCE, total))

    @property
    def there(self) -> bool:
        """Whether the last word of the server was none."""
        return self._since is not None

    def over(self) -> None:
        """The server has answered."""
        self._since, self._pause, self.until, self._served = None, 0.0, 0.0, True

    def met(self, now: float, error: FlowpostError) -> float | None:
        """A connection failed: seconds until the next try, None when it is time to give up."""
        if self._since is None:
            self._since = now
        if now >= self.until:
            self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
            self.until = now + self._pause
        if now - self._since > (self._patience if self._served else self._first):
            return None
        return self.until - now
