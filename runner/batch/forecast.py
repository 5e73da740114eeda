"""What is said before the first mail: how many messages, through which credential, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runner.credential import Rate
from runner.ledger.estimate import Coming, estimate, estimate_text


class Share(NamedTuple):
    """One credential's part. ``messages`` are those that are left to send; ``rates`` include the batch's own.

    ``coming`` is what is used up of them.
    """

    credential: str
    messages: int
    rates: tuple[Rate, ...] = ()
    coming: Coming | None = None

    @property
    def seconds(self) -> float:
        """How long the rates make it."""
        return estimate(self.messages, self.rates, self.coming)

    @property
    def told(self) -> str:
        """The same for a person."""
        return estimate_text(self.messages, self.rates, self.coming)


class Forecast(NamedTuple):
    """The plan of a batch. ``total`` is None when the rows were not looked at before."""

    batch_id: str
    flow: str
    data: str
    total: int | None
    already: int
    bad: int
    skipped: int
    unforeseen: int
    shares: Sequence[Share]
    delivery: str
    goes_on: bool

    @property
    def seconds(self) -> float:
        """How long it takes at least."""
        return max((share.seconds for share in self.shares), default=0.0)
