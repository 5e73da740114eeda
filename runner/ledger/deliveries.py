"""The delivery ledger: a sender that writes down what it is about to do before it does it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from runner.credential import SmtpCredential
from runner.errors import DeliveryUnknown, EnvelopeError, FlowpostError, Unavailable
from runner.ledger import delivery
from runner.ledger.database import execute, first
from runner.ledger.delivery import Held, Replies, Settled, State, Try
from runner.ledger.postponed import Postponed
from runner.ledger.writer import Writer
from runner.model import Envelope, Outcome

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

_AWAY = 5.0
"""Seconds until a message is tried again whose intent could not be written."""


class Carrier(Protocol):
    """Hands one message to a server, as ``runner.smtp.pool.Sender`` does."""

    async def send(self, credential: SmtpCredential, envelope: Envelope, data: bytes) -> Outcome:
        """Send to the envelope's recipients; DeliveryUnknown when nobody knows whether it was taken."""
        ...


class Watcher(Protocol):
    """Told of every message that was tried."""

    def message(self, credential: str, result: str, seconds: float) -> None:
        """``result`` is a state of the ledger."""
        ...


class Unwatched:
    """A watcher that does nothing."""

    def message(self, credential: str, result: str, seconds: float) -> None:
        """Ignore it."""


async def at_once(credential: SmtpCredential) -> None:
    """A turn that comes at once."""


class Turn(Protocol):
    """What a message has of its credential's rates until it has been answered."""

    async def begin(self) -> None:
        """Return when it may leave."""
        ...

    def over(self) -> None:
        """It has been; a second time changes nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """The ledger of one process. ``turn`` waits for the credential's budget; ``trusted`` is false while others
    may think this process dead, and then nothing is begun.
    """

    writer: Writer
    owner: str
    turn: Callable[[SmtpCredential], Awaitable[Turn | None]] = at_once
    trusted: Callable[[], bool] = lambda: True
    watcher: Watcher = field(default_factory=Unwatched)
    _gates: dict[tuple[str, str, int], asyncio.Semaphore] = field(default_factory=dict)

    def gate(self, credential: SmtpCredential) -> asyncio.Semaphore:
        """How many intents a credential may have: what stands behind them at a crash is unknown, so that nobody
        declares one to wait for a connection then. Each connection has one on its way and one right behind.
        """
        key = (
            credential.workspace,
            credential.name,
            credential.max_connections * max(2, credential.chunking),
        )
        return self._gates.setdefault(key, asyncio.Semaphore(key[2]))

    def sender(
        self, carrier: Carrier, *, run_id: str, node: str, item: int | None, resend: bool, known: bool
    ) -> LedgerSender:
        """The sender of one message: that of a run's node, or of an item of its list.

        ``resend``: what may have been delivered may be sent again. ``known``: there may be a row already, so
        that looking first saves the budget a turn.
        """
        name = f"{run_id}/{node}" if item is None else f"{run_id}/{node}/{item}"
        return LedgerSender(self, carrier, name, run_id, node, resend, known)


_NUMBERS = itertools.count()


class LedgerSender:
    """Sends one message, through any number of attempts, processes and machines, to each recipient once."""

    def __init__(
        self,
        ledger: Deliveries,
        carrier: Carrier,
        name: str,
        run_id: str,
        node: str,
        resend: bool,
        known: bool,
    ) -> None:
        self._ledger = ledger
        self._carrier = carrier
        self._id = name
        self._run_id = run_id
        self._node = node
        self._resend = resend
        self._known = known

    async def send(self, credential: SmtpCredential, envelope: Envelope, data: bytes) -> Outcome:
        """As the carrier's. A message that may have been delivered raises DeliveryUnknown, each time, until
        somebody resolves it; one that was delivered returns its outcome again. Raises Postponed when it is not
        its turn, or nothing can be written down now.
        """
        wanted = envelope.recipients
        if self._known:
            settled = await self._write(lambda connection: self._look(connection, wanted))
            if isinstance(settled, Held):
                raise unknown()
            if settled is not None:
                return settled
        async with self._ledger.gate(credential):
            turn = await self._ledger.turn(credential)
            try:
                if not self._ledger.trusted():
                    raise Postponed(_AWAY)
                self._known = True
                owner = f"{self._ledger.owner}#{next(_NUMBERS)}"
                begun = await self._write(
                    lambda connection: self._begin(connection, credential.name, owner, wanted)
                )
                if isinstance(begun, Held):
                    raise unknown()
                if isinstance(begun, Outcome):
                    return begun
                replies, todo = begun
                mail = envelope._replace(recipients=todo)
                return await self._carry(credential, mail, data, owner, replies, wanted, turn)
            finally:
                if turn is not None:
                    turn.over()

    async def _carry(
        self,
        credential: SmtpCredential,
        envelope: Envelope,
        data: bytes,
        owner: str,
        replies: Replies,
        wanted: tuple[str, ...],
        turn: Turn | None,
    ) -> Outcome:
        begun = time.monotonic()
        state, merged, response, error = State.PENDING, dict(replies), "", None
        try:
            if turn is not None:
                await turn.begin()
            state = State.UNKNOWN
            outcome = await self._carrier.send(credential, envelope, data)
            state, merged = delivery.after(replies, outcome)
            response = outcome.response
        except DeliveryUnknown as exc:
            error = exc.as_dict()
            raise
        except EnvelopeError as exc:
            state, merged = delivery.after_refusal(replies, exc, envelope.recipients)
            error = exc.as_dict()
            if any(name in merged and merged[name] is None for name in wanted):
                # Others were served before a restart: the node has forgotten them, the ledger has not.
                return delivery.outcome_of(merged, wanted, exc.message)
            raise
        except FlowpostError as exc:
            # Certainly not accepted: the carrier says DeliveryUnknown from the end of DATA on.
            state, error = (State.PENDING if exc.transient else State.FAILED), exc.as_dict()
            raise
        finally:
            if turn is not None:
                turn.over()
            # Also when this task is cancelled: once it had left, it is known to be unknown.
            values = {
                "id": self._id,
                "owner": owner,
                "state": str(state),
                "recipients": delivery.dump_replies(merged),
                "response": response,
                "error": None if error is None else json.dumps(error),
            }
            self._ledger.watcher.message(credential.name, str(state), time.monotonic() - begun)
            await asyncio.shield(
                self._ledger.writer.insist(
                    lambda connection: execute(connection, "deliveries.settle", **values)
                )
            )
        return delivery.outcome_of(merged, wanted, response)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._ledger.writer.write(work)
        except Unavailable as exc:
            raise Postponed(_AWAY) from exc

    def _look(self, connection: Connection, wanted: tuple[str, ...]) -> Outcome | Held | None:
        row = first(connection, "deliveries.get", id=self._id)
        if row is None:
            return None
        replies = delivery.load_replies(row["recipients"])
        step = delivery.decide(row["state"], replies, row["response"], wanted, resend=self._resend)
        if isinstance(step, Held):
            execute(connection, "deliveries.hold", id=self._id, attempts=row["attempts"])
            return step
        return step.outcome if isinstance(step, Settled) else None

    def _begin(
        self, connection: Connection, credential: str, owner: str, wanted: tuple[str, ...]
    ) -> Outcome | Held | tuple[Replies, tuple[str, ...]]:
        row = first(connection, "deliveries.get", id=self._id)
        values = {"id": self._id, "owner": owner, "wanted": json.dumps(wanted)}
        if row is None:
            row = first(
                connection,
                "deliveries.insert",
                run_id=self._run_id,
                node=self._node,
                credential=credential,
                **values,
            )
            return Held() if row is None else ({}, wanted)
        replies = delivery.load_replies(row["recipients"])
        step = delivery.decide(row["state"], replies, row["response"], wanted, resend=self._resend)
        if isinstance(step, Settled):
            return step.outcome
        if isinstance(step, Try):
            seen = {"state": row["state"], "attempts": row["attempts"]}
            if first(connection, "deliveries.claim", **values, **seen) is not None:
                return replies, step.recipients
        else:
            # Whoever was sending it is gone: from now on the history says so, and ``runs resolve`` decides.
            execute(connection, "deliveries.hold", id=self._id, attempts=row["attempts"])
        return Held()


def unknown() -> DeliveryUnknown:
    """The error of a message that a dead process was about to send, or was sending."""
    return DeliveryUnknown(
        "Delivery unknown: the process that was sending the message ended in the middle of it"
    )
