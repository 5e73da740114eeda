"""The service for half an hour, 50 mails a second, one in twenty meeting a fault: what grows is found.

    .venv/bin/python bench/soak.py [MINUTES] [RATE]

Webhooks go in at an even pace, mails come out over TLS to a server in this process that answers one in twenty with
4xx, a connection dropped before or after DATA, or a reply that comes late. Every ten seconds: resident memory, open
descriptors, threads, asyncio tasks, live objects of the service, and its database. The first third is warm-up; a
line is fitted to the rest. Exit code 1 when memory, descriptors, threads or tasks grow, or an event is lost. The
figures say how much of the pace was reached: on a machine that others use, all of it may not be. The database grows
by what each run leaves in the history, which is told by the run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "serve"))

import httpx
from served import Served, prepare
from servers.certificates import certificate
from workspace import Workspace

EVERY = 10.0
FAULTS = ("RCPT 450", "DATA 451", "drop before DATA", "drop after DATA", "late")
LATE = 3.0
PROBE = """
import atexit, asyncio, gc, json, os, threading, time

def look():
    while True:
        time.sleep(2)
        told = {"tasks": len(asyncio.tasks._all_tasks), "objects": len(gc.get_objects())}
        with open(PATH + ".new", "w") as file:
            json.dump(told, file)
        os.replace(PATH + ".new", PATH)

threading.Thread(target=look, daemon=True, name="probe").start()
"""
"""Runs in the service: what nobody can see from outside."""


class Sink:
    """An SMTP server over TLS that keeps nothing but numbers."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.accepted = 0
        self.faults: Counter[str] = Counter()
        self.identities: Counter[str] = Counter()
        self.ca_pem = ""
        self.port = 0
        self._chance = random.Random(11)

    async def start(self) -> None:
        made = certificate("good")
        self.ca_pem = made.ca_pem
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=made.context())
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = ""
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n")
            elif verb == b"AUTH":
                writer.write(b"235 ok\r\n")
            elif verb == b"MAIL":
                fault = self._fault()
                writer.write(b"250 ok\r\n")
            elif verb == b"RCPT":
                writer.write(b"450 4.2.1 busy\r\n" if fault == "RCPT 450" else b"250 ok\r\n")
            elif verb == b"DATA":
                if fault == "RCPT 450":
                    writer.write(b"503 no recipients\r\n")
                    continue
                if fault == "drop before DATA":
                    return
                writer.write(b"354 go\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                if fault == "drop after DATA":
                    return
                if fault == "late":
                    await asyncio.sleep(LATE)
                if fault == "DATA 451":
                    writer.write(b"451 4.3.0 later\r\n")
                    continue
                self.accepted += 1
                at = data.index(b"Message-ID:")
                self.identities[data[at : data.index(b"\r\n", at)].decode()] += 1
                writer.write(b"250 ok\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")

    def _fault(self) -> str:
        if self._chance.random() >= self.share:
            return ""
        kind = self._chance.choice(FAULTS)
        self.faults[kind] += 1
        return kind


@dataclass
class Sample:
    at: float
    rss: float
    """KiB."""
    fds: float
    threads: float
    tasks: float
    objects: float
    database: float
    """KiB, with its log."""
    ended: float


@dataclass
class Load:
    """Events, evenly."""

    url: str
    rate: float
    sent: int = 0
    acknowledged: int = 0
    troubles: Counter[str] = field(default_factory=Counter)

    async def run(self, seconds: float) -> None:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=self.url, timeout=60, limits=limits) as client:
            begun = time.monotonic()
            tasks: set[asyncio.Task[None]] = set()
            while time.monotonic() < begun + seconds:
                await asyncio.sleep(max(0.0, begun + self.sent / self.rate - time.monotonic()))
                task = asyncio.create_task(self._one(client, self.sent))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                self.sent += 1
            await asyncio.gather(*tasks)

    async def _one(self, client: httpx.AsyncClient, n: int) -> None:
        try:
            answer = await client.post("/hooks/welcome", json={"n": n, "to": f"c{n}@example.net"})
        except httpx.HTTPError as error:
            self.troubles[type(error).__name__] += 1
            return
        if answer.status_code == 202:
            self.acknowledged += 1
        else:
            self.troubles[str(answer.status_code)] += 1


def sample(service: Served, probe: Path, root: Path, begun: float, ended: float) -> Sample:
    process = Path(f"/proc/{service.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    told = json.loads(probe.read_text()) if probe.exists() else {"tasks": 0, "objects": 0}
    database = sum(path.stat().st_size for path in root.glob(".flowpost/state.db*")) / 1024
    return Sample(
        at=time.monotonic() - begun,
        rss=float(status["VmRSS"].split()[0]),
        fds=len(list((process / "fd").iterdir())),
        threads=float(status["Threads"]),
        tasks=told["tasks"],
        objects=told["objects"],
        database=database,
        ended=ended,
    )


async def runs_ended(client: httpx.AsyncClient) -> Counter[str]:
    """Runs by status, as the service counts them."""
    found: Counter[str] = Counter()
    for line in (await client.get("/metrics")).text.splitlines():
        if line.startswith("flowpost_runs_total{"):
            found[line.split('status="')[1].split('"')[0]] += round(float(line.split()[-1]))
    return found


def slope(samples: list[Sample], name: str) -> tuple[float, float]:
    """The mean, and the growth a minute by least squares."""
    xs = [each.at / 60 for each in samples]
    ys = [getattr(each, name) for each in samples]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mx) ** 2 for x in xs)
    return my, sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / spread


async def soak(minutes: float, rate: float, folder: Path) -> int:
    nothing: Any = None
    sink = Sink(0.05)
    await sink.start()
    workspace = Workspace(folder / "acme", nothing, nothing)
    prepare(workspace, sink)  # type: ignore[arg-type]
    probe = folder / "probe.json"
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(PROBE.replace("PATH", repr(str(probe))))
    path = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    service = Served(workspace, PYTHONPATH=path)
    samples: list[Sample] = []
    try:
        await asyncio.to_thread(service.ready, 60)
        load = Load(service.url, rate)
        begun = time.monotonic()
        sending = asyncio.create_task(load.run(minutes * 60))
        counts: Counter[str] = Counter()
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            while not sending.done():
                await asyncio.wait([sending], timeout=EVERY)
                counts = await runs_ended(client)
                samples.append(sample(service, probe, workspace.root, begun, counts.total()))
                last = samples[-1]
                print(
                    f"{last.at:6.0f} s  rss {last.rss / 1024:6.1f} MiB  fds {last.fds:3.0f}  "
                    f"threads {last.threads:3.0f}  tasks {last.tasks:4.0f}  objects {last.objects:8.0f}  "
                    f"db {last.database / 1024:6.1f} MiB  sent {load.sent}  acknowledged {load.acknowledged}  "
                    f"ended {last.ended:.0f}  mailed {sink.accepted}  load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            await sending
            end = time.monotonic() + 300
            while (counts := await runs_ended(client)).total() < load.acknowledged and time.monotonic() < end:
                await asyncio.sleep(1)
        code = await asyncio.to_thread(service.stop, 60)
    finally:
        service.end()
    return report(load, sink, samples, counts, code)


def report(load: Load, sink: Sink, samples: list[Sample], counts: Counter[str], code: int) -> int:
    twice = sum(count > 1 for count in sink.identities.values())
    lost = load.acknowledged - counts.total()
    print(f"events {load.sent}, acknowledged {load.acknowledged}, troubles {dict(load.troubles)}")
    print(f"runs {dict(counts)}, lost {lost}; mailed {sink.accepted}, twice {twice}; exit code {code}")
    print(f"faults {dict(sink.faults)}")
    seconds = samples[-1].at
    print(
        f"{load.sent / seconds:.1f} events/s asked, {sink.accepted / seconds:.1f} mails/s out; {load.rate:g} were meant"
    )
    steady = [each for each in samples if each.at > samples[-1].at / 3]
    minutes = (steady[-1].at - steady[0].at) / 60
    grown = []
    # What may come and go: a garbage collection here, a connection there.
    allowed = {"rss": 0.05, "fds": 0.15, "threads": 0.1, "tasks": 0.3, "objects": 0.1}
    for name, share in allowed.items():
        mean, growth = slope(steady, name)
        flat = growth * minutes <= max(share * mean, 2.0)
        print(
            f"{name:<8} mean {mean:12.1f}  growth {growth:+9.2f}/min  ({growth * minutes / mean:+.1%} "
            f"in {minutes:.0f} min)  {'flat' if flat else 'GROWS'}"
        )
        if not flat:
            grown.append(name)
    _, bytes_ = slope(steady, "database")
    _, ended = slope(steady, "ended")
    print(f"database {bytes_:+.0f} KiB/min, {bytes_ / max(ended, 1):.2f} KiB a run in the history")
    return 1 if grown or lost or twice or code else 0


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 50.0
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(soak(minutes, rate, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
