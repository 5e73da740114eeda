"""What we rely on in DBOS. One of these failing after an upgrade says what has to be looked at before it is taken."""

from __future__ import annotations

import asyncio
import base64
import importlib.metadata
import inspect
import pickle
import sqlite3
import sys
from pathlib import Path

import pytest
from databases import BOTH
from durable import engine, event, finish, load, until
from workspace import Workspace

from runner.engine import durable as door

FLOW = "nodes:\n  - id: a\n    set: {x: 1}\n"


def prepare(workspace: Workspace, url: str) -> None:
    if not url.startswith("sqlite"):
        workspace.settings(f"database: {url}\n")
    workspace.flow("a", FLOW)


def test_the_version_is_one_that_these_tests_were_written_for() -> None:
    major, minor, *_ = importlib.metadata.version("dbos").split(".")

    assert (major, minor) == ("3", "4")


def test_nothing_of_the_enterprise_package_is_here() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("dbos-enterprise")


def test_only_one_module_imports_dbos() -> None:
    runner = Path(door.__file__).parent.parent
    found = {
        path.relative_to(runner).as_posix()
        for path in runner.rglob("*.py")
        if any(
            line.strip().startswith(("import dbos", "from dbos")) for line in path.read_text().splitlines()
        )
    }

    assert found == {"engine/durable.py"}


def test_importing_the_engine_does_not_import_dbos() -> None:
    import subprocess

    code = "import sys, runner.engine.service; sys.exit('dbos' in sys.modules or 'sqlalchemy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_private_names_that_we_use_are_there() -> None:
    from dbos import DBOS
    from dbos._dbos import _get_dbos_instance
    from dbos._serialization import DefaultSerializer

    assert callable(DBOS._recover_pending_workflows)
    assert "background_thread_stop_events" in inspect.getsource(DBOS)
    assert callable(_get_dbos_instance)
    assert {"serialize", "deserialize"} <= set(vars(DefaultSerializer))


@BOTH
async def test_version_owner_and_serializer_are_ours(workspace: Workspace, database_url: str) -> None:
    from dbos import DBOS

    prepare(workspace, database_url)
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "a"), event({}))
        await finish(running, accepted.run_id)
        name = door.workflow_id(accepted.run_id, 0)
        await asyncio.sleep(0.2)
        status = (await asyncio.to_thread(DBOS.list_workflows, workflow_ids=[name]))[0]
        with running.database.engine.connect() as connection:
            row = connection.exec_driver_sql(
                "SELECT serialization FROM "
                + ("workflow_status" if running.database.dialect == "sqlite" else "dbos.workflow_status")
            ).one()

        assert status.app_version == door.VERSION
        assert status.executor_id == running.owner
        assert status.queue_name == door.QUEUE
        assert status.status == "SUCCESS"
        assert row[0] == "flowpost_json"


async def test_a_run_carries_no_value_of_the_event_into_dbos(workspace: Workspace) -> None:
    prepare(workspace, "sqlite")
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "a"), event({"password": "canary"}))
        await finish(running, accepted.run_id)
    with sqlite3.connect(workspace.root / ".flowpost/state.db") as connection:
        dump = "\n".join(
            str(row)
            for table in ("workflow_status", "workflow_input", "workflow_output", "operation_outputs")
            for row in connection.execute(f"SELECT * FROM {table}")
        )

    assert accepted.run_id in dump
    assert "canary" not in dump


async def test_a_forged_row_executes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """Whoever can write the database puts a pickle that runs a command where a leg's arguments were."""
    trap = tmp_path / "sprung"

    class Forged:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (trap,))

    prepare(workspace, "sqlite")
    async with engine(workspace) as running:
        running._durable.stop_dequeuing()
        forged_run = await running.accept(load(workspace, "a"), event({}))
    forged = base64.b64encode(pickle.dumps(Forged())).decode()
    with sqlite3.connect(workspace.root / ".flowpost/state.db") as connection:
        connection.execute("UPDATE workflow_status SET serialization = 'py_pickle'")
        connection.execute("UPDATE workflow_input SET inputs = ?", (forged,))
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "a"), event({}))
        run = await finish(running, accepted.run_id)
        await finish(running, forged_run.run_id)
        shown = await running.runs.show(forged_run.run_id)

    assert not trap.exists()
    assert run.status == "succeeded"
    assert shown["error"]["message"].startswith("given up: what the database holds")


@BOTH
async def test_accept_and_enqueue_are_one_transaction(workspace: Workspace, database_url: str) -> None:
    """The transaction fails after both: neither is there."""
    prepare(workspace, database_url)
    async with engine(workspace) as running:
        real = running.queue.put

        def broken(*arguments: object) -> None:
            real(*arguments)  # type: ignore[arg-type]
            raise RuntimeError("the power fails")

        running.queue.put = broken  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await running.accept(load(workspace, "a"), event({}), key="k")
        running.queue.put = real  # type: ignore[method-assign]

        assert await running.runs.count() == {}
        accepted = await running.accept(load(workspace, "a"), event({}), key="k")
        assert not accepted.repeated
        assert (await finish(running, accepted.run_id)).status == "succeeded"


@BOTH
async def test_a_leg_of_a_dead_process_is_recovered_once_however_often_it_was_before(
    workspace: Workspace, database_url: str
) -> None:
    prepare(workspace, database_url)
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "a"), event({}))
        await finish(running, accepted.run_id)
        await asyncio.sleep(0.2)
        table = "workflow_status" if running.database.dialect == "sqlite" else "dbos.workflow_status"
        with running.database.engine.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE {table} SET status = 'PENDING', executor_id = 'dead:1', recovery_attempts = 1000"
            )
        assert await asyncio.to_thread(running._durable.owners) == {"dead:1"}
        await running._sweeper.take_over()

        def recovered() -> bool:
            with running.database.engine.connect() as connection:
                row = connection.exec_driver_sql(
                    f"SELECT status, executor_id, recovery_attempts FROM {table}"
                ).one()
            return tuple(row) == ("SUCCESS", running.owner, 1001)

        await until(recovered)


@BOTH
async def test_a_delayed_leg_waits(workspace: Workspace, database_url: str) -> None:
    prepare(workspace, database_url)
    async with engine(workspace) as running:
        put = running.queue.put
        running.queue.put = lambda connection, run, leg, delay=None: put(connection, run, leg, 2.0)  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        accepted = await running.accept(load(workspace, "a"), event({}))
        await finish(running, accepted.run_id)

        assert 1.9 < loop.time() - begun < 10


async def test_the_loop_keeps_its_own_threads(workspace: Workspace) -> None:
    """DBOS's async calls put its pool in the place of the loop's, and shut it down at the end."""
    prepare(workspace, "sqlite")
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "a"), event({}))
        await finish(running, accepted.run_id)

    assert await asyncio.to_thread(lambda: 1) == 1
