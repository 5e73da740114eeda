"""Ended runs leave the history after a time, with all that belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.ledger.database import execute, rows

if TYPE_CHECKING:
    from sqlalchemy import Connection


def prune_runs(connection: Connection, age: float, limit: int) -> int:
    """Delete at most ``limit`` runs that ended more than ``age`` seconds ago; how many there were.

    One with an unknown delivery stays until that is resolved.
    """
    ids = [row["id"] for row in rows(connection, "runs.old_runs", age=age, limit=limit)]
    for run_id in ids:
        for name in ("runs.delete_results", "runs.delete_deliveries", "runs.delete_run"):
            execute(connection, name, run_id=run_id)
    return len(ids)
