"""One leg of a durable run: from the first node without a result to the run's end, or to a long wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.engine.durable import Queue
from runner.engine.execute import Execution, Listener, Silent
from runner.engine.values import dump, load_event, load_result
from runner.engine.versions import Versions
from runner.errors import FlowpostError
from runner.ledger.database import execute, first, rows
from runner.ledger.deliveries import Deliveries
from runner.ledger.writer import Writer
from runner.model import Node, NodeResult, Run, Status
from runner.nodes.base import Context, Sender

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

IN_PLACE = 5.0
"""Seconds of a wait that a leg sits out; a longer one is left to a later leg."""
WAITING = "waiting"
WHOLE = -1
"""The item number of a node's own row."""


class Parked(Exception):
    """The leg ends here, and the next begins in ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Abandoned(Exception):
    """The run is no longer this leg's: it was cancelled, or another process has taken it over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every leg of a process works with."""

    owner: str
    writer: Writer
    queue: Queue
    versions: Versions
    context: Context
    deliveries: Deliveries
    listener: Listener = field(default_factory=Silent)
    draining: Callable[[], bool] = lambda: False

    async def carry_out(self, run_id: str, leg: int) -> Run | None:
        """Go on with a run; what it came to when it has ended here, else None. Raises nothing for a run's sake."""
        begun = await self.writer.insist(lambda connection: self._begin(connection, run_id, leg))
        if begun is None:
            return None
        row, results = begun
        journal = LegJournal(self, run_id, leg, results)
        try:
            flow = await self.versions.flow_of(row["digest"], row["path"])
            started = datetime.fromtimestamp(row["accepted"], UTC)
            execution = Execution(
                context=replace(self.context, started=started), journal=journal, listener=self.listener
            )
            journal.last = flow.nodes[-1].id
            run = await execution.run(flow, load_event(row["event"]), run_id)
        except Parked as parked:
            await self._park(run_id, leg, parked.seconds)
            return None
        except asyncio.CancelledError:
            # The drain is out of patience. The node may have been in the middle of anything; the ledger knows.
            await asyncio.shield(self._park(run_id, leg, 0.0))
            return None
        except Abandoned:
            return None
        except FlowpostError as error:
            return await self._fail(row["flow"], run_id, leg, error.as_dict())
        except Exception:
            log.exception("run %s of %s stopped at a fault of flowpost's own", run_id, row["flow"])
            fault = FlowpostError("a fault of flowpost's own; its log says more", hint="please report it")
            return await self._fail(row["flow"], run_id, leg, fault.as_dict())
        ended = await self.writer.insist(lambda connection: self._end(connection, run, leg, journal))
        return run if ended else None

    def _begin(
        self, connection: Connection, run_id: str, leg: int
    ) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        row = first(connection, "runs.start_run", id=run_id, leg=leg, owner=self.owner)
        if row is None:
            return None
        results = rows(connection, "runs.get_results", run_id=run_id)
        return dict(row), [dict(each) for each in results]

    def _end(self, connection: Connection, run: Run, leg: int, journal: LegJournal) -> bool:
        status = str(run.status)
        values = {"id": run.id, "leg": leg, "owner": self.owner, "status": status, "error": None}
        if first(connection, "runs.end_run", **values) is None:
            return False
        for name, result in run.nodes.items():
            if (name, WHOLE) not in journal.results:
                put_result(connection, run.id, name, WHOLE, result)
        return True

    async def _park(self, run_id: str, leg: int, seconds: float) -> None:
        status = WAITING if seconds else "accepted"

        def work(connection: Connection) -> None:
            row = first(connection, "runs.park_run", id=run_id, leg=leg, owner=self.owner, status=status)
            if row is not None:
                self.queue.put(connection, run_id, row["leg"], seconds or None)

        await self.writer.insist(work)

    async def _fail(self, flow: str, run_id: str, leg: int, error: dict[str, object]) -> Run:
        await self.writer.insist(
            lambda connection: execute(connection, "runs.fail_run", id=run_id, leg=leg, error=dump(error))
        )
        return Run(id=run_id, flow=flow, status=Status.FAILED, nodes={})


class LegJournal:
    """A run's memory in the database: each result is on disk before the next node begins."""

    def __init__(self, desk: Desk, run_id: str, leg: int, known: list[dict[str, Any]]) -> None:
        self.last = ""
        self.fresh = not known and leg == 0
        self._desk = desk
        self._run_id = run_id
        self._leg = leg
        self.results: dict[tuple[str, int], NodeResult] = {}
        self._attempts: dict[tuple[str, int], int] = {}
        for row in known:
            key = (row["node"], row["item"])
            if row["status"] == WAITING:
                self._attempts[key] = row["attempts"]
            else:
                self.results[key] = load_result(row)

    def result(self, node: Node, number: int | None = None) -> NodeResult | None:
        """What an earlier leg left."""
        return self.results.get(_key(node, number))

    def attempts(self, node: Node, number: int | None) -> int:
        """What earlier legs used up."""
        return self._attempts.get(_key(node, number), 0)

    def sender(self, node: Node, number: int | None, sender: Sender) -> Sender:
        """The one that keeps the ledger."""
        return self._desk.deliveries.sender(
            sender,
            run_id=self._run_id,
            node=node.id,
            item=number,
            resend=node.params.get("on_unknown") == "resend",
            known=not self.fresh,
        )

    async def node_ended(self, node: Node, result: NodeResult) -> None:
        """Write the result, and stop here when the process is to end."""
        if node.id == self.last:
            # Nothing is done between this and the run's end, which writes it too: one commit instead of two.
            return
        await self._record(node, WHOLE, result)
        if self._desk.draining():
            raise Parked(0.0)

    async def item_ended(self, node: Node, number: int, result: NodeResult) -> None:
        """Write the item's result, and stop here when the process is to end."""
        await self._record(node, number, result)
        if self._desk.draining():
            raise Parked(0.0)

    async def before_wait(self, node: Node, number: int | None, attempts: int, seconds: float) -> None:
        """Write how many attempts are used up; leave a long wait to a later leg."""
        await self._put(node.id, WHOLE if number is None else number, WAITING, attempts, None)
        if seconds > IN_PLACE or self._desk.draining():
            raise Parked(seconds)

    async def _record(self, node: Node, number: int, result: NodeResult) -> None:
        self.results[node.id, number] = result
        await self._put(node.id, number, str(result.status), result.attempts, result)

    async def _put(
        self, node: str, number: int, status: str, attempts: int, result: NodeResult | None
    ) -> None:
        values = result_values(self._run_id, node, number, status, attempts, result)
        mine = {"id": self._run_id, "leg": self._leg, "owner": self._desk.owner}

        def work(connection: Connection) -> bool:
            if first(connection, "runs.own_run", **mine) is None:
                return False
            execute(connection, "runs.put_result", **values)
            return True

        if not await self._desk.writer.insist(work):
            raise Abandoned


def _key(node: Node, number: int | None) -> tuple[str, int]:
    return node.id, WHOLE if number is None else number


def result_values(
    run_id: str, node: str, item: int, status: str, attempts: int, result: NodeResult | None
) -> dict[str, object]:
    """The parameters of ``put_result``."""
    return {
        "run_id": run_id,
        "node": node,
        "item": item,
        "status": status,
        "attempts": attempts,
        "output": None if result is None or result.output is None else dump(result.output),
        "error": None if result is None or result.error is None else dump(result.error),
    }


def put_result(connection: Connection, run_id: str, node: str, item: int, result: NodeResult) -> None:
    """Write what a node, or an item, came to."""
    values = result_values(run_id, node, item, str(result.status), result.attempts, result)
    execute(connection, "runs.put_result", **values)
