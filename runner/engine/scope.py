"""The names that templates see (SPEC section 4). Secrets are not among them."""

from __future__ import annotations

from collections.abc import Mapping

from runner.model import Event, Flow, NodeResult


def base_scope(flow: Flow, event: Event, run_id: str, variables: Mapping[str, object]) -> dict[str, object]:
    """``trigger``, ``vars``, ``flow`` and ``run``; ``nodes`` fills up as nodes end."""
    return {
        "trigger": {
            "type": event.type,
            "time": event.time,
            "body": event.body,
            "headers": dict(event.headers),
            "query": dict(event.query),
        },
        "vars": variables,
        "flow": {"name": flow.name},
        "run": {"id": run_id},
        "nodes": {},
    }


def with_body(scope: Mapping[str, object], body: object, run_id: str) -> dict[str, object]:
    """The scope of another event of the same kind and moment, before any node."""
    trigger = scope["trigger"]
    assert isinstance(trigger, dict)
    return {**scope, "trigger": {**trigger, "body": body}, "run": {"id": run_id}}


def with_node(scope: Mapping[str, object], node_id: str, result: NodeResult) -> dict[str, object]:
    """The scope after a node ended."""
    nodes = scope["nodes"]
    assert isinstance(nodes, Mapping)
    entry = {"status": str(result.status), "output": result.output, "error": result.error}
    return {**scope, "nodes": {**nodes, node_id: entry}}
