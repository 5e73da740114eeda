"""What may be done with a message, from its row alone."""

from __future__ import annotations

import pytest

from runner.errors import EnvelopeError
from runner.ledger.delivery import (
    Held,
    Settled,
    State,
    Try,
    after,
    after_refusal,
    decide,
    dump_replies,
    load_replies,
)
from runner.model import Outcome, Rejection

BUSY = Rejection("b@x.org", 450, "4.2.1", "busy")
GONE = Rejection("b@x.org", 550, "5.1.1", "gone")
BOTH = ("a@x.org", "b@x.org")


@pytest.mark.parametrize(
    ("state", "replies", "resend", "expected"),
    [
        ("pending", {}, False, Try(BOTH)),
        ("failed", {}, False, Try(BOTH)),
        ("pending", {"a@x.org": None, "b@x.org": BUSY}, False, Try(("b@x.org",))),  # a has it
        ("failed", {"b@x.org": GONE}, False, Try(("a@x.org",))),  # b never will
        (
            "failed",
            {"a@x.org": GONE, "b@x.org": GONE},
            False,
            Try(BOTH),
        ),  # nobody has it: ask everybody again
        ("sending", {}, False, Held()),  # whoever began it is dead
        ("unknown", {}, False, Held()),
        ("sending", {}, True, Try(BOTH)),
        ("unknown", {"a@x.org": None}, True, Try(("b@x.org",))),
        ("sent", dict.fromkeys(BOTH), False, Settled(Outcome(BOTH, (), "ok"))),
        ("sent", dict.fromkeys(BOTH), True, Settled(Outcome(BOTH, (), "ok"))),
        ("sent", {"a@x.org": None, "b@x.org": GONE}, False, Settled(Outcome(("a@x.org",), (GONE,), "ok"))),
        ("resolved", {}, False, Settled(Outcome(BOTH, (), "ok"))),
        ("resolved", {"b@x.org": GONE}, False, Settled(Outcome(("a@x.org",), (GONE,), "ok"))),
    ],
)
def test_who_gets_the_message_now(
    state: str, replies: dict[str, Rejection | None], resend: bool, expected: object
) -> None:
    assert decide(state, replies, "ok", BOTH, resend=resend) == expected


def test_one_deferred_recipient_keeps_the_message_open() -> None:
    state, replies = after({}, Outcome(("a@x.org",), (BUSY,), "ok"))

    assert (state, replies) == (State.PENDING, {"a@x.org": None, "b@x.org": BUSY})


def test_a_later_acceptance_closes_it() -> None:
    state, replies = after({"a@x.org": None, "b@x.org": BUSY}, Outcome(("b@x.org",), (), "ok"))

    assert (state, replies) == (State.SENT, dict.fromkeys(BOTH))


def test_each_refused_recipient_keeps_their_own_reply() -> None:
    error = EnvelopeError("no", smtp_code=550)
    error.rejections = (GONE,)
    state, replies = after_refusal({}, error, BOTH)

    assert state == State.FAILED
    assert replies == {"a@x.org": Rejection("a@x.org", 550, None, "no"), "b@x.org": GONE}


def test_a_refusal_for_good_after_a_service_is_the_end_of_it() -> None:
    error = EnvelopeError("no", smtp_code=550)
    state, _ = after_refusal({"a@x.org": None, "b@x.org": BUSY}, error, ("b@x.org",))

    assert state == State.SENT


def test_replies_come_back_as_they_were() -> None:
    replies = {"a@x.org": None, "b@x.org": GONE}

    assert load_replies(dump_replies(replies)) == replies
