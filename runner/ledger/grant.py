"""How many messages may leave, and when. Pure: given the clock, what was used, and the rates.

A rate of at most a second (``14/s``) is a pace: slots at even distances (GCRA). A longer one (``500/day``) is a quota
over a sliding window, counted in a hundred parts: a part counts until all of it has left the window, so that no
window of that length ever holds more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.credential import Rate

PARTS = 100
HORIZON = 1.0
"""Seconds ahead that slots are given out for."""
LATE = 0.5
"""Seconds after its slot that a message may still leave; later, the slot is lost."""
_USE = 0.96
"""The part of a pace that is used: what networks and event loops add in jitter never makes a window too full."""

Used = Mapping[float, Mapping[int, int]]
"""By a quota's seconds: how many messages each part holds."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Slots, in the database's time; ``wait`` seconds until more may be had, when there were fewer than wanted.

    ``next_slot`` and ``parts`` (the part of each quota that the slots count in) are to be written back; ``stale``
    are parts to be deleted, ``moved`` what those that a clock set back left in the future hold.
    """

    slots: tuple[float, ...]
    wait: float
    next_slot: float
    parts: Mapping[float, int]
    stale: Mapping[float, Sequence[int]]
    moved: Mapping[float, int]
    room: int | None


def interval(rates: Sequence[Rate]) -> float:
    """Seconds between two slots; 0 without a pace."""
    return max((rate.seconds / rate.count / _USE for rate in rates if rate.seconds <= 1.0), default=0.0)


def spacing(rates: Sequence[Rate]) -> float:
    """Seconds a message takes of the slowest rate, on average over its window."""
    return max((rate.seconds / rate.count for rate in rates), default=0.0)


def plan(now: float, next_slot: float, used: Used, rates: Sequence[Rate], wanted: int) -> Grant:
    """Give out at most ``wanted`` slots, from ``now`` on."""
    step = interval(rates)
    ahead = max(HORIZON, 1.5 * step)
    if next_slot > now + ahead + 2 * step + LATE:
        # Nobody gives out slots so far ahead: the clock was set back.
        next_slot = now + step
    start = max(next_slot, now)
    free = wanted
    wait = 0.0
    room: int | None = None
    quotas = [rate for rate in rates if rate.seconds > 1.0]
    stale: dict[float, list[int]] = {}
    moved: dict[float, int] = {}
    for rate in quotas:
        held = used.get(rate.seconds, {})
        width = rate.seconds / PARTS
        newest = math.floor((now + ahead + LATE) / width) + 1
        stale[rate.seconds] = [
            part for part in held if part > newest or (part + 1) * width <= now - rate.seconds
        ]
        moved[rate.seconds] = sum(count for part, count in held.items() if part > newest)
        counted = {part: count for part, count in held.items() if (part + 1) * width > now - rate.seconds}
        left = max(0, rate.count - sum(counted.values()))
        room = left if room is None else min(room, left)
        free = min(free, left)
        if left == 0:
            oldest = min(
                (part for part, count in counted.items() if count and part <= newest), default=newest
            )
            wait = max(wait, min((oldest + 1) * width + rate.seconds - now, rate.seconds + width))
    slots: list[float] = []
    if step == 0.0:
        slots = [start] * free
    else:
        while len(slots) < free and start <= now + ahead:
            slots.append(start)
            start += step
        next_slot = start
        if not wait and len(slots) < wanted:
            wait = max(step, start - now - ahead)
    last = slots[-1] if slots else now
    parts = {rate.seconds: math.floor((last + LATE) / (rate.seconds / PARTS)) for rate in quotas}
    return Grant(tuple(slots), wait, max(next_slot, 0.0), parts, stale, moved, room)
