"""When to hold back: after a refused login, and when a server asks for less. Pure decisions; the clock is
given.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from runner.errors import AuthError

Clock = Callable[[], float]

LOGIN_EVERY = 60.0
"""Seconds between two tries of a login that was refused."""
SLOW_CODES = frozenset({421, 432, 454})
"""Replies that slow the whole credential down."""

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class Refusals:
    """Logins that were refused, by pool key: each is tried once in LOGIN_EVERY seconds, however many sends
    ask.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: dict[tuple[str, ...], tuple[float, AuthError]] = {}

    def check(self, key: tuple[str, ...]) -> None:
        """Raise the AuthError of the last try while it is too early for another one."""
        known = self._refused.get(key)
        if known is None:
            return
        until, error = known
        left = until - self._clock()
        if left <= 0:
            del self._refused[key]
            return
        raise AuthError(
            f"{error.message} (not tried again for {math.ceil(left)} s)",
            hint=error.hint,
            smtp_code=error.smtp_code,
            enhanced_code=error.enhanced_code,
        )

    def note(self, key: tuple[str, ...], error: AuthError) -> None:
        """Remember a refused login; one that the server never saw, or that is transient, does not count."""
        now = self._clock()
        self._refused = {other: known for other, known in self._refused.items() if known[0] > now}
        if error.smtp_code is not None and not error.transient:
            self._refused[key] = (now + LOGIN_EVERY, error)


class Pace:
    """How long a credential waits after the server asked for less: 1 s, doubling to 60 s, until something
    is accepted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause = 0.0
        self._until = -math.inf

    def heard(self, code: int | None) -> None:
        """Note the code of a refusal; None stands for an accepted message."""
        if code is None:
            self._pause = 0.0
        elif code in SLOW_CODES and self.wait() == 0:
            self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
            self._until = self._clock() + self._pause

    def wait(self) -> float:
        """Seconds to wait before the next message."""
        return max(0.0, self._until - self._clock())

    def forgotten(self) -> bool:
        """True when the last word of the server was long ago."""
        return self._clock() - self._until > 10 * _LONGEST_PAUSE
