"""Runs of commands whose process has died: ended in the history, with what they were sending held as unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.engine.values import dump
from runner.errors import FlowpostError
from runner.ledger.database import Database, execute, rows
from runner.ledger.presence import DEAD, gone
from runner.ledger.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def end_deserted(database: Database, writer: Writer) -> int:
    """End them; how many there were. Raises Unavailable.

    A service's runs are not among them: the next service goes on with those.
    """

    def look(connection: Connection) -> list[str]:
        fresh = rows(connection, "heartbeats.fresh", limit=DEAD)
        # On the same machine a process that has died need not be waited for.
        return [row["owner"] for row in fresh if gone(row["node"])]

    def deserted(connection: Connection) -> list[str]:
        return [row["id"] for row in rows(connection, "runs.deserted", limit=DEAD)]

    dead = await database.read(look)
    if not dead and not await database.read(deserted):
        return 0
    why = FlowpostError(
        "the command that carried the run out ended in the middle of it", hint="flowpost runs retry goes on"
    )

    def end(connection: Connection) -> int:
        for owner in dead:
            execute(connection, "heartbeats.leave", owner=owner)
        found = deserted(connection)
        for run_id in found:
            execute(connection, "deliveries.hold_run", run_id=run_id)
            execute(connection, "runs.fail_run", id=run_id, leg=-1, error=dump(why.as_dict()))
        return len(found)

    return await writer.write(end)
