"""DBOS behind one door: its configuration, its workflows, its queue. Nobody else imports it.

A workflow is a *leg*: one stretch of a run, from its first node that has no result to its end, or to a long wait;
or several first legs, of runs that were accepted in one commit, since a workflow costs DBOS as much as they do us.
What nodes did is kept in our own tables, so that DBOS only has to see to it that each leg is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from runner.engine.gate import Gate
from runner.errors import Unavailable
from runner.ledger.database import Database, single_writer, translated

if TYPE_CHECKING:
    from dbos import DBOSClient, DBOSConfig
    from sqlalchemy import Connection

APPLICATION = "flowpost"
VERSION = "1"
"""Constant: DBOS never runs what was enqueued under another version, without a word."""
QUEUE = "runs"
TURNS = "suspects"
"""The queue of legs of which each process carries few at a time."""
FEW = 5
WORKFLOW = "leg"
ALONE = "leg alone"
TOGETHER = "legs"
PARTY = 8
"""Legs that a workflow carries at most; they begin at once, and it is over when the last of them is."""
POLLING = 0.1
_TURNS_POLLING = 0.5
_THREADS = 16

Leg = Callable[[str, int], Awaitable[None]]


class Way(Enum):
    """How a leg is carried out: which queue, which workflow. For what leads to each see ``runner.engine.deaths``."""

    BESIDE = (QUEUE, WORKFLOW)
    IN_TURN = (TURNS, WORKFLOW)
    ALONE = (TURNS, ALONE)
    TOGETHER = (QUEUE, TOGETHER)


def workflow_id(run_ids: str, leg: int) -> str:
    """The name among DBOS's workflows of a run's leg, or of that of several runs, joined by commas."""
    return f"{run_ids}:{leg}"


def runs_and_leg(name: str) -> list[tuple[str, int]]:
    """The runs that ``workflow_id`` was made of, each with its leg; none for a name of another kind."""
    run_ids, _, leg = name.rpartition(":")
    return [(run_id, int(leg)) for run_id in run_ids.split(",") if run_id] if leg.isdigit() else []


class Queue:
    """Puts legs into the queue, inside the caller's transaction. Needs no running engine."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client: DBOSClient | None = None

    @property
    def opened(self) -> bool:
        """Whether ``put`` may be called."""
        return self._client is not None

    def open(self) -> None:
        """Connect; a thread's work, since DBOS takes half a second to import."""
        from dbos import DBOSClient

        close_pickle()
        self._client = DBOSClient(
            system_database_engine=self._database.engine,
            serializer=serializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def put(
        self,
        connection: Connection,
        run_id: str,
        leg: int,
        delay: float | None = None,
        *,
        way: Way = Way.BESIDE,
    ) -> None:
        """Enqueue a leg, to be begun after ``delay`` seconds at the earliest."""
        from dbos import EnqueueOptions

        assert self._client is not None
        options = EnqueueOptions(
            workflow_name=way.value[1],
            queue_name=way.value[0],
            workflow_id=workflow_id(run_id, leg),
            app_version=VERSION,
        )
        if delay is not None:
            options["delay_seconds"] = delay
        self._client.enqueue_in_transaction(connection, options, run_id, leg)

    def put_all(self, connection: Connection, run_ids: Sequence[str]) -> None:
        """Enqueue the first legs of runs, a few to a workflow."""
        for start in range(0, len(run_ids), PARTY):
            party = run_ids[start : start + PARTY]
            if len(party) == 1:
                self.put(connection, party[0], 0)
            else:
                self.put(connection, ",".join(party), 0, way=Way.TOGETHER)

    def create(self) -> None:
        """Create DBOS's tables: a database that only commands have used has none."""
        from dbos import DBOS

        quieten()
        DBOS.migrate(self._database.url)

    def register(self, concurrency: int) -> None:
        """Create DBOS's tables and the queues; a process carries ``concurrency`` legs at a time, and few suspects."""
        assert self._client is not None
        self.create()
        self._client.register_queue(QUEUE, worker_concurrency=concurrency, polling_interval_sec=POLLING)
        self._client.register_queue(TURNS, worker_concurrency=FEW, polling_interval_sec=_TURNS_POLLING)

    def close(self) -> None:
        """Let go of the client; the database's connections are not its own."""
        if self._client is not None:
            self._client.destroy()
            self._client = None


class Durable:
    """DBOS, launched: dequeues legs and calls ``leg`` for each on the loop that launched it."""

    running: ClassVar[bool] = False

    def __init__(self, database: Database, owner: str, leg: Leg, concurrency: int) -> None:
        # DBOS counts workflows, and one may be several legs.
        self._room = asyncio.Semaphore(concurrency)
        self._stopped = False
        self._standing: set[asyncio.Task[Any] | None] = set()
        self._database = database
        self._owner = owner
        self._leg = leg
        self._engine: Any = None
        self._gate = Gate()

    def launch(self) -> None:
        """Start DBOS's threads; the queue must be registered. Must be called on the loop. Raises Unavailable."""
        from dbos import DBOS

        if Durable.running:
            raise RuntimeError("one engine a process")
        close_pickle()
        quieten()
        DBOS(config=self._config())
        leg, gate, room = self._leg, self._gate, self._room

        async def carry_out_beside(run_id: str, number: int) -> None:
            async with room:
                if self._stopped:
                    # DBOS must not note that the leg is over: the next process has to begin it.
                    self._standing.add(asyncio.current_task())
                    await asyncio.Event().wait()
                async with gate.beside():
                    await leg(run_id, number)

        # DBOS gives up what was under way at so many deaths, whoever caused them: we count for ourselves.
        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        async def carry_out(run_id: str, number: int) -> None:
            await carry_out_beside(run_id, number)

        @DBOS.workflow(name=ALONE, max_recovery_attempts=None)
        async def carry_out_alone(run_id: str, number: int) -> None:
            async with gate.alone():
                await leg(run_id, number)

        @DBOS.workflow(name=TOGETHER, max_recovery_attempts=None)
        async def carry_out_all(run_ids: str, number: int) -> None:
            # One that fails must not end the workflow of those that go on.
            legs = [carry_out_beside(run_id, number) for run_id in run_ids.split(",")]
            failures = [
                each for each in await asyncio.gather(*legs, return_exceptions=True) if each is not None
            ]
            # Of one that was cancelled DBOS notes nothing, and so it is begun again.
            for failure in sorted(failures, key=lambda each: not isinstance(each, asyncio.CancelledError)):
                raise failure

        try:
            DBOS.launch()
        except Exception as exc:
            with contextlib.suppress(Exception):
                DBOS.destroy(destroy_registry=True)
            raise translated(exc) from exc
        Durable.running = True

    def recover(self, owners: Iterable[str]) -> None:
        """Give the legs of processes that are dead back to the queue. Blocks."""
        from dbos import DBOS

        dead = list(owners)
        if dead:
            # Unlike resume_workflow this changes nothing once a living process has the leg.
            DBOS._recover_pending_workflows(dead)

    def owners(self) -> set[str]:
        """Every process that legs under way belong to. Blocks."""
        from dbos import DBOS

        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {status.executor_id for status in pending if status.executor_id}

    def spoilt(self) -> list[tuple[str, int]]:
        """Legs that cannot be begun: somebody has changed them in the database. Blocks."""
        from dbos import DBOS

        # The second is what an older flowpost left.
        ends = ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
        dead = DBOS.list_workflows(status=ends, load_input=False, load_output=False, limit=1000)
        return [pair for status in dead for pair in runs_and_leg(status.workflow_id)]

    def forget(self, before: float, limit: int) -> int:
        """Delete what DBOS keeps of legs that ended before the moment ``before``. Blocks; how many it were."""
        from datetime import UTC, datetime

        from dbos import DBOS

        old = DBOS.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            completed_before=datetime.fromtimestamp(before, UTC).isoformat(),
            limit=limit,
            load_input=False,
            load_output=False,
        )
        DBOS.delete_workflows([status.workflow_id for status in old])
        return len(old)

    def shift_delays(self, seconds: float) -> int:
        """Move the moments that delayed legs wait for, after the clock was set. Blocks; how many there were."""
        from dbos import DBOS

        delayed = DBOS.list_workflows(status="DELAYED", queue_name=QUEUE, load_input=False, load_output=False)
        for status in delayed:
            if status.delay_until_epoch_ms is not None:
                until = max(0, status.delay_until_epoch_ms + int(seconds * 1000))
                DBOS.set_workflow_delay(status.workflow_id, delay_until_epoch_ms=until)
        return len(delayed)

    def stop_dequeuing(self) -> None:
        """Begin no more legs; those under way go on."""
        self._stopped = True
        self._gate.stop()
        from dbos._dbos import _get_dbos_instance

        for event in _get_dbos_instance().background_thread_stop_events:
            event.set()

    async def close(self) -> None:
        """Stop every thread of DBOS."""
        from dbos import DBOS

        if Durable.running:
            await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
            Durable.running = False
        for task in self._standing:
            if task is not None:
                task.cancel()
        if self._engine is not None:
            self._engine.dispose()

    def _config(self) -> DBOSConfig:
        config: DBOSConfig = {
            "name": APPLICATION,
            "application_version": VERSION,
            "executor_id": self._owner,
            "serializer": serializer(),
            "log_level": "WARNING",
            "enable_otlp": False,
            "max_executor_threads": _THREADS,
            "sys_db_idle_transaction_timeout_sec": 5.0,
            "scheduler_polling_interval_sec": 3600.0,
            "system_database_url": self._database.url,
        }
        if self._database.dialect == "sqlite":
            self._engine = single_writer(self._database)
            config["system_database_engine"] = self._engine
        return config


def serializer() -> Any:
    """JSON, and nothing that can execute."""
    from dbos import Serializer

    class Json(Serializer):
        def serialize(self, data: Any) -> str:
            # An error is kept as its kind alone: its text could hold anything.
            return json.dumps({"error": type(data).__name__} if isinstance(data, BaseException) else data)

        def deserialize(self, serialized_data: str) -> Any:
            return json.loads(serialized_data)

        def name(self) -> str:
            return "flowpost_json"

    return Json()


def close_pickle() -> None:
    """Make DBOS refuse pickled values: whoever can write a row could otherwise execute code here."""
    from dbos._serialization import DefaultSerializer

    def refuse(self: object, data: object) -> Any:
        raise Unavailable("a pickled value in the database is not read")

    def name(self: object, data: object) -> str:
        # DBOS notes a forged leg's failure in the forged row's own format; it must get that far.
        return json.dumps(type(data).__name__)

    for method, instead in (("serialize", name), ("deserialize", refuse)):
        setattr(DefaultSerializer, method, instead)


class Once(logging.Filter):
    """Lets each kind of message through once in a while: a database that is away gives twenty a second."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._heard: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether no message that begins alike was let through lately."""
        kind = f"{record.levelno} {str(record.msg)[:32]}"
        now = self._clock()
        if now - self._heard.get(kind, -1e9) < self._seconds:
            return False
        if len(self._heard) > 1000:
            self._heard.clear()
        self._heard[kind] = now
        return True


def quieten() -> None:
    """Leave DBOS's log to the program's own handlers, from warnings up, and without its repetitions."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.WARNING)
    if not any(isinstance(each, Once) for each in logger.filters):
        logger.addFilter(Once(60.0))
