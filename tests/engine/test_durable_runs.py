"""Runs that survive: accepted on disk, carried out node by node, on the version they began with."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import datetime

import pytest
from durable import Process, engine, event, finish, load, until
from workspace import Workspace

from runner.errors import ConfigurationError, Conflict, Unavailable, UsageError
from runner.nodes import node_type

TWO = """
nodes:
  - id: one
    set: {n: "<<trigger.body.n>>"}
  - id: two
    set: {twice: "<<nodes.one.output.n * 2>>", at: "<<trigger.time>>"}
"""


async def test_an_accepted_event_runs_to_its_end_and_is_shown(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "sum"), event({"n": 21}))
        run = await finish(running, accepted.run_id)

        assert not accepted.repeated
        assert run.status == "succeeded"
        assert run.nodes["two"].output["twice"] == 42
        assert isinstance(run.nodes["two"].output["at"], datetime)
        shown = await running.runs.show(accepted.run_id)
        assert shown["status"] == "succeeded"
        assert shown["nodes"]["one"] == {
            "status": "succeeded",
            "attempts": 1,
            "output": {"n": 21},
            "error": None,
        }


async def test_the_same_key_returns_the_first_run_and_runs_once(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        flow = load(workspace, "sum")
        answers = await asyncio.gather(*(running.accept(flow, event({"n": 1}), key="k") for _ in range(20)))
        await finish(running, answers[0].run_id)

        assert len({answer.run_id for answer in answers}) == 1
        assert [answer.repeated for answer in answers].count(False) == 1
        assert await running.runs.count() == {"succeeded": 1}


async def test_the_same_key_with_another_body_is_a_conflict(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        flow = load(workspace, "sum")
        first = await running.accept(flow, event({"n": 1}), key="k")
        with pytest.raises(Conflict, match=first.run_id):
            await running.accept(flow, event({"n": 2}), key="k")


async def test_one_event_in_a_group_that_conflicts_does_not_harm_the_others(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        flow = load(workspace, "sum")
        await running.accept(flow, event({"n": 0}), key="0")
        asked = [running.accept(flow, event({"n": n}), key=str(n % 5)) for n in range(10)]
        answers = await asyncio.gather(*asked, return_exceptions=True)

        assert [type(answer).__name__ for answer in answers] == ["Accepted"] * 5 + ["Conflict"] * 5


async def test_a_run_ends_on_the_version_it_began_with(workspace: Workspace) -> None:
    """It is accepted, the file changes, and another process carries it out."""
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        running._durable.stop_dequeuing()
        accepted = await running.accept(load(workspace, "sum"), event({"n": 2}))
    workspace.flow("sum", TWO.replace("* 2", "* 100"))
    async with engine(workspace) as running:
        run = await finish(running, accepted.run_id)

        assert run.nodes["two"].output["twice"] == 4


async def test_a_node_that_fails_fails_the_run_and_the_rest_is_skipped(workspace: Workspace) -> None:
    workspace.flow(
        "bad", 'nodes:\n  - id: a\n    set: {x: "<<trigger.body.no>>"}\n  - id: b\n    set: {y: 1}\n'
    )
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "bad"), event({}))
        await finish(running, accepted.run_id)
        shown = await running.runs.show(accepted.run_id)

        assert shown["status"] == "failed"
        assert shown["nodes"]["a"]["error"]["code"] == "ETEMPLATE"
        assert shown["nodes"]["b"]["status"] == "skipped"


async def test_secrets_in_headers_never_reach_the_database(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    headers = {"Authorization": "Bearer canary-1", "Webhook-Signature": "v1,canary-2", "X-Kind": "lead"}
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "sum"), event({"n": 1}, headers=headers))
        await finish(running, accepted.run_id)
        shown = await running.runs.show(accepted.run_id)

    assert shown["event"]["headers"] == {"X-Kind": "lead"}
    held = b"".join(path.read_bytes() for path in (workspace.root / ".flowpost").iterdir())
    assert b"canary" not in held


async def test_a_draining_engine_takes_nothing_more(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        await running.drain(1.0)
        with pytest.raises(Unavailable, match="shutting down"):
            await running.accept(load(workspace, "sum"), event({"n": 1}))


async def test_what_was_accepted_before_a_drain_runs_after_the_restart(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        flow = load(workspace, "sum")
        asked = [running.accept(flow, event({"n": n})) for n in range(30)]
        accepted = await asyncio.gather(*asked)
    async with engine(workspace) as running:
        runs = [await finish(running, each.run_id) for each in accepted]

        assert [run.nodes["two"].output["twice"] for run in runs] == [2 * n for n in range(30)]


async def test_a_second_service_on_the_same_file_is_refused(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    process = Process(workspace, "sum", [])
    await until(lambda: bool(process.told("ready")))
    try:
        with pytest.raises(ConfigurationError, match=f"process {process.process.pid}"):
            async with engine(workspace):
                pass
    finally:
        process.kill()
    async with engine(workspace):
        pass


async def test_a_long_wait_between_attempts_leaves_the_process_free(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt fails; the second one comes in a later leg, and counts on."""
    from runner.errors import ConnectionFailed

    seen: list[int] = []

    async def flaky(self: object, ctx: object) -> object:
        seen.append(ctx.attempt)  # type: ignore[attr-defined]
        if len(seen) < 3:
            raise ConnectionFailed("not yet")
        return {"done": True}

    monkeypatch.setattr(node_type("set"), "run", flaky)
    monkeypatch.setattr("runner.engine.leg.IN_PLACE", 0.05)
    workspace.flow(
        "slow",
        "nodes:\n  - id: a\n    set: {x: 1}\n    retry: {attempts: 5, delay: 100ms, max_delay: 200ms}\n",
    )
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "slow"), event({}))
        run = await finish(running, accepted.run_id)
        shown = await running.runs.show(accepted.run_id)

        assert seen == [1, 2, 3]
        assert run.nodes["a"].attempts == 3
        assert shown["leg"] == 2


async def test_items_that_ended_are_not_done_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.errors import ConnectionFailed

    seen: list[str] = []

    async def flaky(self: object, ctx: object) -> object:
        item = ctx.key[-1]  # type: ignore[attr-defined]
        seen.append(item)
        if item == "2" and seen.count("2") == 1:
            raise ConnectionFailed("not yet")
        return {"item": item}

    monkeypatch.setattr(node_type("set"), "run", flaky)
    monkeypatch.setattr("runner.engine.leg.IN_PLACE", 0.05)
    workspace.flow(
        "list",
        'nodes:\n  - id: a\n    for_each: "<<trigger.body>>"\n    set: {x: "<<item>>"}\n'
        "    retry: {attempts: 2, delay: 100ms}\n",
    )
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "list"), event([1, 2, 3, 4]))
        run = await finish(running, accepted.run_id)

        assert seen == ["0", "1", "2", "2", "3"]
        assert [each["item"] for each in run.nodes["a"].output] == ["0", "1", "2", "3"]


async def test_a_cancelled_run_stops_after_its_node(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(self: object, ctx: object) -> object:
        begun.set()
        await go_on.wait()
        return {}

    monkeypatch.setattr(node_type("set"), "run", slow)
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "sum"), event({"n": 1}))
        await begun.wait()
        await running.runs.cancel(accepted.run_id)
        go_on.set()
        await running.drain(5.0)
        shown = await running.runs.show(accepted.run_id)

        assert shown["status"] == "cancelled"
        assert "two" not in shown["nodes"]


async def test_a_failed_run_is_tried_again_from_its_failed_node(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.errors import HttpError

    seen: list[str] = []

    async def flaky(self: object, ctx: object) -> object:
        seen.append(ctx.node)  # type: ignore[attr-defined]
        if seen == ["one", "two"]:
            raise HttpError("no")
        return {"n": 1}

    monkeypatch.setattr(node_type("set"), "run", flaky)
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        accepted = await running.accept(load(workspace, "sum"), event({"n": 1}))
        failed = await finish(running, accepted.run_id)
        await running.runs.retry(accepted.run_id)
        run = await finish(running, accepted.run_id)

        assert failed.status == "failed"
        assert run.status == "succeeded"
        assert seen == ["one", "two", "two"]
        with pytest.raises(UsageError, match="succeeded"):
            await running.runs.retry(accepted.run_id)


async def test_the_list_pages_and_filters(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    workspace.flow("other", TWO)
    async with engine(workspace) as running:
        for name in ("sum", "other", "sum"):
            accepted = await running.accept(load(workspace, name), event({"n": 1}))
            await finish(running, accepted.run_id)
        newest = await running.runs.list(limit=2)
        oldest = await running.runs.list(limit=2, before=newest[-1]["id"])
        sums = await running.runs.list(flow="sum", status="succeeded")

        assert [run["flow"] for run in (*newest, *oldest)] == ["sum", "other", "sum"]
        assert len(sums) == 2
        assert await running.runs.list(status="failed") == []


async def test_old_runs_are_forgotten_and_young_ones_are_not(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    async with engine(workspace, keep=3600.0) as running:
        flow = load(workspace, "sum")
        old, young = [await running.accept(flow, event({"n": n})) for n in range(2)]
        for each in (old, young):
            await finish(running, each.run_id)
        with sqlite3.connect(workspace.root / ".flowpost/state.db") as connection:
            connection.execute("UPDATE runs SET ended = ended - 7200 WHERE id = ?", (old.run_id,))
        await running._sweeper.prune()

        assert [run["id"] for run in await running.runs.list()] == [young.run_id]
        with pytest.raises(UsageError):
            await running.runs.show(old.run_id)


async def test_runs_survive_kill_9_and_go_on_from_the_last_finished_node(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    keys = [f"k{n}" for n in range(40)]
    acknowledged: dict[str, str] = {}
    for kill_after in (3, 15, 30):
        process = Process(workspace, "sum", keys)
        await until(lambda after=kill_after, process=process: len(process.told("key")) >= after)  # type: ignore[misc]
        process.kill()
        for said in process.told("key"):
            assert acknowledged.setdefault(said["key"], said["run"]) == said["run"]
    process = Process(workspace, "sum", keys)
    await until(lambda: len(process.told("key")) == len(keys))
    repeated = {said["key"] for said in process.told("key") if said["repeated"]}
    await asyncio.sleep(0.5)
    process.stop()
    async with engine(workspace) as running:
        for run_id in acknowledged.values():
            assert (await finish(running, run_id)).status == "succeeded"

    assert set(acknowledged) <= repeated


async def test_an_unreachable_database_is_said_at_the_start(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    workspace.settings("database: postgresql://nobody@127.0.0.1:1/none\n")
    with pytest.raises(Unavailable, match="database"):
        async with engine(workspace):
            pass


async def test_a_file_that_is_no_database_is_said_at_the_start(workspace: Workspace) -> None:
    workspace.flow("sum", TWO)
    workspace.write(".flowpost/state.db", "this is no database\n" * 100)
    with pytest.raises(Unavailable, match="not a SQLite database"):
        async with engine(workspace):
            pass


async def test_a_clock_set_back_by_an_hour_keeps_no_run_waiting(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leg waits for a moment that is two hours away by the clock after the jump, which was two seconds away."""
    workspace.flow("sum", TWO)
    async with engine(workspace) as running:
        put = running.queue.put
        running.queue.put = lambda connection, run, leg, delay=None: put(connection, run, leg, 7202.0)  # type: ignore[method-assign]
        accepted = await running.accept(load(workspace, "sum"), event({"n": 1}))
        running._sweeper._skew += 7200.0
        await running._sweeper.follow_clock()

        assert (await finish(running, accepted.run_id)).status == "succeeded"


def test_what_dbos_repeats_is_said_once_a_minute() -> None:
    import logging

    from runner.engine.durable import Once

    now = [0.0]
    once = Once(60.0, lambda: now[0])
    record = logging.LogRecord(
        "dbos", logging.WARNING, "", 0, "Exception encountered in queue thread: %s", (), None
    )
    heard = []
    for now[0] in (0.0, 1.0, 59.0, 61.0):
        heard.append(once.filter(record))

    assert heard == [True, False, False, True]
