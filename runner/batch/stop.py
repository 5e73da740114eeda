"""Why a batch stops before its end, and how soon."""

from __future__ import annotations

from collections.abc import Callable


class Stop:
    """Asked once, messages under way are finished; asked twice, they are abandoned."""

    def __init__(self) -> None:
        self.asked = False
        self.interrupted = False
        self.abandoned = False
        self.error: BaseException | None = None
        self._wake: list[Callable[[], None]] = []
        self._abandon: list[Callable[[], None]] = []

    def subscribe(self, wake: Callable[[], None], abandon: Callable[[], None]) -> None:
        """Be told of the first and of the second time."""
        self._wake.append(wake)
        self._abandon.append(abandon)

    def interrupt(self) -> None:
        """Ctrl-C, or SIGTERM."""
        again, self.interrupted = self.interrupted, True
        self._ask()
        if again:
            self.abandoned = True
            for call in self._abandon:
                call()

    def because(self, error: BaseException) -> None:
        """Stop since every further row would fail with this; the first reason stands."""
        if self.error is None:
            self.error = error
        self._ask()

    def _ask(self) -> None:
        self.asked = True
        for call in self._wake:
            call()
