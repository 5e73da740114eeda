"""What durability costs: events accepted a second, messages through the ledger, runs carried to their end; and how
rates hold over several processes.

python bench/ledger.py                       a SQLite file
python bench/ledger.py postgresql://…        an empty PostgreSQL database; also two processes beside one
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from budgeted import arrivals

from runner.app import App
from runner.credential import Encryption, Rate, SmtpCredential
from runner.engine.service import Engine
from runner.ledger.database import Database
from runner.ledger.deliveries import Deliveries
from runner.ledger.writer import Writer
from runner.model import Envelope, Event, Flow, Outcome

FLOW = 'nodes:\n  - id: one\n    set: {x: "<<trigger.body.n>>"}\n'
EVENTS = int(os.environ.get("BENCH_EVENTS", "1000"))


class Carrier:
    async def send(self, credential: SmtpCredential, envelope: Envelope, data: bytes) -> Outcome:
        await asyncio.sleep(0)
        return Outcome(envelope.recipients, (), "250 ok")


def credential(*rates: Rate) -> SmtpCredential:
    return SmtpCredential(
        workspace="w", name="c", fingerprint="", host="h", port=465, encryption=Encryption.TLS, rates=rates,
        max_connections=50,
    )  # fmt: skip


async def deliveries(url: str, root: Path) -> None:
    database = Database(url, root)
    database.migrate()
    writer = Writer(database)
    ledger = Deliveries(writer=writer, owner="bench")
    letter = Envelope("a@x.org", ("b@x.org",))
    numbers = iter(range(EVENTS * 2))

    async def work() -> None:
        for number in numbers:
            sender = ledger.sender(
                Carrier(), run_id=f"{number}", node="n", item=None, resend=False, known=False
            )
            await sender.send(credential(), letter, b"")

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(100)))
    print(
        f"ledger, intent and outcome on disk   {EVENTS * 2 / (time.perf_counter() - begun):8.0f} messages/s"
    )
    await writer.close()
    database.close()


def rates(url: str, root: Path, rate: Rate, number: int, seconds: float, answer: str) -> None:
    """Real processes mail as fast as the rate lets them; every window of what arrives is looked at."""
    moments = sorted(arrivals(url, root, [rate], number, seconds, answer=answer))
    first = most = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= rate.seconds:
            first += 1
        most = max(most, last - first + 1)
    # Whole windows from the first message on: each can hold the rate's count.
    whole = int((seconds - 0.5) / rate.seconds)
    used = sum(moment < moments[0] + whole * rate.seconds for moment in moments) / whole / rate.count
    print(
        f"{rate.count}/{rate.seconds:g}s, {number} process(es), answer {answer:<18}"
        f" fullest window {most:4d}, used {used:6.1%}, load {os.getloadavg()[0]:.1f}"
    )


async def runs(root: Path) -> None:
    app = App.open(root, dict(os.environ))
    async with app.context() as context, Engine(context) as engine:
        await accepting(engine, app.flow("a"))


async def accepting(engine: Engine, flow: Flow) -> None:
    waits: list[float] = []
    numbers = iter(range(EVENTS))

    async def work() -> None:
        for number in numbers:
            begun = time.perf_counter()
            event = Event(type="webhook", body={"n": number}, time=datetime.now(UTC))
            await engine.accept(flow, event)
            waits.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(20)))
    rate = EVENTS / (time.perf_counter() - begun)
    p50, p99 = statistics.median(waits) * 1000, statistics.quantiles(waits, n=100)[98] * 1000
    print(f"accept, 20 at a time, runs beside    {rate:8.0f} events/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    while (await engine.runs.count()).get("succeeded", 0) < EVENTS:
        await asyncio.sleep(0.05)
    print(f"runs, accepted and carried out       {EVENTS / (time.perf_counter() - begun):8.0f} runs/s")


async def enqueue(root: Path, count: int) -> None:
    app = App.open(root, dict(os.environ))
    async with app.context() as context, Engine(context) as engine:
        engine._durable.stop_dequeuing()
        flow = app.flow("a")
        for start in range(0, count, 100):
            events = [
                Event(type="webhook", body={"n": start + n}, time=datetime.now(UTC)) for n in range(100)
            ]
            await asyncio.gather(*(engine.accept(flow, event) for event in events))


def processes(root: Path, number: int) -> float:
    """Seconds that so many processes need for the runs that wait."""
    command = [sys.executable, __file__, "worker", str(root)]
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(number)
        ]
        times = [worker.communicate()[0].decode().split() for worker in workers]
    return max(float(each[1]) for each in times) - min(float(each[0]) for each in times)


async def worker(root: Path) -> None:
    app = App.open(root, dict(os.environ))
    async with app.context() as context, Engine(context) as engine:
        begun = time.time()
        last, left = begun, -1
        while left != 0:
            await asyncio.sleep(0.05)
            counts = await engine.runs.count()
            left = sum(count for status, count in counts.items() if status != "succeeded")
            last = time.time()
        print(begun, last)


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(worker(Path(sys.argv[2])))
        return
    url = sys.argv[1] if len(sys.argv) > 1 else "sqlite:///state.db"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "flows").mkdir()
        (root / "flows" / "a.yaml").write_text(FLOW)
        os.environ["FLOWPOST_DATABASE"] = url
        asyncio.run(deliveries(url, root))
        asyncio.run(runs(root))
        for rate, seconds in ((Rate(14, 1.0), 20.5), (Rate(100, 1.0), 15.5), (Rate(30, 10.0), 40.5)):
            for number in (1,) if url.startswith("sqlite") else (1, 2, 3):
                for answer in ("ok", "after 0.05: 250 ok"):
                    rates(url, root, rate, number, seconds, answer)
                    time.sleep(rate.seconds + 8.0)  # what the processes had under way is forgotten
        if url.startswith("sqlite"):
            return
        for number in (1, 2):
            asyncio.run(enqueue(root, EVENTS * 2))
            seconds = processes(root, number)
            print(f"{number} process(es) on one PostgreSQL        {EVENTS * 2 / seconds:8.0f} runs/s")


if __name__ == "__main__":
    main()
