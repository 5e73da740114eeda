"""The nodes of a flow, with everything about them that a JSON Schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner import schema
from runner.diagnostic import Diagnostic
from runner.load.params import Compiler, Pointer
from runner.load.shapes import for_node, of_node
from runner.model import Node, OnError, Retry
from runner.source import Document
from runner.template import ANY, Shape
from runner.units import duration


def build_nodes(document: Document, compiler: Compiler, base: Mapping[str, Shape]) -> tuple[Node, ...]:
    """Every node that has the right shape; findings go to ``compiler``, and an error makes the nodes useless.

    ``base`` are the names that every template of the flow reads.
    """
    compiler.findings.extend(_duplicate_ids(document))
    earlier: dict[str, Shape] = {}
    built = []
    nodes = document.value.get("nodes")
    for number, node in enumerate(nodes if isinstance(nodes, list) else ()):
        if not isinstance(node, dict):
            continue
        name = str(node.get("id"))
        kind = _kind(node)
        if kind is None:
            # The schema says what is wrong with it; what it leaves is not known.
            earlier[name] = ANY
            continue
        pointer: Pointer = ("nodes", number)
        repeated = "for_each" in node
        outside = for_node(base, earlier, with_item=False)
        shape = for_node(base, earlier, with_item=repeated)
        compiler.findings.extend(_own_rules(document, pointer, kind, node))
        retry = node.get("retry")
        when = _expression(compiler, node.get("when"), (*pointer, "when"), outside)
        compiler.guard(when)
        built.append(
            Node(
                id=name,
                type=kind,
                params=compiler.params(kind, node[kind], (*pointer, kind), shape),
                when=when,
                for_each=_expression(compiler, node.get("for_each"), (*pointer, "for_each"), outside),
                on_error=OnError.CONTINUE if node.get("on_error") == "continue" else OnError.STOP,
                retry=_retry(retry) if isinstance(retry, dict) else None,
                timeout=_seconds(node.get("timeout")),
                position=document.at(pointer),
            )
        )
        compiler.guard(None)
        earlier[name] = of_node(kind, node[kind], repeated=repeated)
    return tuple(built)


def _kind(node: Mapping[str, Any]) -> str | None:
    """The one type that the node has, when it has one and its parameters are a mapping."""
    kinds = [kind for kind in schema.node_types() if isinstance(node.get(kind), dict)]
    return kinds[0] if len(kinds) == 1 else None


def _duplicate_ids(document: Document) -> Iterator[Diagnostic]:
    nodes = document.value.get("nodes")
    first: dict[str, int] = {}
    for number, node in enumerate(nodes if isinstance(nodes, list) else ()):
        name = node.get("id") if isinstance(node, dict) else None
        if not isinstance(name, str):
            continue
        if name in first:
            line = document.at(("nodes", first[name], "id")).line
            message = f'the id "{name}" is there twice; the first is on line {line}'
            yield document.finding(("nodes", number, "id"), message, "duplicate")
        first.setdefault(name, number)


def _own_rules(
    document: Document, pointer: Pointer, kind: str, node: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    retry = node.get("retry")
    if isinstance(retry, dict):
        delay, longest = _seconds(retry.get("delay", "30s")), _seconds(retry.get("max_delay", "1h"))
        if delay is not None and longest is not None and longest < delay:
            key = "max_delay" if "max_delay" in retry else "delay"
            message = '"max_delay" is less than "delay"'
            yield document.finding((*pointer, "retry", key), message)
    for place in (("timeout",), (kind, "timeout")):
        value: Any = node
        for step in place:
            value = value.get(step)
        if value is not None and _seconds(value) == 0:
            yield document.finding((*pointer, *place), f'"{value}" leaves no time at all')
    params = node[kind]
    if kind == "smtp" and params.get("body_format") == "html" and not params.get("body"):
        content = params.get("html_body")
        if isinstance(content, str) and not content.strip():
            yield document.finding(
                (*pointer, kind, "html_body"), '"html_body" is empty, and there is no "body"'
            )


def _expression(compiler: Compiler, value: Any, pointer: Pointer, shape: Shape) -> Any:
    if isinstance(value, bool):
        value = "true" if value else "false"
    return compiler.expression(value, pointer, shape) if isinstance(value, str) and value else None


def _retry(value: Mapping[str, Any]) -> Retry:
    attempts = value.get("attempts", 1)
    return Retry(
        # JSON Schema takes 3.0 for a whole number, and so do we.
        attempts=int(attempts) if isinstance(attempts, int | float) else 1,
        delay=_seconds(value.get("delay", "30s")) or 0.0,
        max_delay=_seconds(value.get("max_delay", "1h")) or 0.0,
    )


def _seconds(text: Any) -> float | None:
    """Seconds, or None for what is no duration; the schema says so then."""
    try:
        return duration(text) if isinstance(text, str) else None
    except ValueError:
        return None
