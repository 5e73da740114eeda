"""Until when the ticks of each schedule are dealt with, in the database: for all machines, and for throw-away disks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.errors import Unavailable
from runner.ledger.database import Database, execute, rows
from runner.ledger.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOG = logging.getLogger("flowpost.schedule")
_SLACK = 60.0
_KEPT = 400 * 86400.0
"""Longer than a year: a yearly schedule is marked once a year, and at each start."""


class DatabaseMarks:
    """The marks of one service, shared with others on the same database.

    A schedule that this service had and has no longer is forgotten. One that it never had stays: its file may be broken
    now, or it is another machine's.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._saved: dict[str, datetime] = {}

    async def load(self) -> Mapping[str, datetime]:
        """By a schedule's identity. Raises Unavailable."""
        found = await self._database.read(lambda connection: rows(connection, "schedules.marks"))
        return {row["identity"]: datetime.fromtimestamp(row["done"], UTC) for row in found}

    async def save(self, marks: Mapping[str, datetime]) -> None:
        """Keep what has changed; a database that is away is logged, and the next call makes up for it."""
        changed = {name: time for name, time in marks.items() if self._saved.get(name) != time}
        gone = self._saved.keys() - marks.keys()

        def work(connection: Connection) -> None:
            for name, time in changed.items():
                execute(connection, "schedules.mark", identity=name, done=time.timestamp(), slack=_SLACK)
            for name in gone:
                execute(connection, "schedules.unmark", identity=name)
            execute(connection, "schedules.forget", age=_KEPT)

        try:
            await self._writer.write(work)
        except Unavailable as error:
            _LOG.warning("how far the schedules are cannot be written down yet: %s", error.message)
        else:
            self._saved = dict(marks)
