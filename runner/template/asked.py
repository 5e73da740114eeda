"""Which values a template asks about before it reads them: ``x.y is defined``, ``x.y | default(…)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import nodes

Path = tuple[str, ...]
"""The names on the way to a value: ``trigger``, ``body``, ``phone``."""

LENIENT = frozenset({"defined", "undefined", "default", "d"})
"""The tests and filters whose value need not be there."""


def asked_for(tree: nodes.Node) -> frozenset[Path]:
    """The paths that ``tree`` tests with ``is defined`` and its like, or reads through ``default``."""
    from jinja2 import nodes

    found = {
        path_of(node.node)
        for node in tree.find_all((nodes.Test, nodes.Filter))
        if node.name in LENIENT and node.node is not None
    }
    return frozenset(path for path in found if path)


def path_of(node: nodes.Node | None) -> Path:
    """The path that an expression is; empty when it is something else."""
    from jinja2 import nodes

    parts: list[str] = []
    while node is not None:
        if isinstance(node, nodes.Name):
            return (node.name, *reversed(parts))
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            parts.append(str(node.arg.value))
        else:
            break
        node = node.node
    return ()
