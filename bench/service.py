"""The service under load, from outside: how soon webhooks are acknowledged, how many runs a second it carries out.

    .venv/bin/python bench/service.py [RUNS]

Acknowledgements are asked for at an even pace, and measured from when each was due, so that a service that stalls
cannot hide it; at the pace of the goal (50 a second, p99 at most 50 ms) and at twice that. Runs are measured from the
first webhook to the last run's end, on SQLite, with a flow of one ``set`` node and with one that mails over TLS to
a server in this process. The client and that server share the machine with the service. Exit code 1 when a goal is
missed.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "serve"))

import httpx
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
GOAL_MS, GOAL_RUNS = 50.0, 100.0
AT_ONCE = 32


@contextmanager
def service() -> Iterator[Served]:
    nothing: Any = None
    with tempfile.TemporaryDirectory() as folder, smtp_server() as server:
        workspace = Workspace(Path(folder) / "acme", nothing, nothing)
        prepare(workspace, server)
        workspace.flow("plain", SET)
        served = Served(workspace)
        try:
            yield served.ready(60)
            served.stop(60)
        finally:
            served.end()


def ended(served: Served) -> int:
    lines = served.client.get("/metrics").text.splitlines()
    return round(sum(float(line.split()[-1]) for line in lines if line.startswith("flowpost_runs_total{")))


async def paced(url: str, hook: str, rate: float, number: int) -> list[float]:
    """The milliseconds of each acknowledgement."""
    took: list[float] = []
    async with httpx.AsyncClient(
        base_url=url, timeout=60, limits=httpx.Limits(max_connections=200)
    ) as client:
        begun = time.monotonic() + 0.5

        async def one(n: int) -> None:
            due = begun + n / rate
            await asyncio.sleep(due - time.monotonic())
            answer = await client.post(f"/hooks/{hook}", json={"n": n, "to": f"c{n}@example.net"})
            answer.raise_for_status()
            took.append((time.monotonic() - due) * 1000)

        await asyncio.gather(*map(one, range(number)))
    return took


async def flood(url: str, hook: str, number: int) -> None:
    """Ask as fast as the service acknowledges."""
    numbers = iter(range(number))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def work() -> None:
            for n in numbers:
                answer = await client.post(f"/hooks/{hook}", json={"n": n, "to": f"c{n}@example.net"})
                answer.raise_for_status()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def acknowledgements(hook: str, rate: float) -> float:
    with service() as served:
        asyncio.run(paced(served.url, hook, rate, 30))
        took = sorted(asyncio.run(paced(served.url, hook, rate, int(rate * SECONDS))))
    p99 = took[int(len(took) * 0.99)]
    print(
        f"  {hook:<9}{rate:>6.0f}/s   p50 {statistics.median(took):6.1f} ms   p99 {p99:6.1f} ms   "
        f"most {took[-1]:6.1f} ms"
    )
    return p99


def runs(hook: str, number: int) -> float:
    with service() as served:
        asyncio.run(flood(served.url, hook, 50))
        while ended(served) < 50:
            time.sleep(0.05)
        begun = time.monotonic()
        asyncio.run(flood(served.url, hook, number))
        taken = time.monotonic() - begun
        while ended(served) < 50 + number:
            time.sleep(0.05)
        took = time.monotonic() - begun
    print(
        f"  {hook:<9}{number:>6} runs   {number / took:6.1f} runs/s   (acknowledged {number / taken:6.1f}/s)"
    )
    return number / took


def main() -> int:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, SQLite")
    print("acknowledgement of a webhook, runs carried out meanwhile:")
    p99 = [acknowledgements(hook, 50) for hook in ("plain", "welcome")]
    acknowledgements("plain", 100)
    print("runs from the first webhook to the last end:")
    rates = [runs("plain", number), runs("welcome", number)]
    return 0 if max(p99) <= GOAL_MS and rates[0] >= GOAL_RUNS else 1


if __name__ == "__main__":
    sys.exit(main())
