"""A run that kills its process ends; those that were only there do not.

FLOWPOST_KILLS and FLOWPOST_EVENTS make it as large as wanted (by hand: 30 and 200).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from databases import BOTH
from durable import Process, engine, event, finish, load
from workspace import LOOPBACK, Workspace

from runner.engine.deaths import Record, Verdict, judge
from runner.engine.gate import Gate
from runner.engine.history import History

KILLS = int(os.environ.get("FLOWPOST_KILLS", "5"))
EVENTS = int(os.environ.get("FLOWPOST_EVENTS", "24"))

FLOW = """
nodes:
  - id: first
    http: {url: "http://127.0.0.1:PORT/first/<<trigger.body.n>>"}
  - id: second
    http: {url: "http://127.0.0.1:PORT/second/<<trigger.body.n>>"}
"""


@pytest.mark.parametrize(
    ("before", "progress", "company", "record", "verdict"),
    [
        (Record(), 0, 50, Record(1, 0, 0), Verdict.AGAIN),
        (Record(), 0, 1, Record(1, 0, 0), Verdict.AGAIN),
        (Record(1, 0, 0), 0, 50, Record(2, 0, 0), Verdict.IN_TURN),
        (Record(2, 0, 0), 0, 9, Record(3, 0, 0), Verdict.IN_TURN),
        (Record(3, 0, 0), 0, 9, Record(4, 0, 0), Verdict.ALONE),
        (Record(4, 0, 0), 0, 1, Record(5, 1, 0), Verdict.ALONE),
        (Record(5, 1, 0), 0, 1, Record(6, 2, 0), Verdict.GIVEN_UP),
        # The others took too long to leave: no proof.
        (Record(5, 1, 0), 0, 2, Record(6, 1, 0), Verdict.ALONE),
        (Record(19, 1, 0), 0, 2, Record(20, 1, 0), Verdict.GIVEN_UP),
        # It ended a node, or lost its results to a retry, since.
        (Record(5, 1, 3), 4, 1, Record(1, 0, 4), Verdict.AGAIN),
        (Record(5, 1, 3), 0, 1, Record(1, 0, 0), Verdict.AGAIN),
    ],
)
def test_what_follows_from_one_more_death(
    before: Record, progress: int, company: int, record: Record, verdict: Verdict
) -> None:
    assert judge(before, progress, company) == (record, verdict)


class Server:
    """Answers each path after ``seconds``; whoever asks for one of ``poison`` is killed in the middle of it."""

    def __init__(self, *, poison: str = "", seconds: float = 0.0) -> None:
        self.victim = 0
        self.kills = 0
        self.asked: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked[self.path] += 1
                if poison and self.path.endswith(poison):
                    outer.kills += 1
                    os.kill(outer.victim, signal.SIGKILL)
                    return
                time.sleep(seconds)
                try:
                    self.send_response(200)
                    self.end_headers()
                except OSError:
                    pass  # it died while it waited

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.close()


def prepare(workspace: Workspace, server: Server, url: str) -> None:
    workspace.settings(LOOPBACK + ("" if url.startswith("sqlite") else f"database: {url}\n"))
    workspace.flow("visit", FLOW.replace("PORT", str(server.port)))


async def over(workspace: Workspace, url: str, number: int) -> bool:
    """Whether so many runs have ended, and none is open."""
    async with History.open(url, workspace.root) as history:
        counts = await history.count()
    return sum(counts.values()) == number == counts.get("succeeded", 0) + counts.get("failed", 0)


async def outcome(workspace: Workspace, keys: list[str]) -> dict[str, Mapping[str, Any]]:
    """Each key's run, once it has ended."""
    async with engine(workspace) as running:
        flow = load(workspace, "visit")
        found = {}
        for key in keys:
            accepted = await running.accept(flow, event({"n": key, "to": f"{key}@example.net"}), key=key)
            await finish(running, accepted.run_id, 120)
            found[key] = await running.runs.show(accepted.run_id)
        await running._sweeper.prune()
        return found


@BOTH
@pytest.mark.timeout(180)
async def test_a_run_that_kills_its_process_ends_and_those_beside_it_do_well(
    workspace: Workspace, database_url: str, servers: list[Server]
) -> None:
    server = Server(poison="/second/k7", seconds=0.1)
    servers.append(server)
    prepare(workspace, server, database_url)
    keys = [f"k{n}" for n in range(12)]
    ended = False
    while not ended:
        process = Process(workspace, "visit", keys)
        server.victim = process.process.pid
        while process.process.poll() is None and not ended:
            await asyncio.sleep(0.1)
            ended = await over(workspace, database_url, len(keys))
        assert server.kills <= 6
    process.stop()
    runs = await outcome(workspace, keys)

    assert {key for key, run in runs.items() if run["status"] != "succeeded"} == {"k7"}
    assert "the process died 6 times during this run" in runs["k7"]["error"]["message"]
    assert server.kills == server.asked["/second/k7"] == 6
    assert runs["k7"]["nodes"]["first"]["status"] == "succeeded"
    assert max(server.asked.values()) == 6


@pytest.mark.timeout(0 if KILLS > 10 else 240)
async def test_runs_that_were_only_there_at_many_deaths_all_end_well(
    workspace: Workspace, servers: list[Server]
) -> None:
    """A node takes longer than many of the processes live."""
    chance = random.Random(7)
    server = Server(seconds=0.8)
    servers.append(server)
    prepare(workspace, server, "sqlite")
    keys = [f"k{n}" for n in range(EVENTS)]
    for _ in range(KILLS):
        process = Process(workspace, "visit", keys)
        while not process.told("ready"):
            await asyncio.sleep(0.02)
        before = server.asked.total()
        end = time.monotonic() + 5
        while server.asked.total() == before and time.monotonic() < end:
            await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0.0, 1.2))
        process.kill()
    runs = await outcome(workspace, keys)
    with sqlite3.connect(workspace.root / ".flowpost/state.db") as connection:
        (left,) = connection.execute("SELECT count(*) FROM deaths").fetchone()
    print(f"{EVENTS} runs, {KILLS} kills, {server.asked.total()} requests for {2 * EVENTS} nodes")

    assert Counter(run["status"] for run in runs.values()) == {"succeeded": EVENTS}
    assert server.asked.total() > 2 * EVENTS
    assert left == 0


async def test_one_who_wants_to_be_alone_waits_for_the_others_and_they_for_it() -> None:
    gate, order = Gate(), list[str]()

    async def beside(name: str, seconds: float) -> None:
        async with gate.beside():
            order.append(f"{name} in")
            await asyncio.sleep(seconds)
            order.append(f"{name} out")

    async def alone() -> None:
        async with gate.alone():
            order.append("alone in")
            await asyncio.sleep(0.1)
            order.append("alone out")

    async def late() -> None:
        await asyncio.sleep(0.05)
        await beside("late", 0.0)

    async with asyncio.timeout(10):
        await asyncio.gather(beside("early", 0.1), alone(), late())

    assert order == ["early in", "early out", "alone in", "alone out", "late in", "late out"]


async def test_the_patience_of_one_who_wants_to_be_alone_has_an_end_and_so_has_that_of_the_others() -> None:
    gate, order = Gate(patience=0.05, quiet=0.05), list[str]()

    async def early() -> None:
        async with gate.beside():
            await asyncio.sleep(0.3)
            order.append("early out")

    async def alone() -> None:
        async with gate.alone():
            order.append("alone in")
            await asyncio.sleep(0.4)
            order.append("alone out")

    async def late() -> None:
        await asyncio.sleep(0.02)
        async with gate.beside():
            order.append("late in")

    async with asyncio.timeout(10):
        await asyncio.gather(early(), alone(), late())

    assert order == ["alone in", "late in", "early out", "alone out"]


async def test_whoever_waits_at_a_gate_that_is_stopped_stays_there() -> None:
    gate, order = Gate(), list[str]()

    async def beside() -> None:
        async with gate.beside():
            order.append("in")

    async with gate.alone():
        waiting = asyncio.create_task(beside())
        await asyncio.sleep(0.02)
        gate.stop()
    await asyncio.sleep(0.05)
    waiting.cancel()

    assert order == []
