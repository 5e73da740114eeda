"""The endpoints on a real socket, with an acceptor that keeps events in memory as the engine does on disk."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Counter

from runner.credential import Credential, Secret, WebhookCredential
from runner.diagnostic import Diagnostic
from runner.errors import Conflict, FlowpostError, SecretError, Unavailable
from runner.model import Accepted, Event, Flow, NodeResult, Run, Settings, Status, Trigger
from runner.web.app import build_app
from runner.web.server import make_server, server_config

TOKEN = "correct-horse-battery"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PERSON: dict[str, object] = {
    "type": "object",
    "required": ["email"],
    "properties": {"email": {"type": "string", "format": "email"}, "age": {"type": "integer"}},
    "additionalProperties": False,
}


def flow_of(
    path: str, auth: str = "none", body: Mapping[str, object] | None = None, **params: object
) -> Flow:
    name = path.replace("/", "-")
    trigger = Trigger("webhook", {"path": path, "auth": auth, **params})
    digest = hashlib.sha256(repr((path, auth, body)).encode()).hexdigest()
    return Flow(name=name, path=f"flows/{name}.yaml", digest=digest, nodes=(), triggers=(trigger,), body=body)


@dataclass
class Service:
    """Everything the application asks, and what it was given."""

    flow_list: Sequence[Flow] = field(
        default_factory=lambda: [
            flow_of("open"),
            flow_of("crm/person", body=PERSON),
            flow_of("token", "by-token"),
            flow_of("signed", "by-signature"),
            flow_of("lost", "gone"),
        ]
    )
    secrets: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {"by-token": ("token", TOKEN), "by-signature": ("signature", SIGNING)}
    )
    now: float = 1_700_000_000.0
    events: list[tuple[Flow, Event, str | None]] = field(default_factory=list)
    down: FlowpostError | None = None
    run: Run | None = None
    run_after: float = 0.0
    draining: bool = False
    fault_list: list[str] = field(default_factory=list)
    findings: tuple[Diagnostic, ...] = ()
    stale: frozenset[str] = frozenset()
    reloads: int = 0
    url: str = ""
    port: int = 0
    _runs: dict[str, tuple[str, object]] = field(default_factory=dict)
    _flows: dict[str, Flow] | None = None

    def flows(self) -> Mapping[str, Flow]:
        if self._flows is None:
            self._flows = {flow.name: flow for flow in self.flow_list}
        return self._flows

    def replace_flows(self, *flows: Flow) -> None:
        self._flows = {flow.name: flow for flow in flows}

    async def accept(self, flow: Flow, event: Event, key: str | None) -> Accepted:
        if self.down is not None:
            raise self.down
        if key is not None and key in self._runs:
            run_id, body = self._runs[key]
            if body != event.body:
                raise Conflict("another payload")
            return Accepted(run_id, True)
        await asyncio.sleep(0)
        self.events.append((flow, event, key))
        run_id = f"run-{len(self.events)}"
        if key is not None:
            self._runs[key] = (run_id, event.body)
        return Accepted(run_id, False)

    async def wait(self, run_id: str, seconds: float) -> Run | None:
        if self.run is None:
            await asyncio.sleep(seconds)
            return None
        await asyncio.sleep(self.run_after)
        return self.run

    async def fetch(self, name: str, type: str | None = None) -> Credential:  # noqa: A002
        if name not in self.secrets:
            raise SecretError(f'there is no credential "{name}"')
        kind, secret = self.secrets[name]
        return WebhookCredential(workspace="acme", name=name, kind=kind, secret=Secret(secret))

    async def faults(self) -> Sequence[str]:
        return self.fault_list

    async def reload(self) -> None:
        self.reloads += 1
        await asyncio.sleep(0.05)

    @property
    def body(self) -> Any:
        """The body of the only event."""
        ((_, event, _),) = self.events
        return event.body


def ended_run() -> Run:
    result = NodeResult(status=Status.SUCCEEDED, attempts=1, output={"raw": b"\0\1", "n": 1})
    return Run(id="run-1", flow="open", status=Status.SUCCEEDED, nodes={"one": result})


@contextlib.asynccontextmanager
async def serving(
    service: Service, *, max_body: int = 1024 * 1024, rate: Any = None, **bounds: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service at a free port; the service stops at the end."""
    registry = CollectorRegistry()
    Counter("flowpost_runs", "runs", registry=registry).inc()
    settings = Settings(http_port=0, http_max_body=max_body)
    app = build_app(
        catalog=service,
        accept=service.accept,
        wait=service.wait,
        credentials=service,
        settings=settings,
        state=service,
        registry=registry,
        clock=lambda: service.now,
        rate=lambda: rate,
    )
    server = make_server(server_config(app, settings, drain_seconds=5, **bounds))
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
        service.port = server.servers[0].sockets[0].getsockname()[1]
        service.url = f"http://127.0.0.1:{service.port}"
        async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        await task


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = json.loads(response.content)
    assert document["status"] == status
    return dict(document)


__all__ = [
    "PERSON",
    "SIGNING",
    "TOKEN",
    "Service",
    "Unavailable",
    "ended_run",
    "flow_of",
    "problem",
    "serving",
]
