"""A credential's rates, kept together by every flow, process and machine on one database."""

from __future__ import annotations

import asyncio
import math
import time

from runner.credential import Rate, SmtpCredential
from runner.errors import RateError
from runner.ledger.database import Database
from runner.ledger.line import Line, Turn, Turns
from runner.ledger.postponed import Postponed

PATIENCE = 5.0
"""Seconds that a message waits in place for its turn."""
IMPATIENCE = 1.0
"""The same, for a run that may not wait."""


def credential_key(credential: SmtpCredential) -> str:
    """What the budgets of a credential's rates are kept under."""
    return f"{credential.workspace}/{credential.name}"


def passage_key(key: str) -> str:
    """The same for rates that are no credential's. No credential has such a name: nobody takes from another's rates."""
    return f"={key}"


class Budgets:
    """Turns of one process, on one loop; credentials without rates have theirs at once."""

    def __init__(self, database: Database, *, may_wait: bool = True) -> None:
        """``may_wait`` False: a turn that does not come within a second is a RateError."""
        self._database = database
        self._may_wait = may_wait
        self._lines: dict[str, Line] = {}
        self._passages: dict[str, Line] = {}
        self._replaced: list[Line] = []

    async def claim(self, credential: SmtpCredential) -> Turn | None:
        """A message's turn, just before its moment: await ``begin()`` on it to leave, and call ``over()`` once the
        message has been answered. However late it arrives in between, no window holds too many.

        None where there are no rates. Raises Postponed when it is not soon, or RateError.
        """
        if not credential.rates:
            return None
        key = credential_key(credential)
        line = self._line(self._lines, key, credential.rates, credential.max_connections)
        try:
            return await line.turn(PATIENCE if self._may_wait else IMPATIENCE)
        except Postponed as later:
            if self._may_wait:
                raise
            raise RateError(
                f'the budget of credential "{credential.name}" is used up for {later.seconds:.0f} s',
                hint="the run may not wait; try again then",
            ) from None

    async def claim_passage(
        self, key: str, rates: tuple[Rate, ...], *, patience: float = math.inf
    ) -> Turn | None:
        """As ``claim``, for rates that are not a credential's, such as those of a batch.

        Every process on this database that names the same ``key`` shares the ``rates``. Raises Postponed when the
        turn is further away than ``patience`` seconds; by default it is waited for, however long that takes.
        """
        if not rates:
            return None
        line = self._line(self._passages, passage_key(key), rates, 0)
        ends = time.monotonic() + patience
        while True:
            try:
                return await line.turn(min(PATIENCE, ends - time.monotonic()))
            except Postponed as later:
                if time.monotonic() + later.seconds > ends:
                    raise
                await asyncio.sleep(later.seconds)

    async def claim_both(self, key: str, rates: tuple[Rate, ...], credential: SmtpCredential) -> Turns:
        """A turn at rates of one's own, waited for however long that takes, and then at the credential's."""
        own = await self.claim_passage(key, rates)
        try:
            return Turns(own, await self.claim(credential))
        except BaseException:
            if own is not None:
                own.over()
            raise

    def remaining(self) -> dict[str, int]:
        """Messages left in each credential's tightest quota, as far as this process knows."""
        return {
            key.partition("/")[2]: line.room for key, line in self._lines.items() if line.room is not None
        }

    async def close(self) -> None:
        """Stop handing out turns."""
        for line in (*self._lines.values(), *self._passages.values(), *self._replaced):
            await line.close()

    def _line(self, lines: dict[str, Line], key: str, rates: tuple[Rate, ...], connections: int) -> Line:
        line = lines.get(key)
        if line is None or line.rates != rates:
            if line is not None:
                # What it has under way still counts.
                self._replaced.append(line)
            line = lines[key] = Line(self._database, key, rates, connections)
        return line
