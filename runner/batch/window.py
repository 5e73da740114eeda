"""How many intents stand open at a time: enough that no connection waits for a commit, and no more.

What is open when the process is killed is unknown afterwards, where nobody has noted what had left. So the window is
as wide as the mail server is quick: narrow where a message takes its time, wide where connections would run dry while
a commit is under way.
"""

from __future__ import annotations

NARROW, WIDE = 4, 30
"""Intents a connection, at least and at most: one message on its way, one whose commands ride behind that one's end,
and as many at hand while the next ones are committed.
"""
_AHEAD = 0.06
"""Seconds of a connection's work that may stand open: a commit, and the way there and back."""
_EVERY = 0.1
"""Seconds between two looks at how quick the server is; fewer where a whole window has landed sooner."""
_SOONEST = 0.01
"""Seconds between two looks at least: answers that come at once say nothing of how quick the server is."""


class Window:
    """``size`` is how many intents may stand open, ``enough`` how many outcomes are worth a commit."""

    def __init__(self) -> None:
        self._connections = 1
        self._least = self._each = NARROW
        self._landed = 0
        self._looked = 0.0

    def use(self, connections: int, chunking: int) -> None:
        """For so many connections, each with ``chunking`` messages on their way, 0 for one."""
        self._connections = connections
        # As many again at hand as are on their way.
        self._least = max(NARROW, 2 * chunking)
        self._each = max(self._each, self._least)

    @property
    def size(self) -> int:
        """Intents."""
        return self._connections * self._each

    @property
    def enough(self) -> int:
        """Outcomes."""
        return max(1, self.size // 2)

    def landed(self, now: float) -> None:
        """One more message has its outcome, at ``now`` in seconds."""
        self._landed += 1
        since = now - self._looked
        if since >= _EVERY or (self._landed >= self.size and since >= _SOONEST):
            each = self._landed / since / self._connections * _AHEAD
            self._each = max(self._least, min(round(each), WIDE))
            self._landed, self._looked = 0, now
