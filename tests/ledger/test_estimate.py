"""How long a batch takes at its credential's rates: the formula against the budget that will hold it."""

from __future__ import annotations

from collections import defaultdict

import pytest

from runner.credential import Rate
from runner.ledger.estimate import duration_text, estimate, estimate_text, rate_text
from runner.ledger.grant import PARTS, interval, plan

DAY = 86400.0


def simulated(messages: int, rates: list[Rate]) -> float:
    """Seconds between the first slot and the last that the budget gives to a batch that waits as it is told."""
    begin = now = 1_800_000_000.0
    next_slot, left, last = 0.0, messages, 0.0
    used: dict[float, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    while left:
        grant = plan(now, next_slot, used, rates, min(left, 500))
        next_slot = grant.next_slot
        for rate in rates:
            for stale in grant.stale.get(rate.seconds, ()):
                del used[rate.seconds][stale]
            for slot in grant.slots:
                used[rate.seconds][int(slot / (rate.seconds / PARTS))] += 1
        left -= len(grant.slots)
        last = grant.slots[-1] if grant.slots else last
        now += max(grant.wait, 0.001)
    return last - begin


@pytest.mark.parametrize(
    ("messages", "rates", "seconds"),
    [
        pytest.param(0, [Rate(14, 1.0)], 0.0, id="nothing"),
        pytest.param(1, [Rate(14, 1.0)], 0.0, id="one leaves at once"),
        pytest.param(3000, [], 0.0, id="no rate"),
        pytest.param(500, [Rate(500, DAY)], 0.0, id="a quota's worth"),
        pytest.param(501, [Rate(500, DAY)], DAY, id="one more than a quota"),
        pytest.param(2000, [Rate(500, DAY)], 3 * DAY, id="four windows"),
        pytest.param(2001, [Rate(500, DAY)], 4 * DAY, id="a fifth window"),
        pytest.param(97, [Rate(1, 1.0)], 96 * interval([Rate(1, 1.0)]), id="a pace"),
        pytest.param(
            400, [Rate(1, 1.0), Rate(200, DAY)], DAY + 199 * interval([Rate(1, 1.0)]), id="pace and quota"
        ),
    ],
)
def test_so_many_messages_take_so_long(messages: int, rates: list[Rate], seconds: float) -> None:
    assert estimate(messages, rates) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("messages", "rates"),
    [
        pytest.param(3000, [Rate(14, 1.0)], id="pace"),
        pytest.param(1700, [Rate(500, DAY)], id="quota"),
        pytest.param(950, [Rate(1, 1.0), Rate(200, DAY)], id="pace and quota"),
        pytest.param(2500, [Rate(20, 1.0), Rate(600, 60.0), Rate(1000, 3600.0)], id="three"),
    ],
)
def test_the_estimate_is_what_the_budget_gives_out(messages: int, rates: list[Rate]) -> None:
    assert simulated(messages, rates) == pytest.approx(estimate(messages, rates), rel=0.03, abs=1.0)


@pytest.mark.parametrize(
    ("messages", "coming", "seconds"),
    [
        pytest.param(100, [(3600.0, 400)], 0.0, id="there is room beside what is used up"),
        pytest.param(101, [(3600.0, 400)], 3600.0, id="the last has to wait for the first that comes back"),
        pytest.param(101, [(7200.0, 399), (3600.0, 1)], 3600.0, id="one comes back sooner"),
        pytest.param(102, [(7200.0, 399), (3600.0, 1)], 7200.0, id="and the rest later"),
        pytest.param(500, [(60.0, 250), (3600.0, 250)], 3600.0, id="all of it is used up"),
        pytest.param(601, [(3600.0, 400)], DAY + 3600.0, id="the second window begins as late as the first"),
        pytest.param(
            1, [(60.0, 200), (3600.0, 500)], 3600.0, id="more is used up than the rate allows by now"
        ),
    ],
)
def test_what_is_used_up_already_counts(
    messages: int, coming: list[tuple[float, int]], seconds: float
) -> None:
    rate = Rate(500, DAY)

    assert estimate(messages, [rate], {rate: coming}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "under a second"),
        (1.0, "1 s"),
        (59.2, "1 min"),
        (125.0, "2 min 5 s"),
        (3600.0, "1 h"),
        (3601.0, "1 h"),
        (3690.0, "1 h 2 min"),
        (7199.0, "2 h"),
        (DAY, "1 day"),
        (3 * DAY + 1, "3 days"),
        (4000 * DAY, "4,000 days"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_text_names_the_rate_that_decides() -> None:
    rates = [Rate(14, 1.0), Rate(500, DAY)]

    assert estimate_text(100, rates) == "8 s at 14/s"
    assert estimate_text(1600, rates) == "3 days at 500/day"
    assert estimate_text(1, rates) == "under a second"
    assert estimate_text(1, []) == "no rate is set"
    assert estimate_text(200, rates, {rates[1]: [(7200.0, 480)]}) == "2 h at 500/day, of which 480 are used"
    assert estimate_text(20, rates, {rates[1]: [(7200.0, 480)]}) == "2 s at 14/s"


@pytest.mark.parametrize("text", ["14/s", "60/min", "1000/h", "500/day"])
def test_a_rate_is_told_as_it_is_written(text: str) -> None:
    from runner.units import rate

    assert rate_text(Rate(*rate(text))) == text
