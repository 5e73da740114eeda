"""kill -9 of the whole service, at any moment: what it acknowledged is mailed, or shown as unknown; nothing twice.

FLOWPOST_SERVE_EVENTS and FLOWPOST_SERVE_KILLS make it as large as wanted (by hand: 10000 and 200); FLOWPOST_SEED
repeats one course of events as far as that can be.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from served import Served, ambiguous, identities, prepare, smtp_server, subject, until
from workspace import Workspace

from runner.engine.history import History

EVENTS = int(os.environ.get("FLOWPOST_SERVE_EVENTS", "200"))
KILLS = int(os.environ.get("FLOWPOST_SERVE_KILLS", "6"))
SEED = int(os.environ.get("FLOWPOST_SEED", "0")) or random.randrange(1, 10**6)
SENDERS = 4
AT_ONCE = 10
"""Intents that a credential of five connections may have when its process is killed."""


class Senders:
    """Callers of the webhook that ask until each event is acknowledged, with an idempotency key; a quarter has none.

    An event without a key is not asked for again once its connection broke: whether it was taken is then open.
    """

    def __init__(self) -> None:
        self.url: str | None = None
        self.acknowledged: dict[str, str] = {}
        """The run of each event that was answered with 202."""
        self.unanswered: set[str] = set()
        """Events without a key whose connection broke."""
        self.contradictions: list[str] = []
        self._left = [f"e{n}" for n in range(EVENTS)]
        random.shuffle(self._left)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def answered(self) -> int:
        return len(self.acknowledged) + len(self.unanswered)

    def _work(self) -> None:
        with httpx.Client(timeout=20) as client:
            while True:
                with self._lock:
                    if not self._left:
                        return
                    name = self._left.pop()
                while not self._ask(client, name):
                    time.sleep(0.02)

    def _ask(self, client: httpx.Client, name: str) -> bool:
        while (url := self.url) is None:
            time.sleep(0.01)
        headers = {"idempotency-key": name} if keyed(name) else {}
        try:
            answer = client.post(f"{url}/hooks/welcome", json=body(name), headers=headers)
        except httpx.ConnectError:
            return False  # Nobody was there to take it: even without a key it may be asked again.
        except httpx.TransportError:
            if not keyed(name):
                self.unanswered.add(name)
            return not keyed(name)
        if answer.status_code != 202:
            self.contradictions.append(f"{name}: {answer.status_code} {answer.text}")
            return True
        run_id = answer.json()["run_id"]
        if self.acknowledged.setdefault(name, run_id) != run_id:
            self.contradictions.append(f"{name}: {self.acknowledged[name]} and {run_id}")
        return True


def body(name: str) -> dict[str, str]:
    return {"n": name, "to": f"{name}@example.net"}


def keyed(name: str) -> bool:
    return int(name[1:]) % 4 != 0


@pytest.mark.timeout(0 if EVENTS > 1000 else 240)
async def test_webhooks_under_repeated_kill_9(workspace: Workspace) -> None:
    print(f"FLOWPOST_SEED={SEED}")
    chance = random.Random(SEED)
    script = {"DATA_END": [chance.choice(["ok", "after 0.05: 250 ok"]) for _ in range(EVENTS)]}
    with smtp_server(script=script) as server:
        prepare(workspace, server)
        senders = Senders()
        for number in range(KILLS):
            service = Served(workspace)
            try:
                if chance.random() < 0.2:  # While it starts: what recovery had begun must not be lost either.
                    time.sleep(chance.uniform(0.5, 2.0))
                else:
                    senders.url = service.ready(60).url
                    target = senders.answered + (EVENTS - senders.answered) // (KILLS - number + 1)
                    until(lambda: senders.done or senders.answered >= target, 60)  # noqa: B023
                    time.sleep(chance.uniform(0.0, 0.3))
            finally:
                senders.url = None
                service.end()
            assert service.process.returncode == -9
        service = Served(workspace)
        try:
            senders.url = service.ready(60).url
            until(lambda: senders.done, 60 + EVENTS / 10)
            runs, held = await ended(workspace, 60 + EVENTS / 10)
            again = {
                name: service.post(body(name), **{"idempotency-key": name}).json()["run_id"]
                for name in list(filter(keyed, senders.acknowledged))[:20]
            }
            code = service.stop(40)
        finally:
            service.end()

    counts = identities(server)
    mailed = [subject(mail).removeprefix("Event ") for mail in server.received]
    succeeded = {run_id for run_id, run in runs.items() if run["status"] == "succeeded"}
    unknown = {run_id for run_id, run in runs.items() if run["unknown"]}
    acknowledged = senders.acknowledged
    print(
        f"{EVENTS} events, {KILLS} kills: {len(acknowledged)} acknowledged, {len(senders.unanswered)} not answered, "
        f"{len(mailed)} mailed, {len(held)} unknown, {len(unknown)} of them flagged"
    )

    assert senders.contradictions == []
    assert len(acknowledged) + len(senders.unanswered) == EVENTS
    assert set(acknowledged.values()) <= set(runs)  # none acknowledged is lost
    others = [run for run_id, run in runs.items() if run_id not in succeeded | held]
    assert [(run["error"], run["leg"], run["id"]) for run in others] == []  # nothing else went wrong
    assert {name for name, run_id in acknowledged.items() if run_id in succeeded} <= set(mailed)
    assert [identity for identity, count in counts.items() if count > 1] == []  # none is mailed twice
    assert len(mailed) == len(set(mailed))  # nor by two runs
    assert len(held) <= AT_ONCE * KILLS
    assert again.items() <= acknowledged.items()  # a repeat is known after all that
    assert code == 0
    assert unknown == held


async def ended(workspace: Workspace, seconds: float) -> tuple[dict[str, Mapping[str, Any]], set[str]]:
    """Every run by its id, once all have ended, and those whose delivery is unknown."""
    async with History.open("sqlite:///.flowpost/state.db", workspace.root) as history:
        async with asyncio.timeout(seconds):
            while (await history.count()).keys() - {"succeeded", "failed", "cancelled"}:
                await asyncio.sleep(0.1)
        runs = {run["id"]: run for run in await history.list(limit=EVENTS * 2)}
        return runs, await ambiguous(history, runs.values())
