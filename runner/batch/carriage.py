"""Who carries the messages of a batch: this process's own connections, or a second process that has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple, Protocol

from runner.credential import SmtpCredential
from runner.errors import FlowpostError
from runner.ledger.flights import Flights
from runner.model import Envelope, Outcome
from runner.nodes.blank import Draft
from runner.smtp.pool import Sender
from runner.smtp.transaction import Letter


class Elsewhere(NamedTuple):
    """A message that the second process has written and keeps: what of it is needed to decide about its row."""

    sender: str
    recipients: tuple[str, ...]
    smtputf8: bool
    message_id: str

    @property
    def envelope(self) -> Envelope:
        """Who sends to whom."""
        return Envelope(self.sender, self.recipients, self.smtputf8)


KEPT = 48 * 2**20
"""Octets of messages that a process keeps for the sending, so that a small batch is written once."""


Written = Draft | Elsewhere
Entry = Written | FlowpostError | bool | None
"""What a row came to whose message was to be written: the message, what is wrong with the row, None for a row without
a message, True for a message that is good and was not kept.
"""


class Carriage(Protocol):
    """Takes messages whose intent is on disk."""

    def submit(
        self, credential: SmtpCredential, number: int, envelope: Envelope, written: Written
    ) -> asyncio.Future[Outcome]:
        """Send row ``number``'s message to ``envelope``; the future has the outcome, or raises as ``Sender.send``.

        A future that is cancelled was certainly not handed over. Raises what is wrong with the envelope.
        """
        ...

    def arrived(self, number: int) -> None:
        """Note, where nobody has, that row ``number``'s message was accepted for everybody."""
        ...

    def abandon(self, flying: Iterable[asyncio.Future[Outcome]]) -> None:
        """Take back what can be taken back of those that ``submit`` gave: every one ends now."""
        ...


def sealed(flights: Flights | None, number: int, envelope: Envelope, data: bytes, *, dotted: bool) -> Letter:
    """Row ``number``'s message, that notes when it leaves; raises what is wrong with the envelope."""
    leaves = None if flights is None else partial(flights.leaves, number)
    return Letter.seal(envelope, data, dotted=dotted, leaves=leaves)


class Here:
    """The connections of this very process."""

    def __init__(self, sender: Sender, flights: Flights | None = None) -> None:
        """``flights`` notes what may have left."""
        self._sender = sender
        self._flights = flights

    def submit(
        self, credential: SmtpCredential, number: int, envelope: Envelope, written: Written
    ) -> asyncio.Future[Outcome]:
        """See ``Carriage``."""
        assert not isinstance(written, Elsewhere)
        letter = sealed(self._flights, number, envelope, written.data, dotted=written.dotted)
        return self._sender.submit(credential, letter)

    def arrived(self, number: int) -> None:
        """See ``Carriage``."""
        if self._flights is not None:
            self._flights.arrived(number)

    def abandon(self, flying: Iterable[asyncio.Future[Outcome]]) -> None:
        """See ``Carriage``."""
        for job in list(flying):
            job.cancel()
