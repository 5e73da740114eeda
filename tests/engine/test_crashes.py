"""kill -9 anywhere: nothing that was accepted is lost, nothing is mailed twice outside the ambiguous window.

FLOWPOST_KILLS and FLOWPOST_EVENTS make it as large as wanted, FLOWPOST_SEED another course of events.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from email.parser import BytesHeaderParser

import pytest
from databases import BOTH
from durable import Process, engine, event, finish, load, until
from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Workspace

KILLS = int(os.environ.get("FLOWPOST_KILLS", "2"))
EVENTS = int(os.environ.get("FLOWPOST_EVENTS", "60"))
SEED = int(os.environ.get("FLOWPOST_SEED", "7"))
AT_ONCE = 10
"""Intents that a credential of five connections may have when its process is killed."""

FLOW = """
nodes:
  - id: before
    set: {n: "<<trigger.body.n>>"}
  - id: mail
    smtp:
      credential: ops
      to: <<trigger.body.to>>
      subject: Event <<nodes.before.output.n>>
      body_format: text
      body: Hello
    retry: {attempts: 5, delay: 200ms, max_delay: 1s}
"""


def prepare(workspace: Workspace, server: ScriptedServer, url: str = "", **advanced: object) -> None:
    database = f"database: {url}\n" if url else ""
    workspace.settings(LOOPBACK + database)
    workspace.flow("welcome", FLOW)
    workspace.smtp("ops", server, **({"advanced": advanced} if advanced else {}))


def identities(server: ScriptedServer) -> Counter[str]:
    return Counter(BytesHeaderParser().parsebytes(mail.data)["Message-ID"] for mail in server.received)


async def arrived(server: ScriptedServer, number: int, seconds: float = 30.0) -> None:
    await until(lambda: len(server.received) >= number, seconds)


def smtp_server(**options: object) -> ScriptedServer:
    return ScriptedServer(username="ann@example.com", password="correct horse", **options)  # type: ignore[arg-type]


@BOTH
async def test_events_under_repeated_kill_9(workspace: Workspace, database_url: str) -> None:
    chance = random.Random(SEED)
    with smtp_server() as server:
        prepare(workspace, server, "" if database_url.startswith("sqlite") else database_url)
        keys = [f"k{n}" for n in range(EVENTS)]
        acknowledged: dict[str, str] = {}
        for number in range(KILLS):
            process = Process(workspace, "welcome", keys)
            more = chance.randint(1, max(2, EVENTS // (KILLS + 2)))
            with suppress(TimeoutError):
                await arrived(server, len(server.received) + more, 12)
            process.kill()
            for said in process.told("key"):
                assert acknowledged.setdefault(said["key"], said["run"]) == said["run"]
            assert process.process.returncode == -9, number
        async with engine(workspace) as running:
            flow = load(workspace, "welcome")
            for key in keys:
                accepted = await running.accept(flow, event({"n": key, "to": f"{key}@example.net"}), key=key)
                assert acknowledged.setdefault(key, accepted.run_id) == accepted.run_id
            runs = [await finish(running, run_id, 60) for run_id in acknowledged.values()]
            flagged = await running.runs.list(limit=EVENTS, status="failed")

        sent = identities(server)
        unknown = [run["id"] for run in flagged if run["unknown"]]
        assert set(sent.values()) <= {1}  # nothing twice
        succeeded = sum(run.status == "succeeded" for run in runs)
        # Nothing is lost: what was not sent for sure is flagged.
        assert succeeded + len(unknown) == EVENTS
        assert succeeded <= len(sent) <= EVENTS
        assert len(unknown) <= AT_ONCE * KILLS


async def test_an_unknown_delivery_is_resolved_as_sent_or_sent_again(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["drop", "drop"]}) as server:
        prepare(workspace, server)
        async with engine(workspace) as running:
            flow = load(workspace, "welcome")
            first, second = [
                await running.accept(flow, event({"n": n, "to": f"{n}@example.net"})) for n in ("a", "b")
            ]
            for each in (first, second):
                run = await finish(running, each.run_id)
                assert run.nodes["mail"].error is not None
                assert run.nodes["mail"].error["code"] == "EUNKNOWN"
            before = len(server.received)
            assert await running.runs.resolve(first.run_id, "sent") == 1
            sent = await finish(running, first.run_id)
            after_sent = len(server.received)
            assert await running.runs.resolve(second.run_id, "resend") == 1
            again = await finish(running, second.run_id)

        assert sent.status == again.status == "succeeded"
        assert sent.nodes["mail"].output["accepted"] == ["a@example.net"]  # type: ignore[index]
        assert (after_sent - before, len(server.received) - before) == (0, 1)
        mine = [identity for identity, count in identities(server).items() if count == 2]
        assert mine == [again.nodes["mail"].output["message_id"]]  # type: ignore[index]


async def test_a_deferred_message_is_sent_in_a_later_leg_with_the_same_message_id(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.engine.leg.IN_PLACE", 0.05)
    with smtp_server(script={"DATA_END": ["450 4.2.1 busy", "ok"]}) as server:
        prepare(workspace, server)
        async with engine(workspace) as running:
            accepted = await running.accept(
                load(workspace, "welcome"), event({"n": 1, "to": "a@example.net"})
            )
            run = await finish(running, accepted.run_id)
            shown = await running.runs.show(accepted.run_id)

        assert run.nodes["mail"].attempts == 2
        assert shown["leg"] == 1
        assert [delivery["state"] for delivery in shown["deliveries"]] == ["sent"]
        assert list(identities(server).values()) == [2]


@BOTH
async def test_a_drain_lets_the_message_under_way_end(workspace: Workspace, database_url: str) -> None:
    with smtp_server(script={"DATA_END": ["after 1.0: 250 ok"]}) as server:
        prepare(workspace, server, "" if database_url.startswith("sqlite") else database_url)
        process = Process(workspace, "welcome", ["k"])
        await until(lambda: bool(server.received))
        process.stop()
        ended = process.told("ended")

        assert [said["status"] for said in ended] == ["succeeded"]
        assert process.process.returncode == 0


async def test_a_drain_out_of_patience_leaves_the_message_unknown(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["hang"]}) as server:
        prepare(workspace, server)
        process = Process(workspace, "welcome", ["k"], drain=0.2)
        await until(lambda: bool(server.received))
        process.stop()
        async with engine(workspace) as running:
            run_id = process.told("key")[0]["run"]
            run = await finish(running, run_id)

        assert process.process.returncode == 0
        assert run.nodes["mail"].error is not None
        assert run.nodes["mail"].error["code"] == "EUNKNOWN"
        assert len(server.received) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_dead_machine_has_its_runs_taken_over_within_15_seconds(
    workspace: Workspace, database_url: str
) -> None:
    with smtp_server(script={"DATA_END": "after 0.3: 250 ok"}) as server:
        prepare(workspace, server, database_url)
        second = Process(workspace, "welcome", [], node="two", concurrency=5)
        await until(lambda: bool(second.told("ready")))
        first = Process(workspace, "welcome", [f"k{n}" for n in range(40)], node="one")
        await until(lambda: len(first.told("key")) == 40)
        await arrived(server, 5)
        first.kill()
        loop = asyncio.get_running_loop()
        died = loop.time()
        runs = {said["run"] for said in first.told("key")} - {said["ended"] for said in first.told("ended")}
        left = runs - {said["ended"] for said in second.told("ended")}
        await until(lambda: runs <= {said["ended"] for said in second.told("ended")}, 30)
        took = loop.time() - died
        second.stop()

        assert len(left) > 20
        assert took < 15
        assert set(identities(server).values()) <= {1}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_rate_holds_over_two_processes(workspace: Workspace, database_url: str) -> None:
    with smtp_server() as server:
        prepare(workspace, server, database_url, rates=["20/s"])
        both = [
            Process(workspace, "welcome", [f"{node}{n}" for n in range(20)], node=node)
            for node in ("one", "two")
        ]
        await until(lambda: len(server.received) >= 5)
        loop = asyncio.get_running_loop()
        begun, before = loop.time(), len(server.received)
        await until(lambda: len(server.received) >= 40, 20)
        rate = (40 - before) / (loop.time() - begun)
        for process in both:
            process.stop()

        assert 7.0 < rate <= 21.0
