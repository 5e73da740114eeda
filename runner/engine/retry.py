"""When a transient failure is tried again: a pure decision, given the attempt and a random number."""

from __future__ import annotations

from runner.model import Retry

_JITTER = 0.2


def next_delay(retry: Retry, attempt: int, chance: float) -> float | None:
    """Seconds to wait after the ``attempt``-th attempt (from 1) failed; None when it was the last.

    The delay doubles up to ``max_delay``; ``chance`` (0 to 1) spreads it by a fifth around that, so that
    many runs that failed together do not come back together. It never passes ``max_delay``.
    """
    if attempt >= retry.attempts:
        return None
    doubled = retry.delay * 2.0 ** min(attempt - 1, 62)
    capped = min(doubled, retry.max_delay)
    return min(capped * (1.0 - _JITTER + 2.0 * _JITTER * chance), retry.max_delay)
