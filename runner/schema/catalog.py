"""Which schemas there are. The folders ``schemas/nodes`` and ``schemas/triggers`` are the lists of types.

``flow.schema.json`` on disk holds the node types and triggers too, for editors read one file;
``load("flow")`` puts them in anew from the folders, and a test proves that the file on disk says the same.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

_SUFFIX = ".schema.json"


@cache
def folder() -> Path:
    """``schemas/``: beside the package in a wheel, beside its folder in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


@cache
def names() -> tuple[str, ...]:
    """Every schema's name, such as ``flow``, ``nodes/smtp``, ``triggers/webhook``, sorted."""
    found = folder().rglob(f"*{_SUFFIX}")
    return tuple(sorted(str(path.relative_to(folder()).as_posix()).removesuffix(_SUFFIX) for path in found))


def node_types() -> tuple[str, ...]:
    """The types that a node may have."""
    return _inside("nodes/")


def trigger_types() -> tuple[str, ...]:
    """The types that a trigger may have."""
    return _inside("triggers/")


@cache
def load(name: str) -> Schema:
    """The schema called ``name``, not to be changed by the caller; KeyError when there is none."""
    if name not in names():
        raise KeyError(name)
    schema: Schema = json.loads((folder() / f"{name}{_SUFFIX}").read_text(encoding="utf-8"))
    if name != "flow":
        return schema
    return compose(
        schema,
        {kind: load(f"nodes/{kind}") for kind in node_types()},
        {kind: load(f"triggers/{kind}") for kind in trigger_types()},
    )


def compose(flow: Schema, nodes: dict[str, Schema], triggers: dict[str, Schema]) -> Schema:
    """``flow`` with the types put in place of those it had; composing twice is composing once."""
    composed: Schema = json.loads(json.dumps(flow))
    definitions = composed["$defs"]
    for place, types in (("node", nodes), ("trigger", triggers)):
        for name in [name for name in definitions if name.startswith(f"{place}-")]:
            del definitions[name]
        base = definitions[place]
        own = {
            name: schema
            for name, schema in base["properties"].items()
            if not schema.get("$ref", "").startswith(f"#/$defs/{place}-")
        }
        chosen = {}
        for kind, schema in types.items():
            target = f"{place}-{kind}"
            definitions[target] = _inlined(schema, f"#/$defs/{target}")
            chosen[kind] = {"description": schema["description"], "$ref": f"#/$defs/{target}"}
        first = {name: own.pop(name) for name in ("id", "when", "for_each") if name in own}
        base["properties"] = {**first, **chosen, **own}
        base["oneOf"] = [{"required": [kind]} for kind in types]
    return composed


@cache
def _inside(prefix: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(prefix) for name in names() if name.startswith(prefix))


def _inlined(schema: Schema, root: str) -> Schema:
    """``schema`` without what only a file of its own needs, its references pointing into the larger one."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: root + item[1:] if key == "$ref" and str(item).startswith("#") else moved(item)
                for key, item in value.items()
            }
        return [moved(item) for item in value] if isinstance(value, list) else value

    return {key: moved(value) for key, value in schema.items() if key not in ("$schema", "$id")}
