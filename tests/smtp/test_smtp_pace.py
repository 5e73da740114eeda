"""When to hold back: tables of time, no waiting."""

from __future__ import annotations

import pytest

from runner.errors import AuthError
from runner.smtp.pace import Pace, Refusals


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_refusal_after_a_pause_doubles_it_up_to_a_minute() -> None:
    clock = Clock()
    pace = Pace(clock)
    pauses = []
    for _ in range(9):
        pace.heard(421)
        pauses.append(pace.wait())
        clock.now += pace.wait()

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_refusals_of_one_moment_count_once() -> None:
    pace = Pace(Clock())
    for _ in range(5):
        pace.heard(454)

    assert pace.wait() == 1


def test_an_accepted_message_sets_the_pause_back() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.heard(421)
    clock.now = 1
    pace.heard(None)
    pace.heard(421)

    assert pace.wait() == 1


@pytest.mark.parametrize("code", [450, 451, 452, 550, 554, 535])
def test_other_refusals_do_not_slow_down(code: int) -> None:
    pace = Pace(Clock())
    pace.heard(code)

    assert pace.wait() == 0


def test_a_refused_login_is_remembered_for_a_minute_by_key() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    refusals.note(("a",), AuthError("Authentication failed: no", smtp_code=535))
    refusals.check(("b",))
    clock.now = 59.9
    with pytest.raises(AuthError):
        refusals.check(("a",))
    clock.now = 60
    refusals.check(("a",))


@pytest.mark.parametrize("error", [AuthError("x"), AuthError("x", smtp_code=454, transient=True)])
def test_a_login_that_was_not_refused_for_good_is_not_remembered(error: AuthError) -> None:
    refusals = Refusals(Clock())
    refusals.note(("a",), error)

    refusals.check(("a",))
