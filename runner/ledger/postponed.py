"""The word for "not now, and not because of a failure"."""

from __future__ import annotations


class Postponed(Exception):
    """A message's turn comes in ``seconds``; nothing was tried, and no attempt is used up."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not before {seconds:.1f} s from now")
        self.seconds = seconds
