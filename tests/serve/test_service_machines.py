"""Several services on one PostgreSQL: the work, the ticks and the budgets are shared, and the dead are stood in for."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

import pytest
from served import Served, ambiguous, identities, prepare, smtp_server, subject, until, welcome
from workspace import Workspace

from runner.engine.history import History
from runner.ledger.database import Database, execute, rows

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

Start = Callable[[str], Served]


@pytest.fixture
def machines(workspace: Workspace) -> Iterator[Start]:
    """Starts a service by a machine's name, in a checkout of its own."""
    with ExitStack() as stack:

        def start(name: str) -> Served:
            checkout = workspace.root.parent / name
            shutil.copytree(workspace.root, checkout)
            service = Served(workspace, "--node", name, root=checkout)
            stack.callback(service.end)
            return service

        yield start


def carried(service: Served) -> set[str]:
    """The runs that ended in this process."""
    return {line["run"] for line in service.lines if line["message"].startswith("run ")}


async def runs_of(
    workspace: Workspace, url: str, ids: set[str], seconds: float
) -> dict[str, Mapping[str, Any]]:
    """The runs ``ids``, once all of them have ended."""
    async with History.open(url, workspace.root) as history, asyncio.timeout(seconds):
        while True:
            runs = {run["id"]: run for run in await history.list(limit=1000) if run["id"] in ids}
            if len(runs) == len(ids) and all(run["ended"] for run in runs.values()):
                return runs
            await asyncio.sleep(0.1)


async def test_two_machines_share_the_work(workspace: Workspace, database_url: str, machines: Start) -> None:
    with smtp_server(script={"DATA_END": "after 0.1: 250 ok"}) as server:
        prepare(workspace, server, database_url)
        one, two = machines("one"), machines("two")
        one.ready()
        two.ready()
        ids = {one.mail(n).json()["run_id"] for n in range(100)}
        runs = await runs_of(workspace, database_url, ids, 40)
        until(lambda: len(carried(one)) + len(carried(two)) == 100)
        codes = [one.stop(), two.stop()]

    assert {run["status"] for run in runs.values()} == {"succeeded"}
    assert len(identities(server)) == len(server.received) == 100
    assert carried(one) | carried(two) == ids
    assert carried(one).isdisjoint(carried(two))
    assert min(len(carried(one)), len(carried(two))) >= 10
    assert codes == [0, 0]


async def test_what_a_machine_killed_with_9_had_is_taken_over_within_15_seconds(
    workspace: Workspace, database_url: str, machines: Start
) -> None:
    with smtp_server(script={"DATA_END": "after 0.5: 250 ok"}) as server:
        prepare(workspace, server, database_url)
        one, two = machines("one"), machines("two")
        one.ready()
        two.ready()
        ids = {two.mail(n).json()["run_id"] for n in range(50)}
        one.kill()
        died = time.monotonic()
        left = ids - carried(one) - carried(two)
        runs = await runs_of(workspace, database_url, ids, 30)
        took = time.monotonic() - died
        async with History.open(database_url, workspace.root) as history:
            held = await ambiguous(history, runs.values())
        code = two.stop()

    succeeded = {run_id for run_id, run in runs.items() if run["status"] == "succeeded"}
    assert len(left) >= 10
    assert any("taking over" in line["message"] for line in two.lines)
    assert took < 15
    assert held | succeeded == ids
    assert len(held) <= 10
    assert set(identities(server).values()) == {1}
    assert code == 0


async def test_a_tick_fires_once_over_all_machines(
    workspace: Workspace, database_url: str, machines: Start
) -> None:
    """Both were down at the tick, and both find that it was missed."""
    database = Database(database_url, workspace.root)
    with smtp_server() as server, closing(database):
        prepare(workspace, server, database_url)
        hook = "webhook: {path: welcome, auth: none}"
        tick = 'schedule: {cron: "*/5 * * * *", body: {n: tick, to: bob@example.net}}'
        workspace.flow("welcome", welcome().replace(hook, f"{hook}\n  - {tick}"))
        database.migrate()
        done = time.time() - 3600
        values = {"identity": "welcome:1:*/5 * * * *:UTC", "done": done, "slack": 60.0}
        database.write(lambda connection: execute(connection, "schedules.mark", **values))
        both = [machines("one"), machines("two")]
        for service in both:
            service.ready()
        until(lambda: server.received)
        until(lambda: database.write(_mark) > time.time() - 60)
        time.sleep(2.5)  # each looks once a second
        before, clock = len(server.received), datetime.now(UTC)
        for service in both:
            service.post({"n": "after", "to": "bob@example.net"}, prefer="wait=10")
        codes = [service.stop() for service in both]

    fresh = (
        1 if clock.minute % 5 == 0 or clock.minute % 5 == 1 else 0
    )  # a real tick in the seconds of this test
    assert 1 <= before <= 1 + fresh
    assert [subject(mail) for mail in server.received][before:].count("Event after") == 2
    assert codes == [0, 0]


def _mark(connection: Any) -> float:
    (row,) = rows(connection, "schedules.marks")
    return float(row["done"])


async def test_machines_share_a_credentials_rate(
    workspace: Workspace, database_url: str, machines: Start
) -> None:
    with smtp_server() as server:
        prepare(workspace, server, database_url, rates=["10/s"])
        one, two = machines("one"), machines("two")
        one.ready()
        two.ready()
        for n in range(70):
            (one if n % 2 else two).mail(n)
        until(lambda: len(server.received) >= 20)
        begun, before = time.monotonic(), len(server.received)
        until(lambda: len(server.received) >= 70, 30)
        rate = (70 - before) / (time.monotonic() - begun)
        carrying = [len(carried(one)), len(carried(two))]

    assert 3.0 < rate <= 10.8
    assert min(carrying) >= 5
