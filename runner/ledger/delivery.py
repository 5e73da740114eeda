"""What may be done with a message, decided from its row alone. Pure: the tables of cases are in the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from runner.errors import EnvelopeError
from runner.model import Outcome, Rejection


class State(StrEnum):
    """Where a message stands. ``sending`` is the intent: durable before DATA, gone once the outcome is."""

    SENDING = "sending"
    SENT = "sent"
    PENDING = "pending"
    FAILED = "failed"
    UNKNOWN = "unknown"
    RESOLVED = "resolved"


Replies = Mapping[str, Rejection | None]
"""By recipient: None when accepted, else the refusal; whoever is missing has had no reply."""


class Settled(NamedTuple):
    """Nothing is left to send: the outcome, as it was."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Held:
    """It may have been delivered: it is not sent again on its own."""


class Try(NamedTuple):
    """Send it to these."""

    recipients: tuple[str, ...]


def decide(
    state: str, replies: Replies, response: str, wanted: tuple[str, ...], *, resend: bool
) -> Settled | Held | Try:
    """What to do when ``wanted`` are to get a message whose row says ``state`` and ``replies``.

    ``sending`` means that whoever began it has died, or has been declared dead: nobody asks twice at a time.
    """
    if state == State.RESOLVED:
        refused = tuple(reply for name in wanted if (reply := replies.get(name)) is not None)
        names = {rejection.address for rejection in refused}
        return Settled(Outcome(tuple(name for name in wanted if name not in names), refused, response))
    if state in (State.SENDING, State.UNKNOWN) and not resend:
        return Held()
    open_ = tuple(name for name in wanted if name not in replies or _again(replies[name]))
    served = any(name in replies and replies[name] is None for name in wanted)
    if served and (not open_ or state == State.SENT):
        return Settled(outcome_of(replies, wanted, response))
    # Nobody was served, so that asking everybody again cannot reach anybody twice.
    return Try(open_ or wanted)


def outcome_of(replies: Replies, wanted: tuple[str, ...], response: str) -> Outcome:
    """The replies to ``wanted`` as an outcome."""
    accepted = tuple(name for name in wanted if name in replies and replies[name] is None)
    rejected = tuple(reply for name in wanted if (reply := replies.get(name)) is not None)
    return Outcome(accepted, rejected, response)


def after(replies: Replies, outcome: Outcome) -> tuple[State, dict[str, Rejection | None]]:
    """The row's state and replies after a transaction that somebody was accepted in."""
    if not replies and not outcome.rejected:
        return State.SENT, dict.fromkeys(outcome.accepted)
    merged = {**replies, **dict.fromkeys(outcome.accepted)}
    merged.update({rejection.address: rejection for rejection in outcome.rejected})
    waiting = any(_again(reply) for reply in merged.values())
    return (State.PENDING if waiting else State.SENT), merged


def after_refusal(
    replies: Replies, error: EnvelopeError, tried: tuple[str, ...]
) -> tuple[State, dict[str, Rejection | None]]:
    """The row's state and replies after everybody in ``tried`` was refused."""
    own = {refused.address: refused for refused in error.rejections}
    merged = dict(replies)
    for name in tried:
        code, enhanced, told = error.smtp_code or 550, error.enhanced_code, error.message
        if (refused := own.get(name)) is not None:
            code, enhanced, told = refused.code, refused.enhanced_code, refused.message
        merged[name] = Rejection(name, code, enhanced, told)
    if any(_again(reply) for reply in merged.values()) or error.transient:
        return State.PENDING, merged
    served = any(reply is None for reply in merged.values())
    return (State.SENT if served else State.FAILED), merged


def dump_replies(replies: Replies) -> str:
    """The replies as JSON."""
    return json.dumps(
        {
            name: None if reply is None else [reply.code, reply.enhanced_code, reply.message]
            for name, reply in replies.items()
        }
    )


def load_replies(text: str) -> dict[str, Rejection | None]:
    """The replies that ``dump_replies`` was given."""
    found: dict[str, Any] = json.loads(text)
    return {name: None if reply is None else Rejection(name, *reply) for name, reply in found.items()}


def _again(reply: Rejection | None) -> bool:
    return reply is not None and reply.transient
