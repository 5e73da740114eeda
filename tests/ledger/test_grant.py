"""The arithmetic of budgets, against a simulated database, processes, network and server."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest

from runner.credential import Rate
from runner.ledger.grant import Grant, part_of, plan


def fullest(moments: Iterable[float], seconds: float) -> int:
    """The most moments that any window of that length holds."""
    moments = sorted(moments)
    first = most = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


class Simulation:
    """A database's budget rows, and a clock that goes as told. Messages are answered at once unless told otherwise."""

    def __init__(self, *rates: Rate) -> None:
        self.rates = rates
        self.now = 1_800_000_000.0
        self.next_slot = 0.0
        self.used: dict[float, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.held = 0
        self.floor = 0.0
        self.sent: list[float] = []

    def reserve(self, wanted: int) -> Grant:
        grant = plan(
            self.now, self.next_slot, self.used, self.rates, wanted, held=self.held, floor=self.floor
        )
        self.next_slot = grant.next_slot
        for rate in self.rates:
            for stale in grant.stale[rate.seconds]:
                del self.used[rate.seconds][stale]
            self.used[rate.seconds][grant.present[rate.seconds]] += grant.moved[rate.seconds]
        self.held += len(grant.slots)
        return grant

    def answered(self, moment: float) -> None:
        self.held -= 1
        for rate in self.rates:
            self.used[rate.seconds][part_of(moment, rate.seconds)] += 1

    def send(self, wanted: int) -> Grant:
        """Reserve, and have every message answered in its slot."""
        grant = self.reserve(wanted)
        for slot in grant.slots:
            self.answered(slot)
        self.sent += grant.slots
        return grant


Latency = Callable[[random.Random], tuple[float, float]]
"""Seconds from the slot to the arrival, and from there to the answer."""

LATENCIES: dict[str, Latency] = {
    "quick": lambda chance: (0.002, 0.002),
    "a busy machine": lambda chance: (chance.choice([0.0, 0.0, 0.0, 0.05, 0.25]), 0.01),
    "a far server": lambda chance: (0.08 + chance.expovariate(100), 0.3 + chance.expovariate(50)),
    "anything": lambda chance: (chance.expovariate(5), chance.expovariate(5)),
    "seconds": lambda chance: (chance.uniform(0, 3), chance.uniform(0, 3)),
}


def arrivals(
    budget: Simulation, processes: int, latency: Latency, seconds: float, *, floor: float = 0.0
) -> list[float]:
    """What the server sees of ``processes`` that always have messages, and ask and tell twenty times a second."""
    chance = random.Random(5)
    begin = budget.now
    budget.floor = floor
    arrived: list[float] = []
    untold: list[list[float]] = [[] for _ in range(processes)]
    order = itertools.count()
    asks = [(begin + chance.uniform(0, 0.05), next(order), number) for number in range(processes)]
    heapq.heapify(asks)
    while asks[0][0] < begin + seconds:
        budget.now, _, number = heapq.heappop(asks)
        for answer in [each for each in untold[number] if each <= budget.now]:
            untold[number].remove(answer)
            budget.answered(answer)
        for slot in budget.reserve(chance.randint(1, 40)).slots:
            there, back = latency(chance)
            arrived.append(slot + there)
            untold[number].append(slot + there + back)
        heapq.heappush(asks, (budget.now + chance.uniform(0.03, 0.07), next(order), number))
    return arrived


@pytest.mark.parametrize("rate", [Rate(14, 1.0), Rate(100, 1.0), Rate(1, 1.0), Rate(30, 10.0)], ids=str)
@pytest.mark.parametrize("kind", list(LATENCIES))
@pytest.mark.parametrize("processes", [1, 3])
def test_no_window_at_the_server_holds_too_many_however_late_messages_are(
    rate: Rate, kind: str, processes: int
) -> None:
    arrived = arrivals(Simulation(rate), processes, LATENCIES[kind], 60 * rate.seconds)

    assert fullest(arrived, rate.seconds) <= rate.count
    assert len(arrived) > 5


@pytest.mark.parametrize("rate", [Rate(14, 1.0), Rate(100, 1.0), Rate(30, 10.0)], ids=str)
@pytest.mark.parametrize(("kind", "floor"), [("quick", 0.0), ("a far server", 0.38)])
@pytest.mark.parametrize("processes", [1, 3])
def test_a_rate_is_used(rate: Rate, kind: str, floor: float, processes: int) -> None:
    arrived = arrivals(Simulation(rate), processes, LATENCIES[kind], 60 * rate.seconds, floor=floor)

    assert fullest(arrived, rate.seconds) <= rate.count
    assert len(arrived) >= 0.95 * 60 * rate.count


@pytest.mark.parametrize(("count", "seconds"), [(30, 60.0), (500, 3600.0), (200, 86400.0)])
def test_a_quota_is_never_exceeded_in_any_window_and_is_used(count: int, seconds: float) -> None:
    chance = random.Random(count)
    budget = Simulation(Rate(count, seconds))
    begin = budget.now
    while budget.now < begin + 10 * seconds:
        grant = budget.send(chance.randint(1, 5))
        budget.now += min(grant.wait, seconds / 50) if grant.wait else chance.uniform(0, seconds / count)

    assert fullest(budget.sent, seconds) <= count
    assert len(budget.sent) >= 0.95 * count * 9


def test_a_pace_and_a_quota_hold_together() -> None:
    budget = Simulation(Rate(1, 1.0), Rate(200, 86400.0))
    begin = budget.now
    while budget.now < begin + 600:
        budget.send(5)
        budget.now += 0.25

    assert len(budget.sent) == 200
    assert fullest(budget.sent, 1.0) == 1


def test_the_messages_of_a_pace_are_spread_over_the_second() -> None:
    budget = Simulation(Rate(20, 1.0))
    begin = budget.now
    while budget.now < begin + 10:
        budget.send(5)
        budget.now += 0.1

    assert fullest(budget.sent, 0.1) <= 3


def test_what_is_under_way_counts_however_long_it_takes() -> None:
    budget = Simulation(Rate(3, 1.0))
    slots = len(budget.reserve(5).slots)
    for _ in range(100):
        budget.now += 0.1
        slots += len(budget.reserve(5).slots)
    first = budget.now
    budget.answered(first)
    budget.now += 0.9
    early = budget.reserve(5)

    assert slots == 3
    assert [first + 1.0 <= slot <= first + 1.02 for slot in early.slots] == [True]


def test_lowered_rates_hold_at_once() -> None:
    budget = Simulation(Rate(20, 1.0))
    budget.next_slot = 0.0
    for _ in range(20):
        budget.send(20)
        budget.now += 0.1
    budget.rates = (Rate(5, 1.0),)
    before = len(budget.sent)
    for _ in range(8):
        budget.send(20)
        budget.now += 0.1

    assert fullest(budget.sent[before:], 1.0) <= 5


def test_a_quota_that_is_used_up_says_how_long_it_is_until_there_is_more() -> None:
    budget = Simulation(Rate(10, 60.0))
    budget.send(10)
    refused = budget.reserve(1)
    budget.now += refused.wait
    granted = budget.reserve(1)

    assert refused.slots == ()
    assert refused.room == 0
    assert 60.0 <= refused.wait <= 62.0
    assert len(granted.slots) == 1


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -86400.0])
@pytest.mark.parametrize("rate", [Rate(14, 1.0), Rate(30, 60.0)], ids=str)
def test_a_clock_that_jumps_stalls_nobody_for_longer_than_the_window(rate: Rate, jump: float) -> None:
    budget = Simulation(rate)
    for _ in range(20):
        budget.send(5)
        budget.now += 0.1
    budget.now += jump
    before = len(budget.sent)
    begin = budget.now
    while budget.now < begin + 2 * rate.seconds + 2:
        budget.send(5)
        budget.now += 0.1

    assert len(budget.sent) - before >= rate.count
