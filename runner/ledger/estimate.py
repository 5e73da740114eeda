"""How long messages take at a credential's rates, for people who are about to begin. Pure.

The arithmetic is that of ``runner.ledger.grant``, told to about one part in a hundred: a pace is not used to the
full, and what a quota's window holds leaves at once and makes room a window later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.credential import Rate
from runner.ledger.grant import interval

_UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))
_PER = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "day"}


def estimate(messages: int, rates: Sequence[Rate], *, used: int | None = None) -> float:
    """Seconds from the first of ``messages`` to the last at ``rates``; 0.0 when nothing slows them down.

    ``used`` is how many the longest quota's window holds already (None: none), as if they had left just now.
    What the network and the server take is not in it.
    """
    if messages <= 0:
        return 0.0
    pace = interval(rates)
    quotas = [rate for rate in rates if rate.seconds > 1.0]
    longest = max(quotas, key=lambda rate: rate.seconds, default=None)
    found = (messages - 1) * pace
    for rate in quotas:
        before = min(used or 0, rate.count) if rate is longest else 0
        # Windows that must pass before the one that the last message leaves in.
        windows = (before + messages - 1) // rate.count
        within = (before + messages - 1) % rate.count if windows else 0
        found = max(found, windows * rate.seconds + within * pace)
    return found


def bound(messages: int, rates: Sequence[Rate]) -> Rate | None:
    """The rate that decides how long ``messages`` take; None when no rate holds them up."""
    return max(
        (rate for rate in rates if estimate(messages, [rate]) > 0.0),
        key=lambda rate: estimate(messages, [rate]),
        default=None,
    )


def duration_text(seconds: float) -> str:
    """``under a second``, ``2 min 5 s``, ``3 days 4 h``: at most two units, and seconds rounded up."""
    if seconds < 1:
        return "under a second"
    left = math.ceil(seconds)
    for number, (size, _) in enumerate(_UNITS):
        if left >= size and number + 2 < len(_UNITS):
            shown = _UNITS[number + 1][0]
            left = round(left / shown) * shown
            break
    parts = []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count:,} {name}{'s' if name == 'day' and count != 1 else ''}")
    return " ".join(parts[:2])


def rate_text(rate: Rate) -> str:
    """As it is written in a credential: ``500/day``."""
    per = _PER.get(rate.seconds, f"{rate.seconds:g}s")
    return f"{rate.count}/{per}"


def estimate_text(messages: int, rates: Sequence[Rate], *, used: int | None = None) -> str:
    """``2 min 5 s at 14/s``, ``3 days at 500/day``; ``no rate is set`` where nothing limits them."""
    if not rates:
        return "no rate is set"
    slowest = bound(messages, rates)
    text = duration_text(estimate(messages, rates, used=used))
    return text if slowest is None else f"{text} at {rate_text(slowest)}"
