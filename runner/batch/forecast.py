"""What is said before the first mail: how many messages, through which credential, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runner.credential import Rate
from runner.ledger.estimate import Coming, estimate, estimate_text, rate_text


class Share(NamedTuple):
    """One credential's part. ``messages`` are those that are left to send, None where nobody has counted them;
    ``at_most``: some of them may have left. ``rates`` include the batch's own; ``coming`` is what is used up of them.
    """

    credential: str
    messages: int | None
    rates: tuple[Rate, ...] = ()
    coming: Coming | None = None
    at_most: bool = False

    @property
    def seconds(self) -> float:
        """How long the rates make it."""
        return estimate(self.messages or 0, self.rates, self.coming)

    @property
    def told(self) -> str:
        """All of it for a person."""
        if self.messages is None:
            rates = " and ".join(rate_text(rate) for rate in self.rates)
            return f"a message a row through {self.credential}: {f'at most {rates}' if rates else 'no rate is set'}"
        number = f"{'at most ' if self.at_most else ''}{self.messages:,} message{'s' * (self.messages != 1)}"
        return f"{number} through {self.credential}: {estimate_text(self.messages, self.rates, self.coming)}"


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
