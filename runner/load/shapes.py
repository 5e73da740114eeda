"""Which names a node's templates can read (SPEC section 4), for findings about those that they can't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner import schema
from runner.template import ANY, Shape, shape_of_schema

_ERROR = ("code", "message", "hint", "transient", "smtp_code", "enhanced_code")


def base_names(body: Any, variables: Mapping[str, object]) -> dict[str, Shape]:
    """The names that every node of a flow reads; ``body`` is the flow's body schema, or None."""
    trigger = dict.fromkeys(("headers", "query", "type", "time"), ANY)
    trigger["body"] = ANY if body is None else shape_of_schema(body)
    return {
        "trigger": Shape.of(trigger),
        "vars": shape_of_value(variables),
        "flow": Shape.of({"name": ANY}),
        "run": Shape.of({"id": ANY}),
    }


def for_node(base: Mapping[str, Shape], earlier: Mapping[str, Shape], *, with_item: bool) -> Shape:
    """``base`` with the nodes that run before, and with ``item`` where there is one."""
    names = {**base, "nodes": Shape.of(earlier)}
    return Shape.of({**names, "item": ANY} if with_item else names)


def of_node(kind: str, params: Mapping[str, object], *, repeated: bool) -> Shape:
    """What a node leaves for later ones; its schema says by ``x-output`` which names its output has."""
    output = ANY
    if not repeated:
        names = schema.load(f"nodes/{kind}").get("x-output")
        if isinstance(names, dict):
            output = Shape.of(dict.fromkeys(names, ANY))
        elif names == "parameters":
            output = shape_of_value(params)
    return Shape.of({"status": ANY, "output": output, "error": Shape.of(dict.fromkeys(_ERROR, ANY))})


def shape_of_value(value: object) -> Shape:
    """The names inside a value that is written out."""
    if isinstance(value, Mapping):
        return Shape.of({str(name): shape_of_value(item) for name, item in value.items()})
    return ANY
