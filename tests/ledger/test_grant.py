"""How many messages may leave, and when: the arithmetic alone, over hours of simulated clocks."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from runner.credential import Rate
from runner.ledger.grant import Grant, plan


class Simulation:
    """A database's budget rows, and a clock that goes as told."""

    def __init__(self, *rates: Rate) -> None:
        self.rates = rates
        self.now = 1_800_000_000.0
        self.next_slot = 0.0
        self.used: dict[float, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.sent: list[float] = []

    def reserve(self, wanted: int) -> Grant:
        grant = plan(self.now, self.next_slot, self.used, self.rates, wanted)
        self.next_slot = grant.next_slot
        for seconds, part in grant.parts.items():
            for stale in grant.stale[seconds]:
                del self.used[seconds][stale]
            self.used[seconds][part] += len(grant.slots) + grant.moved[seconds]
        self.sent += grant.slots
        return grant


def fullest(moments: list[float], seconds: float) -> int:
    """The most moments that any window of that length holds."""
    moments = sorted(moments)
    first = most = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize(("count", "seconds"), [(14, 1.0), (1, 1.0), (100, 1.0)])
def test_a_pace_is_never_exceeded_in_any_window_and_is_used(count: int, seconds: float) -> None:
    chance = random.Random(count)
    budget = Simulation(Rate(count, seconds))
    begin = budget.now
    while budget.now < begin + 300:
        budget.reserve(chance.randint(1, 60))
        budget.now += chance.uniform(0, 0.3)

    assert fullest(budget.sent, seconds) <= count
    assert len(budget.sent) >= 0.95 * count * 300


@pytest.mark.parametrize(("count", "seconds"), [(30, 60.0), (500, 3600.0), (200, 86400.0)])
def test_a_quota_is_never_exceeded_in_any_window_and_is_used(count: int, seconds: float) -> None:
    """Each message leaves up to half a second after its slot, which counts for the window as well."""
    chance = random.Random(count)
    budget = Simulation(Rate(count, seconds))
    begin = budget.now
    left = []
    while budget.now < begin + 10 * seconds:
        grant = budget.reserve(chance.randint(1, 5))
        left += [slot + chance.uniform(0, 0.49) for slot in grant.slots]
        budget.now += min(grant.wait, seconds / 50) if grant.wait else chance.uniform(0, seconds / count)

    assert fullest(left, seconds) <= count
    assert len(left) >= 0.95 * count * 9


def test_a_pace_and_a_quota_hold_together() -> None:
    budget = Simulation(Rate(1, 1.0), Rate(200, 86400.0))
    begin = budget.now
    while budget.now < begin + 600:
        budget.reserve(5)
        budget.now += 0.5

    assert len(budget.sent) == 200
    assert fullest(budget.sent, 1.0) == 1


def test_a_quota_that_is_used_up_says_how_long_it_is_until_there_is_more() -> None:
    budget = Simulation(Rate(10, 60.0))
    budget.reserve(10)
    refused = budget.reserve(1)
    budget.now += refused.wait
    granted = budget.reserve(1)

    assert refused.slots == ()
    assert 60.0 <= refused.wait <= 62.0
    assert len(granted.slots) == 1


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -86400.0])
@pytest.mark.parametrize("rate", [Rate(14, 1.0), Rate(30, 60.0)])
def test_a_clock_that_jumps_stalls_nobody_for_longer_than_the_window(rate: Rate, jump: float) -> None:
    budget = Simulation(rate)
    for _ in range(20):
        budget.reserve(5)
        budget.now += 0.1
    budget.now += jump
    before = len(budget.sent)
    begin = budget.now
    while budget.now < begin + 2 * rate.seconds + 2:
        budget.reserve(5)
        budget.now += 0.1

    assert len(budget.sent) - before >= rate.count
