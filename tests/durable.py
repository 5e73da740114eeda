"""An engine over a workspace of a test, in this process or in one that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workspace import Workspace

from runner.app import App
from runner.engine.service import Engine
from runner.model import Event, Flow, Run

TESTS = Path(__file__).resolve().parent


def event(body: object = None, **changes: Any) -> Event:
    return Event(**{"type": "webhook", "body": body, "time": datetime.now(UTC), **changes})


def load(workspace: Workspace, name: str) -> Flow:
    return App.open(workspace.root, workspace.environ).flow(name)


@asynccontextmanager
async def engine(
    workspace: Workspace, *, context: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Engine]:
    app = App.open(workspace.root, workspace.environ)
    async with app.context() as wired, Engine(replace(wired, **(context or {})), **options) as running:
        yield running


async def finish(running: Engine, run_id: str, seconds: float = 30.0) -> Run:
    run = await running.wait(run_id, seconds)
    assert run is not None, await running.runs.show(run_id)
    return run


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


LIVING: list[subprocess.Popen[bytes]] = []


def end_all() -> None:
    """Whatever a test that failed has left."""
    while LIVING:
        process = LIVING.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


class Process:
    """A service of its own: accepts ``keys`` of ``flow``, says so line by line, and goes on until it is ended."""

    def __init__(self, workspace: Workspace, flow: str, keys: list[str], **options: object) -> None:
        plan = json.dumps({"root": str(workspace.root), "flow": flow, "keys": keys, **options})
        environ = {**os.environ, **workspace.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        self._output = Path(tempfile.mkdtemp(dir=workspace.root.parent)) / "said"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "durable", plan], env=environ, stdout=output
            )

    def listen(self) -> list[dict[str, Any]]:
        """What it has said so far: ``{"ready"}``, ``{"key", "run", "repeated"}``, ``{"ended", "status"}``."""
        lines = self._output.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def told(self, word: str) -> list[dict[str, Any]]:
        return [each for each in self.listen() if word in each]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


async def _serve(plan: dict[str, Any]) -> None:
    def say(**words: object) -> None:
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()

    root = Path(plan["root"])
    app = App.open(root, dict(os.environ))
    flow = app.flow(plan["flow"])
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    options = {name: plan[name] for name in ("concurrency", "node") if name in plan}
    async with (
        app.context() as context,
        Engine(context, ended=lambda run: say(ended=run.id, status=str(run.status)), **options) as running,
    ):
        say(ready=running.owner)

        async def accept(key: str) -> None:
            accepted = await running.accept(flow, event({"n": key, "to": f"{key}@example.net"}), key=key)
            say(key=key, run=accepted.run_id, repeated=accepted.repeated)

        for start in range(0, len(plan["keys"]), 10):
            await asyncio.gather(*map(accept, plan["keys"][start : start + 10]))
        await ended.wait()
        await running.drain(plan.get("drain", 10.0))


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
