"""What the tests of batches share: a flow, its rows, a server that keeps what came."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Answer, Workspace

NEWS = """
name: news
body:
  type: object
  required: [email, name]
  properties:
    email: {type: string, format: email}
    name: {type: string}
nodes:
  - id: mail
    smtp:
      credential: ops
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      subject: News for <<trigger.body.name>>
      body_format: text
      body: Hello <<trigger.body.name>>
    retry: {attempts: 3, delay: 200ms, max_delay: 300ms}
"""


def smtp_server(**options: Any) -> ScriptedServer:
    return ScriptedServer(**{"username": "ann@example.com", "password": "correct horse", **options})


def prepare(
    workspace: Workspace,
    server: ScriptedServer,
    *,
    database: str = "",
    settings: str = "",
    **advanced: object,
) -> None:
    more = f"database: {database}\n" if database else ""
    workspace.settings(LOOPBACK + more + settings)
    workspace.flow("news", NEWS)
    advanced = {name: value for name, value in advanced.items() if value is not None}
    workspace.smtp("ops", server, **({"advanced": advanced} if advanced else {}))


def rows(number: int, first: int = 1) -> list[dict[str, str]]:
    return [{"email": f"c{n}@example.net", "name": f"Person {n}"} for n in range(first, first + number)]


def write_csv(path: Path, data: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(data[0]))
        writer.writeheader()
        writer.writerows(data)
    return path


def contacts(workspace: Workspace, number: int) -> Path:
    return write_csv(workspace.root / "contacts.csv", rows(number))


def to(server: ScriptedServer) -> Counter[str]:
    """How often each address got a message that arrived whole and was accepted."""
    return Counter(recipient for mail in server.received if mail.code == 250 for recipient in mail.recipients)


def arrived(server: ScriptedServer) -> Counter[str]:
    """The same, whatever the server answered, if anything."""
    return Counter(recipient for mail in server.received for recipient in mail.recipients)


def addresses(number: int) -> set[str]:
    return {row["email"] for row in rows(number)}


def subjects(server: ScriptedServer) -> set[str]:
    return {str(message_from_bytes(mail.data, policy=policy.default)["Subject"]) for mail in server.received}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def statuses(path: Path) -> dict[int, str]:
    return {line["row"]: line["status"] for line in lines(path)}


def with_a_second(workspace: Workspace) -> None:
    """Let ``workspace.call`` give each batch a process of its own, and that a second one."""

    def call(*arguments: str, stdin: str | None = None) -> Answer:
        more = ("--processes", "2") if arguments[0] == "batch" else ()
        done = workspace.process(*arguments, *more, input=stdin)
        return Answer(done.returncode, done.stdout, done.stderr)

    workspace.call = call  # type: ignore[method-assign]


class Running:
    """``flowpost batch`` as a process of its own."""

    def __init__(
        self, workspace: Workspace, *arguments: str, environ: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._err = workspace.root.parent / f"batch-{time.monotonic_ns()}.err"
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("FLOWPOST_", "SOPS_"))
        }
        own |= {"HOME": str(workspace.root.parent), **workspace.environ, **dict(environ)}
        with self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runner", "batch", *arguments],
                cwd=workspace.root,
                env=own,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    def signal(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.process.kill()
        self.process.communicate()

    def end(self, seconds: float = 60.0) -> tuple[int, Any]:
        """The exit code, and the summary where there is one."""
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, json.loads(out) if out.strip() else None


def children(process: int) -> list[int]:
    """The processes that ``process`` has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def until(condition: Any, seconds: float = 20.0, what: str = "it did not come about") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)
