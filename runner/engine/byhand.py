"""A run that one command carries to its end in its own process, over the same tables and ledger as the service.

It neither loads DBOS nor takes the service's lock, and works beside one. Its row is there before its first node, so
that the history shows what it did, whatever happens to the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from runner.engine.execute import Execution, Listener, Silent
from runner.engine.identity import new_run_id
from runner.engine.leg import WAITING, WHOLE, put_result, result_values
from runner.engine.retention import prune_runs
from runner.engine.values import dump, dump_event
from runner.engine.versions import store_version
from runner.errors import FlowpostError, RateError, Unavailable
from runner.ledger.budgets import PATIENCE, Budgets
from runner.ledger.database import Database, execute, first
from runner.ledger.deliveries import Deliveries
from runner.ledger.direct import open_database
from runner.ledger.line import Turn
from runner.ledger.postponed import Postponed
from runner.ledger.pulse import Pulse
from runner.ledger.writer import Writer
from runner.model import Event, Flow, Node, NodeResult, Run
from runner.nodes.base import Context, Sender

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from runner.credential import SmtpCredential

T = TypeVar("T")

_INSISTENT = 5.0
_LEG = -1
_PRUNED = 20

Warn = Callable[[str], None]


class Cancelled(FlowpostError):
    """Somebody cancelled the run, or took this process for dead, while it went on."""

    code = "ECANCELLED"


class ByHand:
    """Carries out one run at a time, as an async context manager; ``warn`` hears what a person should know.

    Entering it raises Unavailable when the database cannot be used: nothing has been done then.
    """

    def __init__(self, context: Context, warn: Warn = lambda text: None) -> None:
        self._context = context
        self._database = open_database(context.settings.database, context.root)
        self._writer = Insistent(self._database, warn)
        self._budgets = Budgets(self._database)
        self._owner = f"{socket.gethostname()}:{uuid.uuid4()}"
        self._pulse = Pulse(self._writer, self._owner)
        self._deliveries = Deliveries(
            writer=self._writer,
            owner=self._owner,
            turn=self._turn,
            trusted=lambda: self._pulse.trusted,
        )
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._database.close)
            await asyncio.to_thread(self._database.migrate)
            stack.push_async_callback(self._writer.close)
            stack.push_async_callback(self._budgets.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def run(self, flow: Flow, event: Event, listener: Listener | None = None) -> Run:
        """Run ``flow`` for ``event`` to its end.

        Raises Unavailable when the run, or the intent to send a message, cannot be written down; Cancelled when the run
        was ended from outside.
        """
        run_id = new_run_id()
        await self._begin(flow, event, run_id)
        journal = HandJournal(self._writer, self._deliveries, self._owner, run_id)
        beating = asyncio.create_task(self._pulse.keep_beating())
        execution = Execution(context=self._context, journal=journal, listener=listener or Silent())
        try:
            run = await execution.run(flow, event, run_id)
            await self._end(run_id, str(run.status), run=run, journal=journal)
        except BaseException as exc:
            if isinstance(exc, Unavailable):
                self._writer.patience = 1.0
            if not isinstance(exc, Cancelled):
                await self._end(run_id, "failed", error=_told(exc))
            raise
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating
        return run

    async def _begin(self, flow: Flow, event: Event, run_id: str) -> None:
        def work(connection: Connection) -> None:
            self._pulse.mark(connection)
            store_version(connection, flow, self._context.settings.templates)
            execute(
                connection,
                "runs.begin_by_hand",
                id=run_id,
                flow=flow.name,
                digest=flow.digest,
                path=flow.path,
                origin=event.type,
                event=dump_event(event),
                owner=self._owner,
            )

        before = time.monotonic()
        await self._writer.write(work)
        self._pulse.marked(before)

    async def _end(
        self,
        run_id: str,
        status: str,
        *,
        run: Run | None = None,
        journal: HandJournal | None = None,
        error: dict[str, object] | None = None,
    ) -> None:
        values = {"status": status, "error": None if error is None else dump(error)}

        def work(connection: Connection) -> bool:
            self._pulse.leave(connection)
            # Where no service runs, nobody else forgets.
            prune_runs(connection, self._context.settings.history_keep, _PRUNED)
            ended = first(connection, "runs.end_run", id=run_id, leg=_LEG, owner=self._owner, **values)
            if ended is not None and run is not None and journal is not None:
                for name in run.nodes.keys() - journal.written:
                    put_result(connection, run_id, name, WHOLE, run.nodes[name])
            return ended is not None

        if not await asyncio.shield(self._writer.insist(work)) and not self._writer.lost and run is not None:
            raise _cancelled()

    async def _turn(self, credential: SmtpCredential) -> Turn | None:
        """Wait for a pace, but for no quota: whoever called the command waits too."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return await self._budgets.claim(credential)
            except Postponed as later:
                if time.monotonic() + later.seconds > until:
                    raise RateError(
                        f'the budget of credential "{credential.name}" is used up for {later.seconds:.0f} s',
                        hint="try again then; flowpost serve and flowpost batch wait for it",
                    ) from None
                await asyncio.sleep(later.seconds)


class HandJournal:
    """The memory of such a run: each result is on disk before the next node begins, and every wait is sat out."""

    def __init__(self, writer: Insistent, deliveries: Deliveries, owner: str, run_id: str) -> None:
        self.written: set[str] = set()
        self._writer = writer
        self._deliveries = deliveries
        self._mine = {"id": run_id, "leg": _LEG, "owner": owner}
        self._run_id = run_id

    def result(self, node: Node, number: int | None = None) -> NodeResult | None:
        """Nothing came before."""
        return None

    def attempts(self, node: Node, number: int | None) -> int:
        """None were used."""
        return 0

    def sender(self, node: Node, number: int | None, sender: Sender) -> Sender:
        """The one that keeps the ledger."""
        return self._deliveries.sender(
            sender,
            run_id=self._run_id,
            node=node.id,
            item=number,
            resend=node.params.get("on_unknown") == "resend",
            known=False,
        )

    async def node_ended(self, node: Node, result: NodeResult) -> None:
        """Write the result. What cannot be written is said once, and the run goes on: the next message's intent will
        not be on disk either, and then it is not sent.
        """
        await self._put(node.id, WHOLE, str(result.status), result.attempts, result)
        self.written.add(node.id)
        _mind_interrupt()

    async def item_ended(self, node: Node, number: int, result: NodeResult) -> None:
        """Write the item's result."""
        await self._put(node.id, number, str(result.status), result.attempts, result)
        _mind_interrupt()

    async def before_wait(self, node: Node, number: int | None, attempts: int, seconds: float) -> None:
        """Write how many attempts are used up. Also tells a database that is away from a turn that comes later."""
        if self._writer.lost:
            raise Unavailable(
                "the database takes nothing any more", hint="what was sent is in the history as unknown"
            )
        await self._put(node.id, WHOLE if number is None else number, WAITING, attempts, None)

    async def _put(
        self, node: str, number: int, status: str, attempts: int, result: NodeResult | None
    ) -> None:
        values = result_values(self._run_id, node, number, status, attempts, result)

        def work(connection: Connection) -> bool:
            if first(connection, "runs.own_run", **self._mine) is None:
                return False
            execute(connection, "runs.put_result", **values)
            return True

        if not await self._writer.insist(work) and not self._writer.lost:
            raise _cancelled()


class Insistent(Writer):
    """A writer that insists for some seconds only: a command must end. ``lost``: something was not written."""

    def __init__(self, database: Database, warn: Warn) -> None:
        super().__init__(database)
        self.lost = False
        self.patience = _INSISTENT
        self._warn = warn

    async def insist(self, work: Callable[[Connection], T]) -> T:
        """As Writer.insist; when it gives up it says so and returns None, for what was done stays done."""
        try:
            async with asyncio.timeout(self.patience):
                return await super().insist(work)
        except TimeoutError:
            if not self.lost:
                self.lost, self.patience = True, 0.1
                self._warn("the database takes nothing any more: the history does not say how this run ended")
            return None  # type: ignore[return-value]


def _mind_interrupt() -> None:
    """Ctrl-C behind a message's end makes that message unknown, and the run must not go on for all that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _cancelled() -> Cancelled:
    return Cancelled("the run was ended from outside", hint="flowpost runs show says how")


def _told(exc: BaseException) -> dict[str, object]:
    if isinstance(exc, FlowpostError):
        return exc.as_dict()
    if isinstance(exc, asyncio.CancelledError | KeyboardInterrupt):
        return FlowpostError("interrupted", hint="flowpost runs retry goes on").as_dict()
    return FlowpostError("a fault of flowpost's own", hint="please report it").as_dict()
