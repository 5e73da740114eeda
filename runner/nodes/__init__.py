"""Node types: one module each, with a schema of the same name in ``schemas/nodes``."""

from __future__ import annotations

import importlib
from functools import cache

from runner.nodes.base import NodeType


@cache
def node_type(name: str) -> type[NodeType]:
    """The class of the node type ``name``; the schema has already said that there is one."""
    module = importlib.import_module(f"runner.nodes.{name}")
    kind: type[NodeType] = module.NODE
    return kind
