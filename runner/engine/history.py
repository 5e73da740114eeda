"""What has run: list, show, retry, cancel, resolve. Works beside a running service, in any process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.engine.deserted import end_deserted
from runner.engine.durable import Queue
from runner.engine.leg import WAITING, WHOLE
from runner.engine.values import load, load_result
from runner.errors import Unavailable, UsageError
from runner.ledger.database import Database, execute, first, rows
from runner.ledger.direct import open_database
from runner.ledger.presence import DEAD
from runner.ledger.writer import Writer
from runner.model import NodeResult, Run, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection

STATUSES = ("accepted", "running", "waiting", "succeeded", "failed", "cancelled")


class History:
    """The runs of one database. Rows are mappings whose values JSON can hold; times are seconds since 1970."""

    def __init__(self, database: Database, writer: Writer, queue: Queue) -> None:
        self._database = database
        self._writer = writer
        self._queue = queue

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, root: Path, *, reopening: bool = True) -> AsyncIterator[History]:
        """The history of a database, without an engine. Raises Unavailable.

        Without ``reopening``, ``retry`` and ``resolve`` cannot be called, and a SQLite file opens faster.
        """
        database = Database(url, root) if reopening else open_database(url, root)
        await asyncio.to_thread(database.migrate)
        writer, queue = Writer(database), Queue(database)
        try:
            with contextlib.suppress(Unavailable):
                # Where nothing can be written, there is still something to be read.
                await end_deserted(database, writer)
            yield cls(database, writer, queue)
        finally:
            await writer.close()
            queue.close()
            database.close()

    async def list(
        self,
        flow: str | None = None,
        status: str | None = None,
        limit: int = 50,
        before: str | None = None,
        *,
        unknown: bool = False,
    ) -> Sequence[Mapping[str, Any]]:
        """The newest runs first; ``before`` is the id of the last one of the page before.

        ``unknown`` in a row: a message of the run may or may not have been delivered, as its outcome or the death of
        the process that was sending it says. As an argument: only such runs.
        """
        values = {"flow": flow, "status": status, "limit": limit, "before": before, "dead": DEAD}
        name = "runs.list_unknown" if unknown else "runs.list_runs"
        found = await self._database.read(lambda connection: rows(connection, name, **values))
        return [{**row, "unknown": bool(row["unknown"]), "error": _loaded(row["error"])} for row in found]

    async def count(self) -> dict[str, int]:
        """How many runs have which status."""
        found = await self._database.read(lambda connection: rows(connection, "runs.count_runs"))
        return {row["status"]: row["number"] for row in found}

    async def open_runs(self) -> dict[str, int]:
        """The same for those that have not ended, which is quick however long the history is."""
        found = await self._database.read(lambda connection: rows(connection, "runs.count_open"))
        return {row["status"]: row["number"] for row in found}

    async def show(self, run_id: str) -> Mapping[str, Any]:
        """One run with its event, its nodes and its deliveries; UsageError when there is none."""

        def work(connection: Connection) -> dict[str, Any]:
            run = _found(connection, run_id)
            return {
                **run,
                "results": rows(connection, "runs.get_results", run_id=run_id),
                "deliveries": rows(connection, "deliveries.of_run", run_id=run_id),
            }

        run = await self._database.read(work)
        nodes = {
            row["node"]: load_result(dict(row)).as_dict()
            if row["status"] != WAITING
            else {"status": WAITING, "attempts": row["attempts"], "output": None, "error": None}
            for row in run.pop("results")
            if row["item"] == WHOLE
        }
        deliveries = [
            {**row, "wanted": json.loads(row["wanted"]), "recipients": json.loads(row["recipients"])}
            for row in run.pop("deliveries")
        ]
        event = load(run.pop("event"))
        error = _loaded(run.pop("error"))
        return {**run, "event": event, "error": error, "nodes": nodes, "deliveries": deliveries}

    async def ended(self, run_id: str) -> Run | None:
        """The run, when there is one and it has ended."""

        def work(connection: Connection) -> Run | None:
            run = first(connection, "runs.get_run", id=run_id)
            if run is None or run["ended"] is None:
                return None
            nodes: dict[str, NodeResult] = {
                row["node"]: load_result(dict(row))
                for row in rows(connection, "runs.get_results", run_id=run_id)
                if row["item"] == WHOLE and row["status"] != WAITING
            }
            status = Status.SUCCEEDED if run["status"] == "succeeded" else Status.FAILED
            return Run(id=run_id, flow=run["flow"], status=status, nodes=nodes)

        return await self._database.read(work)

    async def cancel(self, run_id: str) -> None:
        """End a run after the node that it is at; UsageError when it has ended, or there is none."""

        def work(connection: Connection) -> None:
            run = _found(connection, run_id)
            if first(connection, "runs.cancel_run", id=run_id) is None:
                raise UsageError(f"run {run_id} has ended already: {run['status']}")

        await self._writer.write(work)

    async def retry(self, run_id: str) -> None:
        """Go on with an ended run at the nodes that failed or were skipped; UsageError when that cannot be."""
        await self._open_queue()

        def work(connection: Connection) -> None:
            run = _found(connection, run_id)
            if run["status"] not in ("failed", "cancelled"):
                raise UsageError(f"run {run_id} is {run['status']}: only one that failed is tried again")
            if first(connection, "deliveries.unknown_of_run", run_id=run_id) is not None:
                raise UsageError(
                    f"run {run_id} has a message of which nobody knows whether it was delivered",
                    hint="flowpost runs resolve decides about it, and the run goes on",
                )
            execute(connection, "runs.forget_failures", run_id=run_id)
            self._reopen(connection, run_id)

        await self._writer.write(work)

    async def resolve(self, run_id: str, decision: str) -> int:
        """Decide about a run's unknown deliveries, ``sent`` or ``resend``, and go on with the run.

        How many there were; UsageError when there were none, or the run has not ended.
        """
        if decision not in ("sent", "resend"):
            raise UsageError(f'"{decision}" is not one of sent, resend')
        await self._open_queue()

        def work(connection: Connection) -> int:
            run = _found(connection, run_id)
            if run["ended"] is None:
                raise UsageError(f"run {run_id} has not ended: it is {run['status']}")
            unknown = rows(connection, "deliveries.unknown_of_run", run_id=run_id)
            if not unknown:
                raise UsageError(f"run {run_id} has no message whose delivery is unknown")
            for row in unknown:
                execute(connection, f"deliveries.resolve_{decision}", id=row["id"])
                execute(connection, "runs.forget_node", run_id=run_id, node=row["node"])
            if run["status"] != "succeeded":
                execute(connection, "runs.forget_failures", run_id=run_id)
            self._reopen(connection, run_id)
            return len(unknown)

        return await self._writer.write(work)

    async def _open_queue(self) -> None:
        if not self._queue.opened:
            await asyncio.to_thread(self._queue.open)
            await asyncio.to_thread(self._queue.create)

    def _reopen(self, connection: Connection, run_id: str) -> None:
        row = first(connection, "runs.reopen_run", id=run_id)
        assert row is not None
        self._queue.put(connection, run_id, row["leg"])


def _found(connection: Connection, run_id: str) -> dict[str, Any]:
    run = first(connection, "runs.get_run", id=run_id)
    if run is None:
        raise UsageError(f"there is no run {run_id}", hint="flowpost runs list shows them")
    return dict(run)


def _loaded(text: str | None) -> Any:
    return None if text is None else load(text)
