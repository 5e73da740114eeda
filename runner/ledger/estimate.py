"""How long messages take at a credential's rates, for people who are about to begin. Pure.

The arithmetic is that of ``runner.ledger.grant``, told to about one part in a hundred: a pace is not used to the
full, and what a quota's window holds leaves at once and makes room a window later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from runner.credential import Rate
from runner.ledger.grant import interval

Coming = Mapping[Rate, Sequence[tuple[float, int]]]
"""By a rate: seconds until turns that are used up come back, and how many do."""

_UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))
_PER = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "day"}


def estimate(messages: int, rates: Sequence[Rate], coming: Coming | None = None) -> float:
    """Seconds from now to the last of ``messages`` at ``rates``; 0.0 when nothing slows them down.

    ``coming`` are the turns that others have used up (None: none). What the network and the server take is not in it.
    """
    if messages <= 0:
        return 0.0
    pace = interval(rates)
    found = (messages - 1) * pace
    for rate in rates:
        used = () if coming is None else coming.get(rate, ())
        if rate.seconds <= 1.0:
            continue
        # Windows that must pass before the one that the last message leaves in, and which of its turns it has.
        windows, before = divmod(messages - 1, rate.count)
        within = max(_wait(before + 1, rate, used), before * pace if windows else 0.0)
        found = max(found, windows * rate.seconds + within)
    return found


def _wait(turn: int, rate: Rate, used: Sequence[tuple[float, int]]) -> float:
    """Seconds until the ``turn``-th turn of a window can be had."""
    short = turn - rate.count + sum(number for _, number in used)
    for seconds, number in sorted(used):
        if short <= 0:
            break
        short -= number
        if short <= 0:
            return seconds
    return 0.0


def bound(messages: int, rates: Sequence[Rate], coming: Coming | None = None) -> Rate | None:
    """The rate that decides how long ``messages`` take; None when no rate holds them up."""
    return max(
        (rate for rate in rates if estimate(messages, [rate], coming) > 0.0),
        key=lambda rate: estimate(messages, [rate], coming),
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


def estimate_text(messages: int, rates: Sequence[Rate], coming: Coming | None = None) -> str:
    """``2 min 5 s at 14/s``, ``1 day at 500/day, of which 480 are used``; ``no rate is set`` where there is none."""
    if not rates:
        return "no rate is set"
    slowest = bound(messages, rates, coming)
    text = duration_text(estimate(messages, rates, coming))
    if slowest is None:
        return text
    used = 0 if coming is None else sum(number for _, number in coming.get(slowest, ()))
    return f"{text} at {rate_text(slowest)}" + (f", of which {used:,} are used" if used else "")
