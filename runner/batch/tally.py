"""What came of a batch: one result a row, and the sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from runner.ledger.batches import Record, RowState
from runner.model import Rejection


class Result(NamedTuple):
    """One row's line of the report. ``status`` is a RowState, ``already_sent``, ``captured`` or ``rendered``."""

    row: int
    line: int | None
    key: str | None
    status: str
    attempts: int = 0
    message_ids: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    response: str | None = None
    error: Mapping[str, object] | None = None

    @classmethod
    def of(
        cls,
        record: Record,
        *,
        line: int | None,
        key: str | None,
        status: str | None = None,
        message_ids: tuple[str, ...] = (),
    ) -> Result:
        """The line of what the ledger holds."""
        replies = record.replies or {}
        return cls(
            row=record.number,
            line=line,
            key=key,
            status=status or record.state.value,
            attempts=record.attempts,
            message_ids=message_ids,
            accepted=tuple(name for name, reply in replies.items() if reply is None),
            rejected=tuple(reply for reply in replies.values() if reply is not None),
            response=record.response,
            error=record.error,
        )

    def as_dict(self) -> dict[str, object]:
        """The line as JSON has it."""
        return {
            "row": self.row,
            "line": self.line,
            "key": self.key,
            "status": self.status,
            "attempts": self.attempts,
            "message_ids": list(self.message_ids),
            "accepted": list(self.accepted),
            "rejected": [
                {
                    "address": each.address,
                    "code": each.code,
                    "enhanced_code": each.enhanced_code,
                    "message": each.message,
                }
                for each in self.rejected
            ],
            "response": self.response,
            "error": None if self.error is None else dict(self.error),
        }


@dataclass
class Tally:
    """The sums of one invocation."""

    batch_id: str
    flow: str
    total: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, status: str, number: int = 1) -> None:
        """Count one more."""
        self.counts[status] = self.counts.get(status, 0) + number

    def __getitem__(self, status: str) -> int:
        return self.counts.get(status, 0)

    @property
    def settled(self) -> int:
        """How many rows have an outcome."""
        return sum(self.counts.values())

    @property
    def clean(self) -> bool:
        """Whether every row is sent, or had nothing to send."""
        good = self["sent"] + self["already_sent"] + self["skipped"] + self["captured"] + self["rendered"]
        return good == self.total and not self["invalid"]

    def as_dict(self) -> dict[str, object]:
        """The summary of SPEC section 11."""
        return {
            "batch_id": self.batch_id,
            "flow": self.flow,
            "total": self.total,
            "sent": self["sent"],
            "failed": self["failed"],
            "unknown": self["unknown"],
            "invalid": self["invalid"],
            "skipped": self["skipped"] + self["captured"],
            "already_sent": self["already_sent"],
            "seconds": round(self.seconds, 3),
        }


def already(state: RowState) -> str:
    """How a row is called that had its outcome before."""
    return "already_sent" if state is RowState.SENT else state.value
