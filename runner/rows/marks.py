"""Places in a file that reading has passed, so that a row far behind is a seek the second time."""

from __future__ import annotations

import threading
from bisect import bisect_right

from runner.rows.block import Mark
from runner.rows.limits import MAX_MARKS


class Marks:
    """At most MAX_MARKS places, ever farther apart in a file that has more. Safe to share between threads."""

    def __init__(self, first: Mark) -> None:
        self._marks = [first]
        self._apart = 1
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._marks)

    def before(self, number: int) -> Mark:
        """The last place known at or before row ``number``."""
        with self._lock:
            return self._marks[max(bisect_right(self._marks, number, key=lambda mark: mark.number) - 1, 0)]

    def note(self, mark: Mark) -> None:
        """Reading came by."""
        with self._lock:
            if mark.number < self._marks[-1].number + self._apart:
                return
            self._marks.append(mark)
            if len(self._marks) > MAX_MARKS:
                self._marks = self._marks[::2]
                self._apart = 2 * max(self._apart, (mark.number - self._marks[0].number) // MAX_MARKS)
