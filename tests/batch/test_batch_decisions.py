"""The pure parts of a batch: what an attempt comes to, how long a server may be away, which rows are doubles."""

from __future__ import annotations

import pytest

from runner.batch.keys import First, Keys
from runner.batch.trouble import Trouble
from runner.batch.verdict import STRIKES, Then, after_error, after_outcome
from runner.batch.window import Window
from runner.errors import (
    AuthError,
    ConnectionFailed,
    DeliveryUnknown,
    EnvelopeError,
    FlowpostError,
    MessageError,
    TimedOut,
    TlsError,
)
from runner.ledger.batches import RowState
from runner.model import Outcome, Rejection, Retry
from runner.rows import Row

RETRY = Retry(attempts=3, delay=10.0, max_delay=60.0)
LATER = Rejection("b@example.net", 450, "4.2.0", "later")
NEVER = Rejection("b@example.net", 550, "5.1.1", "never")


def refused(*rejections: Rejection) -> EnvelopeError:
    error = EnvelopeError("refused", transient=rejections[0].transient, smtp_code=rejections[0].code)
    error.rejections = rejections
    return error


ERRORS = {
    "refused for good": (refused(NEVER), 1, 0, Then.END, RowState.FAILED),
    "refused for now": (refused(LATER), 1, 0, Then.AGAIN, RowState.PENDING),
    "refused for now, the last time": (refused(LATER), 3, 0, Then.END, RowState.FAILED),
    "message refused for good": (MessageError("no", smtp_code=554), 1, 0, Then.END, RowState.FAILED),
    "message refused for now": (
        MessageError("no", smtp_code=451, transient=True),
        1,
        0,
        Then.AGAIN,
        RowState.PENDING,
    ),
    "no connection": (ConnectionFailed("gone"), 1, 0, Then.HOLD, RowState.PENDING),
    "no connection, at this row again and again": (
        ConnectionFailed("gone"),
        3,
        STRIKES,
        Then.END,
        RowState.FAILED,
    ),
    "no answer": (TimedOut("late"), 1, 0, Then.HOLD, RowState.PENDING),
    "login refused": (AuthError("no", smtp_code=535), 1, 0, Then.STOP, RowState.PENDING),
    "login refused for now": (
        AuthError("no", smtp_code=454, transient=True),
        1,
        0,
        Then.HOLD,
        RowState.PENDING,
    ),
    "certificate": (TlsError("self-signed"), 1, 0, Then.STOP, RowState.PENDING),
    "nobody knows": (DeliveryUnknown("lost"), 1, 0, Then.END, RowState.UNKNOWN),
}


@pytest.mark.parametrize("case", list(ERRORS))
def test_what_follows_an_error(case: str) -> None:
    error, attempts, strikes, then, state = ERRORS[case]
    verdict = after_error(
        {},
        error,
        ("b@example.net",),
        attempts=attempts,
        strikes=strikes,
        resend=False,
        retry=RETRY,
        chance=0.5,
    )
    assert (verdict.then, verdict.state) == (then, state)


@pytest.mark.parametrize(("attempts", "then"), [(1, Then.AGAIN), (3, Then.END)])
def test_an_unknown_message_is_sent_again_where_the_flow_says_so_but_not_for_ever(
    attempts: int, then: Then
) -> None:
    verdict = after_error(
        {},
        DeliveryUnknown("lost"),
        ("b@example.net",),
        attempts=attempts,
        strikes=0,
        resend=True,
        retry=RETRY,
        chance=0.5,
    )
    assert verdict.then is then
    assert verdict.state is (RowState.PENDING if then is Then.AGAIN else RowState.UNKNOWN)


def test_a_row_with_a_recipient_that_comes_later_is_not_at_its_end() -> None:
    verdict = after_outcome({}, Outcome(("a@example.net",), (LATER,), "250 ok"), 1, RETRY, 0.5)
    assert (verdict.then, verdict.delay) == (Then.AGAIN, 10.0)
    assert verdict.replies == {"a@example.net": None, "b@example.net": LATER}


def test_a_row_that_served_somebody_is_sent_whoever_was_refused_at_last() -> None:
    verdict = after_outcome({}, Outcome(("a@example.net",), (LATER,), "250 ok"), 3, RETRY, 0.5)
    assert (verdict.then, verdict.state) == (Then.END, RowState.SENT)


def test_a_row_that_served_somebody_before_is_sent_when_the_rest_is_refused() -> None:
    verdict = after_error(
        {"a@example.net": None},
        refused(NEVER),
        ("b@example.net",),
        attempts=2,
        strikes=0,
        resend=False,
        retry=RETRY,
        chance=0.5,
    )
    assert (verdict.then, verdict.state) == (Then.END, RowState.SENT)


def test_a_server_that_is_away_is_asked_less_and_less_often_and_then_given_up() -> None:
    trouble, error, now = Trouble(patience=100.0, first_patience=10.0), ConnectionFailed("gone"), 0.0
    pauses = []
    while (pause := trouble.met(now, error)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert trouble.there


def test_a_server_that_has_served_may_be_away_for_longer() -> None:
    trouble, error = Trouble(patience=100.0, first_patience=10.0), ConnectionFailed("gone")
    trouble.over()
    assert not trouble.there
    assert trouble.met(0.0, error) is not None
    assert trouble.met(99.0, error) is not None
    assert trouble.met(101.0, error) is None


def test_many_messages_that_meet_one_fault_wait_once() -> None:
    trouble, error = Trouble(), ConnectionFailed("gone")
    assert [trouble.met(0.0, error) for _ in range(10)] == [0.5] * 10


@pytest.mark.parametrize(
    ("retry", "first"),
    [
        (Retry(attempts=3, delay=0.1, max_delay=1.0), 0.3),
        (Retry(attempts=5, delay=30.0, max_delay=3600.0), 30.0),
    ],
    ids=["short", "default"],
)
def test_it_is_as_patient_as_the_flow(retry: Retry, first: float) -> None:
    trouble, error = Trouble.of(retry), ConnectionFailed("gone")
    assert trouble.met(0.0, error) is not None
    assert trouble.met(first - 0.05, error) is not None
    assert trouble.met(first + 0.1, error) is None


def test_doubles_are_every_row_but_the_first_of_a_key() -> None:
    data = [Row(n, n + 1, {"k": key}, None) for n, key in enumerate(["a", "b", "a", "c", "b", "a"], 1)]
    keys = Keys(lambda row: str(row.body["k"]))
    for row in data:
        keys.add(row)
    found = keys.doubles(lambda: data)
    assert found == {3: First("a", 1, 2), 5: First("b", 2, 3), 6: First("a", 1, 2)}


def test_a_row_that_cannot_be_sent_is_no_first_one() -> None:
    data = [Row(n, n + 1, {"k": "a"}, None) for n in (1, 2, 3)]
    keys = Keys(lambda row: str(row.body["k"]))
    for row in data[1:]:
        keys.add(row)

    assert keys.doubles(lambda: data) == {3: First("a", 2, 3)}


def test_rows_are_read_again_only_when_there_are_doubles() -> None:
    def never() -> list[Row]:
        raise AssertionError

    keys = Keys(lambda row: str(row.body["k"]))
    for n in range(100):
        keys.add(Row(n + 1, n + 2, {"k": n}, None))
    assert keys.doubles(never) == {}


def test_every_error_of_the_tree_has_a_verdict() -> None:
    def kinds(kind: type[FlowpostError]) -> list[type[FlowpostError]]:
        return [kind, *(inner for each in kind.__subclasses__() for inner in kinds(each))]

    for kind in kinds(FlowpostError):
        error = kind("told")
        verdict = after_error(
            {}, error, ("a@example.net",), attempts=1, strikes=0, resend=False, retry=RETRY, chance=0.5
        )
        assert verdict.then is not Then.END or verdict.state in (RowState.FAILED, RowState.UNKNOWN)


@pytest.mark.parametrize(("rate", "each"), [(10, 4), (60, 4), (100, 6), (300, 18), (5000, 30)])
def test_as_many_intents_stand_open_as_a_quick_server_takes_in_60_ms(rate: int, each: int) -> None:
    window = Window()
    window.use(10, 0)
    narrow = window.size
    for number in range(rate * 10):
        window.landed(100.0 + number / rate / 10)

    assert (narrow, window.size, window.enough) == (40, each * 10, each * 5)


def test_messages_that_are_on_their_way_together_have_as_many_at_hand_and_no_more() -> None:
    window = Window()
    window.use(10, 8)
    assert window.size == 160
    for number in range(3000):
        window.landed(100.0 + number / 1600)

    assert window.size == 160


def test_the_window_of_a_quick_server_is_wide_after_some_hundredths_of_a_second() -> None:
    window = Window()
    window.use(10, 0)
    moment = 100.0
    while window.size < 300:
        moment += 1 / 6000
        window.landed(moment)

    assert moment - 100.0 < 0.08


def test_a_few_answers_at_once_do_not_widen_the_window() -> None:
    window = Window()
    window.use(10, 0)
    for second in range(5):
        for number in range(30):
            window.landed(100.0 + second + number / 10_000)

    assert window.size == 40
