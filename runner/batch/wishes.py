"""What the command was asked for, and who shows what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from runner.batch.forecast import Forecast
from runner.batch.preflight import Found
from runner.batch.tally import Tally
from runner.credential import Rate, SmtpCredential
from runner.ledger.batches import RowState

if TYPE_CHECKING:
    from runner.batch.unknown import Rows


class Wishes(NamedTuple):
    """The command's options."""

    batch_id: str | None = None
    key: str | None = None
    limit: int | None = None
    rate: Rate | None = None
    concurrency: int | None = None
    processes: int | None = None
    preflight: bool = True
    skip_invalid: bool = False
    resend_unknown: bool = False
    unknown_sent: Rows | None = None
    retry_failed: bool = False
    accept_changed_flow: bool = False
    dry_run: bool = False

    def within(self, credential: SmtpCredential) -> SmtpCredential:
        """The credential with as many connections as are wished for."""
        if self.concurrency is None or self.concurrency >= credential.max_connections:
            return credential
        return credential._replace(max_connections=self.concurrency)

    @property
    def reopened(self) -> tuple[RowState, ...]:
        """Rows of these states are tried again. What was left out may be good by now: the flow may have changed."""
        states = [RowState.INVALID]
        if self.retry_failed:
            states.append(RowState.FAILED)
        return tuple(states)


class Face(Protocol):
    """Whoever shows a person, or a log, what goes on."""

    def checking(self, rows: int) -> None:
        """So many rows have been looked at."""
        ...

    def bad(self, found: Found, data: str, *, left_out: bool) -> None:
        """Rows that cannot be sent."""
        ...

    def agree(self, forecast: Forecast) -> bool:
        """Show what will happen; whether it may. Raises UsageError where nobody can be asked."""
        ...

    def progress(self, tally: Tally) -> None:
        """Some more rows have their outcome."""
        ...

    def waits(self, number: int, seconds: float, why: str) -> None:
        """So many rows wait."""
        ...


class Refused(Exception):
    """The person said no."""
