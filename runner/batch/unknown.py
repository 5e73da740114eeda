"""What a person says of rows whose delivery is unknown: these arrived, those are to be mailed again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from runner.errors import UsageError
from runner.ledger.batches import RowState
from runner.ledger.database import execute, rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LAST = 10**15
_RANGE = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", re.ASCII)


class Rows(NamedTuple):
    """Numbers of rows, from 1 on, as stretches."""

    stretches: tuple[tuple[int, int], ...]

    def has(self, number: int) -> bool:
        """Whether the row is one of them."""
        return any(first <= number <= last for first, last in self.stretches)

    @classmethod
    def parse(cls, text: str) -> Rows:
        """``all``, or for example ``17,40-60``; UsageError for anything else."""
        if text.strip().lower() == "all":
            return cls(((1, _LAST),))
        found = []
        for part in text.split(","):
            match = _RANGE.fullmatch(part.strip())
            first = int(match[1]) if match else 0
            last = int(match[2] or first) if match else 0
            if not 1 <= first <= last:
                raise UsageError(
                    f'--unknown-sent "{part.strip()[:40]}" names no rows',
                    hint='"all", or numbers of rows as the report has them, for example 17,40-60',
                )
            found.append((first, last))
        return cls(tuple(found))


class Decisions(NamedTuple):
    """What becomes of a row that is unknown, where somebody has decided it.

    ``run_of`` gives the run of a row that is more than one message: its messages are decided about, and the row goes
    on behind them. None where the row is one message.
    """

    sent: Rows | None = None
    resend: bool = False
    run_of: Callable[[int], str] | None = None

    def of(self, connection: Connection, number: int) -> RowState:
        """The row's new state; UNKNOWN where nothing was decided."""
        if self.sent is None or not self.sent.has(number):
            return RowState.PENDING if self.resend else RowState.UNKNOWN
        if self.run_of is None:
            return RowState.SENT
        for message in rows(connection, "deliveries.unknown_of_run", run_id=self.run_of(number)):
            execute(connection, "deliveries.resolve_sent", id=message["id"])
        return RowState.PENDING
