"""How many intents stand open at a time: enough that no connection waits for a commit, and no more.

What is open when the process is killed is unknown afterwards. So the window is narrow, and widens only where the mail
server is so quick that connections run dry while a commit is under way.
"""

from __future__ import annotations

NARROW, WIDE = 4, 10
"""Intents a connection, at least and at most: one message on its way, one whose commands ride behind that one's end,
and as many at hand while the next ones are committed.
"""
_CALM = 50
"""Commits after which a window that was wide enough is made narrower again."""


class Window:
    """``size`` is how many intents may stand open, ``enough`` how many outcomes are worth a commit."""

    def __init__(self) -> None:
        self._connections = self._deep = 1
        self._each = NARROW
        self._calm = 0

    def use(self, connections: int, chunking: int) -> None:
        """For so many connections, each with ``chunking`` messages on their way, 0 for one."""
        self._connections, self._deep = connections, max(1, chunking)

    @property
    def size(self) -> int:
        """Intents."""
        return self._connections * self._each * self._deep

    @property
    def enough(self) -> int:
        """Outcomes."""
        return max(1, self.size // 2)

    def committed(self, flying: int, waiting: bool) -> None:
        """A commit has ended while ``flying`` messages were on their way, and there were more ``waiting`` or not."""
        if flying >= self._connections or not waiting:
            self._calm += 1
            if self._calm >= _CALM:
                self._each, self._calm = max(NARROW, self._each - 1), 0
        else:
            self._each, self._calm = min(WIDE, self._each + 1), 0
