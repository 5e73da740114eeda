"""Which part of one of our schemas speaks about a value: ``$ref`` followed, branches laid side by side."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def branches(schema: Schema, root: Schema) -> list[Schema]:
    """``schema`` and everything that it says through ``$ref``, ``allOf``, ``anyOf`` and ``oneOf``."""
    found = [schema]
    if (reference := schema.get("$ref")) is not None:
        target: Any = root
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        found.extend(branches(target, root))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(keyword, ()):
            found.extend(branches(branch, root))
    return found


def child(schemas: list[Schema], step: str | int, root: Schema) -> list[Schema]:
    """What ``schemas`` say about the member ``step`` of a value that they describe."""
    found: list[Schema] = []
    for schema in schemas:
        if isinstance(step, int):
            inner = schema.get("items")
        else:
            inner = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
        if isinstance(inner, dict):
            found.extend(branches(inner, root))
    return found


def allowed_keys(schemas: list[Schema]) -> list[str]:
    """The keys that a mapping which ``schemas`` describe may have, in their order, each once."""
    return list(dict.fromkeys(key for schema in schemas for key in schema.get("properties", {})))
