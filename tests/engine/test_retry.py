"""When a transient failure is tried again."""

from __future__ import annotations

import pytest

from runner.engine.retry import next_delay
from runner.model import Retry

FIVE = Retry(attempts=5, delay=30.0, max_delay=3600.0)


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (1, 30.0),  # 30 * 2**0
        (2, 60.0),  # 30 * 2**1
        (3, 120.0),  # 30 * 2**2
        (4, 240.0),  # 30 * 2**3
        (5, None),  # it was the last
        (6, None),
    ],
)
def test_the_delay_doubles_until_the_last_attempt(attempt: int, expected: float | None) -> None:
    assert next_delay(FIVE, attempt, 0.5) == expected


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 24.0), (0.5, 30.0), (1.0, 36.0)])
def test_jitter_spreads_the_delay_by_a_fifth(chance: float, expected: float) -> None:
    assert next_delay(FIVE, 1, chance) == pytest.approx(expected)


def test_jitter_never_passes_max_delay() -> None:
    assert next_delay(Retry(attempts=50, delay=30.0, max_delay=100.0), 9, 1.0) == 100.0


def test_a_thousand_attempts_do_not_overflow() -> None:
    assert next_delay(Retry(attempts=5000, delay=30.0, max_delay=3600.0), 4000, 0.5) == 3600.0
