"""How many messages may leave, and when. Pure: given the clock, what was used, what is under way, and the rates.

A rate is a number of turns. A message takes one when it leaves, and gives it back a window's length after it is known
to have arrived (or to have failed). Take any window at the server, and of the messages that arrived in it the one
that left last: when it left, each of the others was still under way, or had been answered less than a window ago. So
there are never more of them than turns, whatever the network, the disk or the loop added to each.

Answered messages are counted in a hundred parts of the window, and a part comes back when all of it has left. A rate
of at most a second (``14/s``) is also a pace: its slots are spread over the second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from runner.credential import Rate

PARTS = 100
HORIZON = 0.5
"""Seconds ahead that slots are given out for."""
_SPREAD = 0.95
"""The part of an even distance that two slots of a pace keep, so that what was held up can be made good."""
_USE = 0.98
"""The part of a pace that comes out of this on a machine that is not busy."""

Used = Mapping[float, Mapping[int, int]]
"""By a rate's seconds: how many messages were answered in each part."""


class Grant(NamedTuple):
    """Slots, in the database's time; ``wait`` seconds from now until there is one more, when there were fewer than
    wanted, and 0 when that depends on messages under way.

    ``next_slot`` is to be written back; ``parts`` is where the last slot lies in each rate's window; ``stale`` are
    parts to be deleted, ``moved`` what those that a clock set back left in the future hold, to be counted in
    ``present``. ``room`` is what the tightest quota has left, None without one.
    """

    slots: tuple[float, ...]
    wait: float
    next_slot: float
    parts: Mapping[float, int]
    stale: Mapping[float, Sequence[int]]
    moved: Mapping[float, int]
    present: Mapping[float, int]
    room: int | None
    short: bool


def interval(rates: Sequence[Rate]) -> float:
    """Seconds between two messages at a pace, on average; 0 without one."""
    return max((rate.seconds / rate.count / _USE for rate in rates if rate.seconds <= 1.0), default=0.0)


def spacing(rates: Sequence[Rate]) -> float:
    """Seconds a message takes of the slowest rate, on average over its window."""
    return max((rate.seconds / rate.count for rate in rates), default=0.0)


def part_of(moment: float, seconds: float) -> int:
    """The part of a window of so many seconds that a moment lies in."""
    return math.floor(moment / (seconds / PARTS))


def plan(
    now: float,
    next_slot: float,
    used: Used,
    rates: Sequence[Rate],
    wanted: int,
    *,
    held: int = 0,
    floor: float = 0.0,
) -> Grant:
    """Give out at most ``wanted`` slots, from ``now`` on.

    ``held`` turns are out: promised, or under way. ``floor`` is what an answer takes at least: a message arrives so
    much sooner than its answer comes, less what its own way takes, which the next one has before it as well.
    """
    step = max((rate.seconds / rate.count * _SPREAD for rate in rates if rate.seconds <= 1.0), default=0.0)
    if next_slot > now + 2 * (HORIZON + step):
        # Nobody gives out slots so far ahead: the clock was set back.
        next_slot = now + step
    room: int | None = None
    stale: dict[float, list[int]] = {}
    moved: dict[float, int] = {}
    free: list[Iterator[float]] = []
    for rate in rates:
        parts = used.get(rate.seconds, {})
        width = rate.seconds / PARTS
        # The clock that answers are noted by is ahead of the database's by what a question to it takes.
        newest = part_of(now + 2.0, rate.seconds)
        back = {part: (part + 1) * width + rate.seconds - floor for part in parts if part <= newest}
        stale[rate.seconds] = [part for part in parts if part not in back or back[part] + floor <= now]
        moved[rate.seconds] = sum(count for part, count in parts.items() if part not in back)
        # What a clock set back has left in the future counts as if it were now.
        late = [(now + width + rate.seconds, moved[rate.seconds])]
        returns = sorted((moment, parts[part]) for part, moment in back.items()) + late
        busy = held + sum(count for moment, count in returns if moment > now)
        if rate.seconds > 1.0:
            left = max(0, rate.count - busy)
            room = left if room is None else min(room, left)
        free.append(_turns(now, rate.count - busy, returns))
    slots: list[float] = []
    start, wait, short = max(next_slot, now) if step else now, 0.0, False
    while len(slots) < wanted:
        moments = [next(turns, math.inf) for turns in free]
        moment = max([start, *moments])
        if moment > now + HORIZON:
            wait = moment - now if moment < math.inf else 0.0
            short = True
            break
        slots.append(moment)
        start = moment + step
    last = slots[-1] if slots else now
    return Grant(
        slots=tuple(slots),
        wait=wait,
        next_slot=max(start, 0.0) if step else 0.0,
        parts={rate.seconds: part_of(last, rate.seconds) for rate in rates},
        stale=stale,
        moved=moved,
        present={rate.seconds: part_of(now, rate.seconds) for rate in rates},
        room=room,
        short=short,
    )


def _turns(now: float, free: int, returns: Sequence[tuple[float, int]]) -> Iterator[float]:
    """The moments at which turns can be had, in their order; ``free`` is negative when too many are out."""

    def coming() -> Iterator[float]:
        for moment, count in returns:
            if moment > now:
                for _ in range(count):
                    yield moment

    for _ in range(free):
        yield now
    yield from islice(coming(), max(0, -free), None)
