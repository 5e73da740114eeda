"""Runs that were accepted in one commit share a workflow, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from databases import BOTH
from durable import engine, event, finish, load
from workspace import LOOPBACK, Workspace

from runner.engine import durable as door
from runner.engine.service import Engine
from runner.model import Run

QUICK = "nodes:\n  - id: a\n    set: {x: 1}\n"
SLOW = "nodes:\n  - id: a\n    http: {url: URL}\n  - id: b\n    set: {x: 1}\n"


def prepare(workspace: Workspace, url: str = "sqlite", text: str = QUICK) -> None:
    workspace.settings(LOOPBACK + ("" if url.startswith("sqlite") else f"database: {url}\n"))
    workspace.flow("a", text)


@pytest.fixture
async def slow() -> AsyncIterator[str]:
    """A flow whose first node takes 0.3 s."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 204 no content\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield SLOW.replace("URL", f'"http://127.0.0.1:{port}/"')


async def accept(running: Engine, workspace: Workspace, number: int) -> list[str]:
    flow = load(workspace, "a")
    accepted = await asyncio.gather(*(running.accept(flow, event({"n": n})) for n in range(number)))
    return [each.run_id for each in accepted]


async def names(count: int) -> Sequence[str]:
    """The workflows, once ``count`` runs have ended for DBOS too."""
    from dbos import DBOS

    while True:
        found = await asyncio.to_thread(DBOS.list_workflows, load_input=False, load_output=False)
        ended = [each.workflow_id for each in found if each.status == "SUCCESS"]
        if sum(len(door.runs_and_leg(name)) for name in ended) >= count:
            return ended
        await asyncio.sleep(0.05)


@BOTH
async def test_runs_of_one_commit_are_carried_out_a_few_to_a_workflow(
    workspace: Workspace, database_url: str
) -> None:
    prepare(workspace, database_url)
    async with engine(workspace) as running:
        ids = await accept(running, workspace, 20)
        runs = [await finish(running, run_id) for run_id in ids]
        parties = [door.runs_and_leg(name) for name in await names(20)]

    assert {run.status for run in runs} == {"succeeded"}
    assert sorted(run_id for party in parties for run_id, _ in party) == sorted(ids)
    assert max(map(len, parties)) == door.PARTY


async def test_a_process_carries_no_more_legs_than_it_may_whatever_they_came_with(
    workspace: Workspace, slow: str
) -> None:
    prepare(workspace, text=slow)
    most = 0
    async with engine(workspace, concurrency=3) as running:
        ids = await accept(running, workspace, 12)
        while any([await running.runs.ended(run_id) is None for run_id in ids]):
            most = max(most, len(running._legs))
            await asyncio.sleep(0.02)

    assert most == 3


async def test_a_leg_that_fails_at_a_fault_of_ours_takes_none_of_the_others_along(
    workspace: Workspace,
) -> None:
    prepare(workspace)
    seen: list[str] = []

    def ended(run: Run) -> None:
        seen.append(run.id)
        if len(seen) == 2:
            raise RuntimeError("a fault")

    async with engine(workspace, ended=ended) as running:
        ids = await accept(running, workspace, 9)
        runs = [await finish(running, run_id) for run_id in ids]
        await asyncio.sleep(0.2)
        await running._sweeper.give_up()
        counts = await running.runs.count()

    assert {run.status for run in runs} == {"succeeded"}
    assert sorted(seen) == sorted(ids)
    assert counts == {"succeeded": 9}


@BOTH
# DBOS leaves the coroutines of legs that it never began to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_legs_that_wait_for_room_at_the_drain_are_begun_by_the_next_process(
    workspace: Workspace, database_url: str, slow: str
) -> None:
    prepare(workspace, database_url, slow)
    async with engine(workspace, concurrency=2) as running:
        ids = await accept(running, workspace, 10)
        while not running._legs:
            await asyncio.sleep(0.01)
        await running.drain(5.0)
        left = await running.runs.count()
    async with engine(workspace) as running:
        runs = [await finish(running, run_id) for run_id in ids]

    assert left["accepted"] >= 6
    assert {run.status for run in runs} == {"succeeded"}


def test_the_name_of_a_workflow_says_which_runs_it_is_of() -> None:
    assert door.runs_and_leg(door.workflow_id("a", 3)) == [("a", 3)]
    assert door.runs_and_leg(door.workflow_id("a,b", 0)) == [("a", 0), ("b", 0)]
    assert door.runs_and_leg("of another kind") == door.runs_and_leg("a:b") == []
