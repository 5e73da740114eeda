"""Carries the rows of any flow: each row is a run, and its messages go through the delivery ledger one by one.

What a node came to is kept until the row has its outcome, so that a row that is taken up again goes on behind its last
node that succeeded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.batch.feed import Feed, Item
from runner.batch.later import Later
from runner.batch.letters import EVENT, Bodies, row_id
from runner.batch.stop import Stop
from runner.batch.verdict import SERVER
from runner.batch.watcher import Watcher
from runner.engine.execute import Execution
from runner.engine.leg import WHOLE, put_result
from runner.engine.values import load_result
from runner.errors import FlowpostError
from runner.ledger.batches import Ours, Record, RowState
from runner.ledger.database import execute, rows
from runner.ledger.deliveries import Deliveries
from runner.ledger.delivery import load_replies
from runner.ledger.writer import Writer
from runner.model import Event, Flow, Node, NodeResult, Rejection, Run, Status
from runner.nodes.base import Context, Sender

if TYPE_CHECKING:
    from sqlalchemy import Connection

AT_ONCE = 32
"""Rows under way at a time."""
_SIT_OUT = 1.0
"""Seconds of a wait that a row sits out; for a longer one it steps aside."""


class Aside(Exception):
    """The row goes on in ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(eq=False, repr=False)
class Carrier:
    """Works until every row of the feed has its outcome, or until ``stop`` says so."""

    feed: Feed
    flow: Flow
    context: Context
    bodies: Bodies
    batch_id: str
    time: datetime
    ours: Ours
    writer: Writer
    deliveries: Deliveries
    watcher: Watcher
    stop: Stop
    check: bool
    resend: bool = False
    declared: Callable[[int], bool] = lambda number: False
    """Whether somebody has said of a row that what is unknown of it arrived."""
    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        self._awake = asyncio.Event()
        self._later = Later()
        self._journals: dict[int, RowJournal] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look again: something has changed."""
        self._awake.set()

    async def run(self) -> None:
        """Raises what stopped the batch: an error that every row would meet, or a database that is away."""
        self.stop.subscribe(self.wake, self._abandon)
        try:
            while True:
                self._awake.clear()
                if self.feed.failure is not None:
                    self.stop.because(self.feed.failure)
                while not self.stop.asked and len(self._tasks) < self.at_once:
                    item = self._take()
                    if item is None:
                        break
                    task = asyncio.create_task(self._row(item))
                    self._tasks.add(task)
                    task.add_done_callback(self._ended)
                finished = self.feed.take_finished()
                if finished:
                    await self._write([], finished)
                    continue
                if not self._tasks and (self.stop.asked or self._empty()):
                    break
                await self._sleep()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.stop.error is not None:
            raise self.stop.error

    def _empty(self) -> bool:
        return self.feed.over and not len(self.feed) and not self._later

    def _take(self) -> Item | None:
        return self._later.due(time.monotonic()) or (None if self._later.full else self.feed.take())

    async def _sleep(self) -> None:
        seconds = 1.0
        if (left := self._later.wait(time.monotonic())) is not None:
            if not self._tasks and left > 1.0:
                self.watcher.waits(len(self._later), left, "for a later attempt")
            seconds = max(0.001, min(seconds, left))
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._awake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stop.because(error)

    def _abandon(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _row(self, item: Item) -> None:
        number = item.row.number
        try:
            body = self.bodies.of(item.row, check=self.check)
        except FlowpostError as error:
            await self._settle(item, RowState.INVALID, error=error.as_dict())
            return
        run_id = row_id(self.batch_id, number)
        journal = self._journals.pop(number, None) or await self._journal(item, run_id)
        execution = Execution(context=self.context, journal=journal)
        try:
            run = await execution.run(self.flow, Event(type=EVENT, body=body, time=self.time), run_id)
        except Aside as aside:
            self._journals[number] = journal
            self._later.put(time.monotonic() + aside.seconds, item)
            return
        blocking = _blocking(run)
        if blocking is not None:
            # The row is as it was: nothing of its message was handed over.
            self.stop.because(blocking)
            return
        await self._settle_run(item, run)

    async def _journal(self, item: Item, run_id: str) -> RowJournal:
        known: list[dict[str, object]] = []
        if not item.stretch.fresh:

            def work(connection: Connection) -> list[dict[str, object]]:
                if self.declared(item.row.number):
                    # Whoever was sending them is dead, and nobody has called them unknown yet.
                    for message in rows(connection, "deliveries.unknown_of_run", run_id=run_id):
                        execute(connection, "deliveries.resolve_sent", id=message["id"])
                return [dict(row) for row in rows(connection, "runs.get_results", run_id=run_id)]

            known = await self.writer.write(work)
        return RowJournal(self, run_id, known, fresh=item.stretch.fresh)

    async def _settle_run(self, item: Item, run: Run) -> None:
        replies = await self._refused(run) if any(result.error for result in run.nodes.values()) else {}
        outputs = [
            output
            for node in self.flow.nodes
            if node.type == "smtp"
            for output in _outputs(run.nodes[node.id])
        ]
        ids = []
        for output in outputs:
            ids.append(str(output["message_id"]))
            replies.update((each["address"], Rejection(**each)) for each in output["rejected"])
            replies.update(dict.fromkeys(output["accepted"]))
        errors = [dict(result.error) for result in run.nodes.values() if result.error is not None]
        item.attempts = max((result.attempts for result in run.nodes.values()), default=0)
        item.replies = replies
        if any(error["code"] == "EUNKNOWN" for error in errors):
            state = RowState.UNKNOWN
        elif run.status is Status.FAILED:
            state = RowState.FAILED
        else:
            served = None in replies.values()
            state = RowState.SENT if served else RowState.FAILED if errors else RowState.SKIPPED
        await self._settle(item, state, error=errors[0] if errors else None, message_ids=tuple(ids))

    async def _refused(self, run: Run) -> dict[str, Rejection | None]:
        """Who was refused by nodes that failed, as the ledger has it."""

        def work(connection: Connection) -> list[str]:
            return [str(row["recipients"]) for row in rows(connection, "deliveries.of_run", run_id=run.id)]

        found: dict[str, Rejection | None] = {}
        for replies in await self.writer.write(work):
            found |= {name: reply for name, reply in load_replies(replies).items() if reply is not None}
        return found

    async def _settle(
        self,
        item: Item,
        state: RowState,
        *,
        error: Mapping[str, object] | None = None,
        message_ids: tuple[str, ...] = (),
    ) -> None:
        record = Record(item.row.number, state, item.attempts, item.replies or None, None, error)
        if item.stretch.number in await self._write([record], []):
            self.watcher.ended(item, record, message_ids)
        self.feed.settled(item)

    async def _write(self, records: list[Record], finished: list[int]) -> set[int]:
        held = await self.writer.insist(lambda connection: self.ours.turn(connection, records, finished))
        self.feed.noted(finished)
        return held


class RowJournal:
    """A row's memory: results of nodes that succeeded are on disk, attempts are counted here."""

    def __init__(self, carrier: Carrier, run_id: str, known: list[dict[str, object]], *, fresh: bool) -> None:
        self._carrier = carrier
        self._run_id = run_id
        self._fresh = fresh
        self._results: dict[tuple[str, int], NodeResult] = {}
        self._attempts: dict[tuple[str, int], int] = {}
        for row in known:
            if row["status"] == "succeeded":
                self._results[str(row["node"]), int(str(row["item"]))] = load_result(row)

    def result(self, node: Node, number: int | None = None) -> NodeResult | None:
        """What it came to before the row stepped aside, or before a crash."""
        return self._results.get(_key(node, number))

    def attempts(self, node: Node, number: int | None) -> int:
        """How many were used."""
        return self._attempts.get(_key(node, number), 0)

    def sender(self, node: Node, number: int | None, sender: Sender) -> Sender:
        """The one that keeps the ledger."""
        return self._carrier.deliveries.sender(
            sender,
            run_id=self._run_id,
            node=node.id,
            item=number,
            resend=self._carrier.resend or node.params.get("on_unknown") == "resend",
            known=not self._fresh,
        )

    async def node_ended(self, node: Node, result: NodeResult) -> None:
        """Keep the result."""
        await self._keep(node, WHOLE, result)

    async def item_ended(self, node: Node, number: int, result: NodeResult) -> None:
        """Keep the item's result."""
        await self._keep(node, number, result)

    async def before_wait(self, node: Node, number: int | None, attempts: int, seconds: float) -> None:
        """Step aside for a wait that is not short, so that another row can use the time."""
        self._attempts[_key(node, number)] = attempts
        self._fresh = False
        if seconds > _SIT_OUT:
            raise Aside(seconds)

    async def _keep(self, node: Node, number: int, result: NodeResult) -> None:
        self._results[node.id, number] = result
        # The ledger knows of an smtp node; a row of one node, or a last one, has its outcome right after.
        if result.status is Status.SUCCEEDED and (
            number != WHOLE or node.id != self._carrier.flow.nodes[-1].id
        ):
            await self._carrier.writer.insist(
                lambda connection: put_result(connection, self._run_id, node.id, number, result)
            )


def _key(node: Node, number: int | None) -> tuple[str, int]:
    return node.id, WHOLE if number is None else number


def _outputs(result: NodeResult) -> list[dict[str, Any]]:
    output = result.output
    found = output if isinstance(output, list) else [output]
    return [each for each in found if isinstance(each, dict) and "accepted" in each]


def _blocking(run: Run) -> FlowpostError | None:
    """The error of a node that every other row would meet too."""
    kinds = {kind.code: kind for kind in SERVER}
    for result in run.nodes.values():
        error = result.error
        if error is not None and not error["transient"] and error["code"] in kinds:
            hint = error["hint"]
            return kinds[str(error["code"])](str(error["message"]), hint=None if hint is None else str(hint))
    return None
