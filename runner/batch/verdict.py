"""What an attempt to send a row comes to. Pure: the cases are a table in the tests."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from runner.engine.retry import next_delay
from runner.errors import (
    AuthError,
    BlockedError,
    ConnectionFailed,
    DeliveryUnknown,
    EnvelopeError,
    FlowpostError,
    PortError,
    SecretError,
    TimedOut,
    TlsError,
)
from runner.ledger import delivery
from runner.ledger.batches import RowState
from runner.ledger.delivery import Replies
from runner.model import Outcome, Retry

SERVER = (AuthError, TlsError, BlockedError, SecretError, PortError)
"""Errors that every row would meet, so that they stop the batch."""
STRIKES = 20
"""Lost connections after which a row fails: it may be what loses them."""


class Then(Enum):
    """What follows."""

    END = auto()
    AGAIN = auto()
    """Another attempt after ``delay``."""
    HOLD = auto()
    """The server is out of reach: everybody waits, and no attempt counts."""
    STOP = auto()


class Verdict(NamedTuple):
    """``state`` is the row's when it ends; ``replies`` are all that recipients have had so far."""

    then: Then
    replies: Replies
    state: RowState = RowState.PENDING
    delay: float = 0.0
    response: str | None = None
    error: FlowpostError | None = None


def after_outcome(replies: Replies, outcome: Outcome, attempts: int, retry: Retry, chance: float) -> Verdict:
    """The server took the message for somebody. ``attempts`` counts this one."""
    state, merged = delivery.after(replies, outcome)
    return _next(state, merged, outcome.response, None, attempts, retry, chance)


def after_error(
    replies: Replies,
    error: FlowpostError,
    tried: tuple[str, ...],
    *,
    attempts: int,
    strikes: int,
    resend: bool,
    retry: Retry,
    chance: float,
) -> Verdict:
    """It did not take it, or nobody knows. ``strikes`` counts the lost connections of this row."""
    if isinstance(error, DeliveryUnknown):
        if resend:
            return _next(delivery.State.PENDING, replies, None, error, attempts, retry, chance)
        return Verdict(Then.END, replies, RowState.UNKNOWN, error=error)
    if isinstance(error, EnvelopeError):
        state, merged = delivery.after_refusal(replies, error, tried)
        return _next(state, merged, None, error, attempts, retry, chance)
    if isinstance(error, SERVER) and not error.transient:
        return Verdict(Then.STOP, replies, error=error)
    if isinstance(error, AuthError | ConnectionFailed | TimedOut) and strikes < STRIKES:
        return Verdict(Then.HOLD, replies, error=error)
    state = delivery.State.PENDING if error.transient else delivery.State.FAILED
    return _next(state, replies, None, error, attempts, retry, chance)


def _next(
    state: delivery.State,
    replies: Replies,
    response: str | None,
    error: FlowpostError | None,
    attempts: int,
    retry: Retry,
    chance: float,
) -> Verdict:
    if state is delivery.State.PENDING:
        delay = next_delay(retry, attempts, chance)
        if delay is not None:
            return Verdict(Then.AGAIN, replies, delay=delay, error=error)
        if isinstance(error, DeliveryUnknown):
            return Verdict(Then.END, replies, RowState.UNKNOWN, error=error)
        served = any(reply is None for reply in replies.values())
        state = delivery.State.SENT if served else delivery.State.FAILED
    if state is delivery.State.SENT:
        return Verdict(Then.END, replies, RowState.SENT, response=response)
    return Verdict(Then.END, replies, RowState.FAILED, error=error)
