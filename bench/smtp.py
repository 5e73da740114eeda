"""Messages per second, and CPU per message, of the sender over a server of this machine; messages ready as
bytes.

    python bench/smtp.py                 over smtp-sink in clear, and over our inbox under TLS
    python bench/smtp.py --peer          the same messages by Nodemailer's pool (needs node and npm)

Best of five rounds after one to warm up; every round is checked to have delivered all its messages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.credential import Encryption, SmtpCredential
from runner.dev.inbox import Inbox
from runner.model import Envelope
from runner.net.guard import Guard
from runner.smtp.pool import Sender

BODY = "".join(f"<p>line {number} of a message of the size that people send</p>\r\n" for number in range(40))
DATA = (
    "From: Shop <shop@example.com>\r\nTo: A Customer <customer@example.net>\r\nSubject: Your order\r\n"
    "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n"
    f"Content-Type: text/html; charset=utf-8\r\n\r\n{BODY}"
).encode()
ENVELOPE = Envelope("shop@example.com", ("customer@example.net",))

PEER = """
const nodemailer = require('nodemailer');
const [port, count, connections, rounds, raw, ca] = JSON.parse(process.env.BENCH);
const options = {host: ca ? 'localhost' : '127.0.0.1', port, pool: true, maxConnections: connections,
maxMessages: Infinity,
  secure: !!ca, ignoreTLS: !ca, tls: ca ? {ca} : undefined};
(async () => {
  const transport = nodemailer.createTransport(options);
  let best = 0, least = 1e9;
  for (let round = 0; round <= rounds; round++) {
    const start = process.hrtime.bigint(), cpu = process.cpuUsage();
    await Promise.all(Array.from({length: count}, () => transport.sendMail(
      {envelope: {from: 'shop@example.com', to: ['customer@example.net']}, raw})));
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const used = process.cpuUsage(cpu);
    if (round) { best = Math.max(best, count / seconds); least = Math.min(least, (used.user + used.system)
    / count); }
  }
  console.log(JSON.stringify([best, least]));
  transport.close();
})();
"""


@contextmanager
def sink() -> Iterator[int]:
    """smtp-sink on a free port."""
    found = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([found, *user, f"127.0.0.1:{port}", "128"])
    time.sleep(0.5)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


async def ours(
    port: int, count: int, connections: int, rounds: int, ca_pem: str | None
) -> tuple[float, float]:
    """Messages per second of the best round, and the least CPU microseconds a message."""
    credential = SmtpCredential(
        workspace="bench",
        name="bench",
        fingerprint="1",
        host="localhost" if ca_pem else "127.0.0.1",
        port=port,
        encryption=Encryption.TLS if ca_pem else Encryption.NONE,
        ca_pem=ca_pem,
        max_connections=connections,
        max_messages=1_000_000,
    )
    best, least = 0.0, 1e9
    async with Sender(Guard(["127.0.0.0/8", "::1"])) as sender:
        for number in range(rounds + 1):
            before, cpu = time.perf_counter(), time.process_time()
            results = await asyncio.gather(*(sender.send(credential, ENVELOPE, DATA) for _ in range(count)))
            seconds = time.perf_counter() - before
            assert all(result.accepted for result in results)
            if number:
                best = max(best, count / seconds)
                least = min(least, (time.process_time() - cpu) / count * 1e6)
    return best, least


def peer(
    port: int, count: int, connections: int, rounds: int, ca_pem: str | None, folder: Path
) -> list[float]:
    """The same by Nodemailer."""
    if not (folder / "node_modules").exists():
        subprocess.run(
            ["npm", "install", "--silent", "--no-fund", "--no-audit", "nodemailer"], cwd=folder, check=True
        )
    plan = json.dumps([port, count, connections, rounds, DATA.decode(), ca_pem])
    run = subprocess.run(
        ["node", "-e", PEER], cwd=folder, env=os.environ | {"BENCH": plan}, capture_output=True, check=True
    )
    return [float(value) for value in json.loads(run.stdout)]


async def serve_inbox(ready: Path) -> None:
    """The inbox in a process of its own, so that it does not share a core with the sender."""
    async with Inbox() as inbox:
        ready.write_text(json.dumps([inbox.port, inbox.ca_pem]))
        await asyncio.Event().wait()


@contextmanager
def inbox_process(folder: Path) -> Iterator[tuple[int, str]]:
    """Port and authority of an inbox in another process."""
    import sys

    ready = folder / "ready.json"
    process = subprocess.Popen([sys.executable, __file__, "--inbox", str(ready)])
    try:
        while not ready.exists() or not ready.read_text():
            time.sleep(0.05)
        port, ca_pem = json.loads(ready.read_text())
        yield port, ca_pem
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--inbox", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inbox:
        asyncio.run(serve_inbox(arguments.inbox))
        return
    plan = (arguments.count, arguments.connections, arguments.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with sink() as port:
            report("smtp-sink, in clear", *asyncio.run(ours(port, *plan, None)))
            if arguments.peer:
                report("  Nodemailer", *peer(port, *plan, None, folder))
        with inbox_process(folder) as (port, ca_pem):
            report("inbox, TLS", *asyncio.run(ours(port, *plan, ca_pem)))
            if arguments.peer:
                report("  Nodemailer", *peer(port, *plan, ca_pem, folder))


def report(what: str, rate: float, cpu: float) -> None:
    print(f"{what:20} {rate:7.0f} messages/s, {cpu:5.0f} us of CPU a message ({len(DATA)} octets)")


if __name__ == "__main__":
    main()
