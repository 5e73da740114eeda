"""Processes that mail through one credential's rates as fast as these let them, and what the server sees of it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from servers.scripted import Mail, ScriptedServer

from runner.credential import Encryption, Rate, SmtpCredential
from runner.ledger.budgets import Budgets
from runner.ledger.database import Database
from runner.ledger.deliveries import Deliveries
from runner.ledger.postponed import Postponed
from runner.ledger.writer import Writer
from runner.model import Envelope

TESTS = Path(__file__).resolve().parent
WORKERS = 8
LETTER = b"From: me@example.com\r\nTo: you@example.net\r\nSubject: x\r\n\r\nx\r\n"


class Timed(list[Mail]):
    """Notes when each message has arrived, before it is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[float] = []

    def append(self, mail: Mail) -> None:
        self.moments.append(time.monotonic())
        super().append(mail)


def arrivals(
    url: str,
    root: Path,
    rates: list[Rate],
    processes: int,
    seconds: float,
    *,
    answer: str = "ok",
    kill: float | None = None,
) -> list[float]:
    """The moments at which messages arrived over ``seconds``, once every process has begun. The server's ``answer``
    to each message is an action of the scripted server; after ``kill`` seconds the first process dies by SIGKILL.
    """
    database = Database(url, root)
    database.migrate()
    database.close()
    received = Timed()
    with ScriptedServer(tls="none", script={"DATA_END": answer}) as server, ExitStack() as stack:
        server.received = received
        plan = {"url": url, "root": str(root), "port": server.port}
        plan["rates"] = [[rate.count, rate.seconds] for rate in rates]
        own = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "budgeted", json.dumps({**plan, "owner": f"p{n}"})],
                env=own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for n in range(processes)
        ]
        for child in children:
            stack.enter_context(child)
            stack.callback(child.kill)
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
        begun = time.monotonic()
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"go\n")
            child.stdin.flush()
        if kill is not None:
            time.sleep(kill)
            children[0].kill()
        time.sleep(seconds - (kill or 0.0))
        ends = time.monotonic()
        for child in children:
            child.terminate()
    return [moment - begun for moment in received.moments if moment <= ends]


async def _mail(plan: dict[str, Any]) -> None:
    from runner.net.guard import Guard
    from runner.smtp.pool import Sender

    database = Database(plan["url"], Path(plan["root"]))
    writer, budgets = Writer(database), Budgets(database)
    ledger = Deliveries(writer=writer, owner=plan["owner"], turn=budgets.claim)
    credential = SmtpCredential(
        workspace="acme",
        name="ops",
        fingerprint="1",
        host="127.0.0.1",
        port=plan["port"],
        encryption=Encryption.NONE,
        rates=tuple(Rate(count, seconds) for count, seconds in plan["rates"]),
    )
    letter = Envelope("me@example.com", ("you@example.net",))
    numbers = iter(range(10**9))
    await writer.write(lambda connection: None)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    async with Sender(Guard(["127.0.0.0/8"])) as sender:

        async def work() -> None:
            for number in numbers:
                name = f"{plan['owner']}-{number}"
                own = ledger.sender(sender, run_id=name, node="n", item=None, resend=False, known=False)
                while True:
                    try:
                        await own.send(credential, letter, LETTER)
                    except Postponed as later:
                        await asyncio.sleep(later.seconds)
                    else:
                        break

        await asyncio.gather(*(work() for _ in range(WORKERS)))


if __name__ == "__main__":
    asyncio.run(_mail(json.loads(sys.argv[1])))
