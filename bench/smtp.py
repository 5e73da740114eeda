"""Messages per second, and CPU per message, of ``Sender.submit`` over servers of this machine; messages ready as
sealed letters.

    python bench/smtp.py                 every scene with asyncio, and with uvloop where it is installed
    python bench/smtp.py --peer          the same messages by Nodemailer's pool, too (needs node and npm)
    python bench/smtp.py --scene far     one scene: sink, tls, lockstep, far or chunks

sink       smtp-sink in clear
tls        our own inbox, TLS from the start
lockstep   smtp-sink without PIPELINING
far        a sink whose replies leave 50 ms late, as over a round trip of 50 ms
chunks     the same sink, ours by BDAT with a window of 8 (``advanced.chunking: 8``)

All contestants of a scene take turns, a process each, and the best of their rounds counts; every round is
checked to have delivered all its messages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runner.credential import Encryption, SmtpCredential
from runner.dev.inbox import Inbox
from runner.loops import loop_factory
from runner.model import Envelope
from runner.net.guard import Guard
from runner.smtp.job import Job
from runner.smtp.pool import Sender
from runner.smtp.transaction import Letter

BODY = "".join(f"<p>line {number} of a message of the size that people send</p>\r\n" for number in range(40))
DATA = (
    "From: Shop <shop@example.com>\r\nTo: A Customer <customer@example.net>\r\nSubject: Your order\r\n"
    "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n"
    f"Content-Type: text/html; charset=utf-8\r\n\r\n{BODY}"
).encode()
ENVELOPE = Envelope("shop@example.com", ("customer@example.net",))
ROUND_TRIP = 0.05

PEER = """
const nodemailer = require('nodemailer');
const {port, count, connections, ca, data} = JSON.parse(process.env.BENCH);
const transport = nodemailer.createTransport({host: ca ? 'localhost' : '127.0.0.1', port, pool: true,
  maxConnections: connections, maxMessages: Infinity, secure: !!ca, ignoreTLS: !ca, tls: ca ? {ca} : undefined});
const send = (n) => Promise.all(Array.from({length: n}, () => transport.sendMail(
  {envelope: {from: 'shop@example.com', to: ['customer@example.net']}, raw: data})));
(async () => {
  await send(Math.max(connections, count / 4));
  const start = process.hrtime.bigint(), cpu = process.cpuUsage();
  await send(count);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9, used = process.cpuUsage(cpu);
  console.log(JSON.stringify([count / seconds, (used.user + used.system) / count]));
  transport.close();
})();
"""


# -- servers -----------------------------------------------------------------------------------------


@contextmanager
def smtp_sink(*options: str) -> Iterator[tuple[int, None]]:
    """smtp-sink on a free port."""
    found = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([found, *user, *options, f"127.0.0.1:{port}", "128"])
    time.sleep(0.5)
    try:
        yield port, None
    finally:
        process.terminate()
        process.wait()


@contextmanager
def own(kind: str) -> Iterator[tuple[int, str | None]]:
    """Port and authority of a server of ours in another process, so that it has a core of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        process = subprocess.Popen([sys.executable, __file__, "--serve", kind, str(ready)])
        try:
            while not ready.exists() or not ready.read_text():
                time.sleep(0.05)
            port, ca_pem = json.loads(ready.read_text())
            yield port, ca_pem
        finally:
            process.terminate()
            process.wait()


async def serve(kind: str, ready: Path) -> None:
    """Run the inbox, or the far sink, until the process is ended."""
    if kind == "inbox":
        async with Inbox() as inbox:
            ready.write_text(json.dumps([inbox.port, inbox.ca_pem]))
            await asyncio.Event().wait()
    server = await asyncio.get_running_loop().create_server(FarSink, "127.0.0.1", 0)
    ready.write_text(json.dumps([server.sockets[0].getsockname()[1], None]))
    await asyncio.Event().wait()


class FarSink(asyncio.Protocol):
    """Takes every message by DATA or BDAT and keeps none; its replies leave a round trip late, in order."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.buffer = b""
        self.content = False
        self.skip = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.say(b"220 far\r\n")

    def say(self, replies: bytes) -> None:
        self.loop.call_later(ROUND_TRIP, self.transport.write, replies)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        replies: list[bytes] = []
        while (reply := self.next()) is not None:
            replies.append(reply)
        if replies:
            self.say(b"".join(replies))

    def next(self) -> bytes | None:
        """The reply to the next command or message; None when there is no whole one."""
        if self.skip:
            if len(self.buffer) < self.skip:
                return None
            self.buffer, self.skip = self.buffer[self.skip :], 0
            return b"250 2.0.0 queued\r\n"
        if self.content:
            _, dot, rest = self.buffer.partition(b"\r\n.\r\n")
            if not dot:
                return None
            self.buffer, self.content = rest, False
            return b"250 2.0.0 queued\r\n"
        line, end, rest = self.buffer.partition(b"\r\n")
        if not end:
            return None
        self.buffer = rest
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-far\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
        if verb == b"DATA":
            self.content = True
            return b"354 go ahead\r\n"
        if verb == b"BDAT":
            self.skip = int(line.split(b" ")[1])
            return b""
        return b"250 2.0.0 ok\r\n"


SCENES = {
    "sink": (smtp_sink, (), 0, 1.0),
    "tls": (own, ("inbox",), 0, 1.0),
    "lockstep": (smtp_sink, ("-p",), 0, 1.0),
    "far": (own, ("far",), 0, 0.25),
    "chunks": (own, ("far",), 8, 0.25),
}
"""The server, its arguments, the window of BDAT, and the share of the messages that is enough."""


# -- contestants -------------------------------------------------------------------------------------


async def ours(
    port: int, ca_pem: str | None, count: int, connections: int, chunking: int
) -> tuple[float, float]:
    """Messages per second, and CPU microseconds a message."""
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
        chunking=chunking,
    )
    letter = Letter.seal(ENVELOPE, DATA)
    window = 2 * connections * max(1, chunking)
    async with Sender(Guard(["127.0.0.0/8", "::1"])) as sender:
        await burst(sender, credential, letter, max(window, count // 4), window)
        before, cpu = time.perf_counter(), time.process_time()
        await burst(sender, credential, letter, count, window)
        seconds = time.perf_counter() - before
        return count / seconds, (time.process_time() - cpu) / count * 1e6


async def burst(sender: Sender, credential: SmtpCredential, letter: Letter, count: int, window: int) -> None:
    """Send ``letter`` so many times, ``window`` of them submitted and not done."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left, waiting = count, count

    def submit() -> None:
        nonlocal waiting
        waiting -= 1
        sender.submit(credential, letter).add_done_callback(done)  # type: ignore[arg-type]

    def done(job: Job) -> None:
        nonlocal left
        left -= 1
        if job.exception() is not None:
            over.set_exception(job.exception() or RuntimeError())
        elif left == 0:
            over.set_result(None)
        elif waiting:
            submit()

    for _ in range(min(window, count)):
        submit()
    await over


def contestants(plan: dict[str, object], folder: Path | None) -> dict[str, list[str]]:
    """Who takes part, and the command that prints their figures."""
    found = {"asyncio": [sys.executable, __file__, "--run", json.dumps({**plan, "uvloop": False})]}
    if loop_factory() is not None:
        found["uvloop"] = [sys.executable, __file__, "--run", json.dumps({**plan, "uvloop": True})]
    if folder is not None:
        found["Nodemailer"] = ["node", "-e", PEER]
    return found


def run(plan: dict[str, object]) -> None:
    """One round of ours."""
    factory = loop_factory() if plan["uvloop"] else None
    with asyncio.Runner(loop_factory=factory) as runner:
        figures = runner.run(
            ours(plan["port"], plan["ca"], plan["count"], plan["connections"], plan["chunking"])  # type: ignore[arg-type]
        )
    print(json.dumps(figures))


def compare(scene: str, count: int, connections: int, rounds: int, folder: Path | None) -> None:
    """Print a table of one scene."""
    server, arguments, chunking, share = SCENES[scene]
    best: dict[str, tuple[float, float]] = {}
    with ExitStack() as stack:
        port, ca_pem = stack.enter_context(server(*arguments))  # type: ignore[operator]
        count = int(count * share)
        plan = {"port": port, "ca": ca_pem, "count": count, "connections": connections, "chunking": chunking}
        peer = os.environ | {"BENCH": json.dumps(plan | {"data": DATA.decode()})}
        for _ in range(rounds):
            for name, command in contestants(plan, folder).items():
                done = subprocess.run(command, cwd=folder, env=peer, stdout=subprocess.PIPE, check=True)
                rate, cpu = json.loads(done.stdout)
                known = best.get(name, (0.0, 1e9))
                best[name] = (max(known[0], rate), min(known[1], cpu))
    base = best.get("Nodemailer")
    for name, (rate, cpu) in best.items():
        ratio = f"   {rate / base[0]:5.2f} x, {cpu / base[1]:4.2f} of its CPU" if base else ""
        print(f"{scene:9} {name:11} {rate:7.0f} messages/s {cpu:5.0f} us of CPU a message{ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve[0], Path(arguments.serve[1])))
        return
    if arguments.run:
        run(json.loads(arguments.run))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if arguments.peer else None
        if folder is not None:
            install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "nodemailer"]
            subprocess.run(install, cwd=folder, check=True)
        for scene in arguments.scene or SCENES:
            compare(scene, arguments.count, arguments.connections, arguments.rounds, folder)


if __name__ == "__main__":
    main()
