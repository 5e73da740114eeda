"""Who hears of a batch's rows."""

from __future__ import annotations

from typing import Protocol

from runner.batch.feed import Item
from runner.ledger.batches import Record


class Watcher(Protocol):
    """Told of each outcome, once it is on disk."""

    def ended(self, item: Item, record: Record, message_ids: tuple[str, ...]) -> None:
        """A row has its last word."""
        ...

    def waits(self, number: int, seconds: float, why: str) -> None:
        """So many rows wait; the next one's turn comes in ``seconds``."""
        ...
