"""``flowpost serve`` as a process of its own, on a port that the system gives."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, Self

import httpx
from servers.scripted import Mail, ScriptedServer
from workspace import LOOPBACK, Workspace

from runner.engine.history import History

_OTHERS = ("FLOWPOST_", "SOPS_", "XDG_CONFIG_HOME")

WELCOME = """
name: welcome
triggers:
  - webhook: {path: welcome, auth: none}
nodes:
  - id: mail
    smtp:
      credential: ops
      to: <<trigger.body.to>>
      subject: WORD <<trigger.body.n>>
      body_format: text
      body: Hello
    retry: {attempts: 5, delay: 200ms, max_delay: 1s}
"""


def welcome(word: str = "Event") -> str:
    return WELCOME.replace("WORD", word)


def smtp_server(**options: Any) -> ScriptedServer:
    return ScriptedServer(**{"username": "ann@example.com", "password": "correct horse", **options})


def settings(extra: str = "", database: str = "") -> str:
    """What every service of a test has: loopback is allowed, the port is free."""
    return LOOPBACK + "http: {port: 0}\n" + (f"database: {database}\n" if database else "") + extra


def prepare(workspace: Workspace, server: ScriptedServer, database: str = "", **advanced: object) -> None:
    """A flow ``welcome`` behind ``/hooks/welcome`` that mails through ``server``."""
    workspace.settings(settings(database=database))
    workspace.flow("welcome", welcome())
    workspace.smtp("ops", server, **({"advanced": advanced} if advanced else {}))


def subject(mail: Mail) -> str:
    return str(message_from_bytes(mail.data, policy=policy.default)["Subject"])


def identities(server: ScriptedServer) -> Counter[str]:
    """How often each message came."""
    return Counter(str(message_from_bytes(mail.data)["Message-ID"]) for mail in server.received)


def until(condition: Callable[[], object], seconds: float = 15.0, what: str = "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what or "it did not come about"
        time.sleep(0.02)


async def ambiguous(history: History, runs: Iterable[Mapping[str, Any]]) -> set[str]:
    """The runs of which a node says that its message may have been delivered, or not."""
    failed = [await history.show(run["id"]) for run in runs if run["status"] == "failed"]
    return {
        run["id"]
        for run in failed
        if any((node["error"] or {}).get("code") == "EUNKNOWN" for node in run["nodes"].values())
    }


class Served:
    """A running service. ``url`` is its address; ``log`` what it has written so far."""

    def __init__(
        self,
        workspace: Workspace,
        *arguments: str,
        prefix: Sequence[str] = (),
        root: Path | None = None,
        options: Sequence[str] = (),
        **environ: str,
    ) -> None:
        self._log = workspace.root.parent / f"serve-{time.monotonic_ns()}.log"
        command = [*prefix, sys.executable, "-m", "runner", *options, "serve", *arguments]
        own = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        own |= {"HOME": str(workspace.root.parent), **workspace.environ, **environ}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=root or workspace.root, env=own, stdout=log, stderr=log
            )
        self.url = ""
        self.client = httpx.Client(timeout=20)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log, of a service that writes JSON."""
        return [json.loads(line) for line in self.log.split("\n")[:-1]]

    def ready(self, seconds: float = 20.0) -> Self:
        """Wait until it takes hooks."""
        end = time.monotonic() + seconds
        while (found := re.search(r"serving .* at (http://[\w.:\[\]]+)", self.log)) is None:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)
        self.url = found[1]
        self.client.base_url = self.url
        return self

    def post(self, body: object, hook: str = "welcome", **headers: str) -> httpx.Response:
        return self.client.post(f"/hooks/{hook}", json=body, headers=headers)

    def mail(self, n: object, **headers: str) -> httpx.Response:
        """One event of the flow ``welcome``."""
        return self.post({"n": n, "to": "bob@example.net"}, **headers)

    def get(self, path: str) -> Any:
        return self.client.get(path).json()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def refuses_to_start(self, seconds: float = 20.0) -> int:
        """The exit code of a service that does not come up."""
        return self.process.wait(seconds)

    def metric(self, name: str) -> float:
        """One figure of ``/metrics``; 0 when there is none."""
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.kill()


@contextmanager
def serving(workspace: Workspace, *arguments: str, **options: Any) -> Iterator[Served]:
    """A service that takes hooks; it is ended with the block, if it has not ended by then."""
    service = Served(workspace, *arguments, **options)
    try:
        yield service.ready()
    finally:
        service.end()
