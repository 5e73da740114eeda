"""The service under load, from outside: how soon webhooks are acknowledged, how many runs a second it carries out.

    .venv/bin/python bench/service.py [RUNS [acks] [runs] [machines]]

``acks``: acknowledgements are asked for at an even pace, and measured from when each was due, so that a service that
stalls cannot hide it; at the pace of the goal (50 a second, p99 at most 50 ms) and at twice that.
``runs``: from the first webhook to the last run's end, on SQLite, with a flow of one ``set`` node and with one that
mails over TLS to a server in this process; the goal is 100 a second.
``machines``: one and two processes on one PostgreSQL, in turn, with a mail server that answers at once and with one
that takes 100 ms to take a message; the goal is 1.7 times as much with two. Where everything shares two cores, the
first of these is bound by the processor and shows what a run costs; the second shows what machines are for.

CPU is that of the services, in milliseconds a run: on a machine that others use too, it is what can be compared. The
client and the mail server share the machine with the service. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "serve"))

import postgres
from hooks import flood, paced
from served import Served, prepare, smtp_server
from workspace import Workspace

SET = """
name: plain
triggers:
  - webhook: {path: plain, auth: none}
nodes:
  - id: made
    set: {greeting: "Hello <<trigger.body.n>>"}
"""
SECONDS = 15
GOAL_MS, GOAL_RUNS, GOAL_MACHINES = 50.0, 100.0, 1.7
WARM = 50
SLOW = 0.1
"""Seconds that the slow mail server takes."""


@contextmanager
def services(machines: int = 1, database: str = "", delay: float = 0.0) -> Iterator[list[Served]]:
    nothing: Any = None
    script = {"script": {"DATA_END": f"after {delay}: 250 ok"}} if delay else {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(smtp_server(**script))
        workspace = Workspace(Path(folder) / "acme", nothing, nothing)
        prepare(workspace, server, database)
        workspace.flow("plain", SET)
        running = []
        for number in range(machines):
            root = shutil.copytree(workspace.root, workspace.root.parent / f"machine{number}")
            running.append(Served(workspace, "--node", f"machine{number}", root=root))
            stack.callback(running[-1].end)
        for served in running:
            served.ready(60)
        yield running
        for served in running:
            served.stop(60)


def ended(running: Sequence[Served]) -> int:
    lines = [line for served in running for line in served.client.get("/metrics").text.splitlines()]
    return round(sum(float(line.split()[-1]) for line in lines if line.startswith("flowpost_runs_total{")))


def cpu(running: Sequence[Served]) -> float:
    """Seconds of user and system time so far."""
    fields = [
        Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split() for served in running
    ]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def acknowledgements(hook: str, rate: float) -> float:
    with services() as running:
        url = running[0].url
        asyncio.run(paced(url, hook, rate, WARM))
        before = cpu(running)
        took = sorted(asyncio.run(paced(url, hook, rate, int(rate * SECONDS))))
        while ended(running) < WARM + len(took):
            time.sleep(0.1)
        cost = (cpu(running) - before) / len(took) * 1000
    p99 = took[int(len(took) * 0.99)]
    print(
        f"  {hook:<9}{rate:>6.0f}/s   p50 {statistics.median(took):6.1f} ms   p99 {p99:6.1f} ms   "
        f"most {took[-1]:6.1f} ms   CPU {cost:5.2f} ms a run"
    )
    return p99


def runs(hook: str, number: int, machines: int = 1, database: str = "", delay: float = 0.0) -> float:
    async def ask(count: int) -> None:
        await asyncio.gather(*(flood(served.url, hook, count // machines) for served in running))

    with services(machines, database, delay) as running:
        asyncio.run(ask(WARM * machines))
        while ended(running) < WARM * machines:
            time.sleep(0.05)
        before, begun = cpu(running), time.monotonic()
        asyncio.run(ask(number))
        taken = time.monotonic() - begun
        while ended(running) < WARM * machines + number // machines * machines:
            time.sleep(0.05)
        took = time.monotonic() - begun
        cost = (cpu(running) - before) / number * 1000
    where = f"PostgreSQL x {machines}" if database else "SQLite"
    slow = f", mail takes {delay * 1000:.0f} ms" if delay else ""
    print(
        f"  {hook:<9}{number / took:7.1f} runs/s   CPU {cost:5.2f} ms a run   "
        f"acknowledged {number / taken:6.1f}/s   {where}{slow}",
        flush=True,
    )
    return number / took


def machines(number: int, rounds: int = 3) -> float:
    """How much more two processes do than one; the least of the medians."""
    folder = postgres.binaries()
    if folder is None:
        print("  PostgreSQL is not here")
        return GOAL_MACHINES
    least = []
    with postgres.running(folder) as server:
        for delay in (0.0, SLOW):
            pairs = []
            for _ in range(rounds):
                one, two = (runs("welcome", number, count, server.fresh(), delay) for count in (1, 2))
                pairs.append(two / one)
            least.append(statistics.median(pairs))
            print(
                f"  two processes do {least[-1]:.2f} times as much as one ({min(pairs):.2f}-{max(pairs):.2f})"
            )
    return min(least)


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.isdigit()] or ["acks", "runs", "machines"]
    number = next((int(word) for word in sys.argv[1:] if word.isdigit()), 1500)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    missed = False
    if "acks" in words:
        print("acknowledgement of a webhook, runs carried out meanwhile, SQLite:")
        missed = max(acknowledgements(hook, 50) for hook in ("plain", "welcome")) > GOAL_MS
        acknowledgements("plain", 100)
    if "runs" in words:
        print(f"{number} runs from the first webhook to the last end:")
        missed = min(runs("plain", number), runs("welcome", number)) < GOAL_RUNS or missed
    if "machines" in words:
        print(f"{number} runs on one PostgreSQL, one process and two in turn:")
        missed = machines(number) < GOAL_MACHINES or missed
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
