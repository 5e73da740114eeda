"""The figures of SPEC section 9, for Prometheus. Names of flows and credentials only, never a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily

from runner.model import Run

if TYPE_CHECKING:
    from prometheus_client.registry import Collector as Collector

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One registry a service; told of reloads, runs and messages as they happen."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._reload_ok = Gauge(
            "flowpost_config_last_reload_successful",
            "Whether the last load of flows, templates, settings and credentials had no mistakes.",
            registry=self.registry,
        )
        self._reload_time = Gauge(
            "flowpost_config_last_reload_success_timestamp_seconds",
            "When a load last had no mistakes.",
            registry=self.registry,
        )
        self._runs = Counter(
            "flowpost_runs",
            "Runs that ended, by flow and status.",
            ["flow", "status"],
            registry=self.registry,
        )
        self._open = Gauge(
            "flowpost_runs_open",
            "Runs of the whole database that have not ended, by status.",
            ["status"],
            registry=self.registry,
        )
        self._messages = Counter(
            "flowpost_messages",
            "Messages by credential and result.",
            ["credential", "result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "flowpost_message_seconds",
            "Seconds from a message's intent to its outcome.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def budgets(self, remaining: Callable[[], Mapping[str, int]]) -> None:
        """Read each credential's remaining budget from ``remaining`` whenever somebody asks."""
        self.registry.register(_Budgets(remaining))

    def reloaded(self, *, ok: bool, succeeded_at: float) -> None:
        """A load ended; ``succeeded_at`` is when one last went well (seconds since 1970)."""
        self._reload_ok.set(1 if ok else 0)
        self._reload_time.set(succeeded_at)

    def open_runs(self, counts: Mapping[str, int] | None) -> None:
        """How many runs have not ended, by status; None when that is not known."""
        if counts is None:
            self._open.clear()
            return
        for status in ("accepted", "running", "waiting"):
            self._open.labels(status).set(counts.get(status, 0))

    def ended(self, run: Run) -> None:
        """A run ended here."""
        self._runs.labels(run.flow, str(run.status)).inc()

    def message(self, credential: str, result: str, seconds: float) -> None:
        """A message was tried; the ledger's watcher."""
        self._messages.labels(credential, result).inc()
        self._seconds.observe(seconds)


class _Budgets:
    def __init__(self, remaining: Callable[[], Mapping[str, int]]) -> None:
        self._remaining = remaining

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Called by the registry."""
        family = GaugeMetricFamily(
            "flowpost_rate_budget_remaining",
            "Messages left in the tightest quota of a credential.",
            labels=["credential"],
        )
        for credential, room in sorted(self._remaining().items()):
            family.add_metric([credential], room)
        return [family]
