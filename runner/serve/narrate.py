"""What the runs of a service do, told to the log and counted."""

from __future__ import annotations

import logging

from runner.errors import FlowpostError
from runner.model import Node, NodeResult, Run, Status
from runner.serve.metrics import Metrics

log = logging.getLogger("flowpost.run")


class Narrator:
    """The engine's listener: a line for each node that failed or waits, and for each run that ended."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def node_ended(self, node: Node, result: NodeResult) -> None:
        """A failure is worth a line of its own; the rest is in the history."""
        if result.status is Status.FAILED and result.error is not None:
            log.warning("node failed: %s [%s]", result.error["message"], result.error["code"])

    def waiting(self, node: Node, error: FlowpostError, attempt: int, attempts: int, seconds: float) -> None:
        """An attempt failed for now."""
        log.warning(
            "node waits: %s [%s]; attempt %d of %d in %.0f s",
            error.message,
            error.code,
            attempt + 1,
            attempts,
            seconds,
        )

    def run_ended(self, run: Run) -> None:
        """Count it, and say how it ended."""
        self._metrics.ended(run)
        level = logging.INFO if run.status is Status.SUCCEEDED else logging.WARNING
        log.log(level, "run %s", run.status, extra={"run": run.id, "flow": run.flow})
