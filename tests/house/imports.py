"""Reads what the modules of a package import, from their text alone: nothing is imported to find out."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path


def modules(package: Path) -> dict[str, Path]:
    """Every module below a package's folder, by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package.parent).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def imported(path: Path, name: str, known: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    """What a module imports, wherever in it, as (dotted name, line): a module of ``known``, or a foreign one.

    ``from a import b`` is ``a.b`` when that is a module, else ``a``. The type checker's own are left out.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                base = ".".join([*above[: len(above) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield (inner if inner in known else base), node.lineno


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Cycles until none is left, each with its first member repeated at the end: the last step of each is cut."""
    left = {name: set(targets) for name, targets in graph.items()}
    found = []
    while members := _cycle(left):
        found.append(members)
        left[members[-2]].discard(members[-1])
    return found


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """One cycle; empty when there is none."""
    done: set[str] = set()
    for start in sorted(graph):
        path: list[str] = []
        waiting: list[Iterator[str]] = [iter([start])]
        while waiting:
            here = next(waiting[-1], None)
            if here is None:
                waiting.pop()
                if path:
                    done.add(path.pop())
            elif here in path:
                return [*path[path.index(here) :], here]
            elif here not in done:
                path.append(here)
                waiting.append(iter(sorted(graph.get(here, ()))))
    return []


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but what stands under ``if TYPE_CHECKING``."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))
