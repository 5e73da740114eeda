"""Comments: where they stand in the text, and which mapping or list each belongs to.

SOPS encrypts a comment with the path of what it belongs to, and turns one in a list into an item of the list. YAML
parsers drop comments, but what lies between the scalars of a valid text can hold nothing else that begins with ``#``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.secret.sops.nodes import Mapping, Node, Scalar, Sequence

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment from its ``#`` at ``start`` to the end of its line; ``alone`` when nothing else is on the line."""

    text: str
    start: int
    end: int
    column: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping or an item of a list: where it begins, and the collection it is in."""

    start: int
    column: int
    path: Path
    in_list: bool
    above: tuple[tuple[int, Path, bool], ...]


def find(text: str, root: Node) -> Iterator[Comment]:
    """Every comment of ``text``, in order."""
    spans = sorted((scalar.start, scalar.end) for scalar in _scalars(root))
    position = 0
    for start, end in [*spans, (len(text), len(text))]:
        while (at := text.find("#", position, start)) != -1:
            before = text[at - 1] if at else "\n"
            stop = text.find("\n", at)
            stop = len(text) if stop == -1 else stop
            if before not in " \t\n\r":
                position = at + 1
                continue
            line = text.rfind("\n", 0, at) + 1
            body = text[at + 1 : stop].removesuffix("\r")
            yield Comment(body, at, at + 1 + len(body), at - line + 1, text[line:at].strip() == "")
            position = stop
        position = max(position, end)


def owner(comment: Comment, entries: list[Entry]) -> tuple[Path, bool]:
    """The path that the comment belongs to, and whether that is a list."""
    before = [entry for entry in entries if entry.start < comment.start]
    after = [entry for entry in entries if entry.start > comment.start]
    if not comment.alone and before:
        return before[-1].path, before[-1].in_list
    if after and after[0].column == comment.column:
        return after[0].path, after[0].in_list
    if before:
        for column, path, in_list in reversed(before[-1].above):
            if column <= comment.column:
                return path, in_list
    return (), False


def entries(root: Node) -> list[Entry]:
    """Every entry, in the order of the text. A list's items begin at their dash."""
    found: list[Entry] = []
    todo: list[tuple[Node, Path, tuple[tuple[int, Path, bool], ...]]] = [(root, (), ())]
    while todo:
        node, path, above = todo.pop()
        if isinstance(node, Mapping):
            column = node.pairs[0][0].column if node.pairs else node.column
            here = (*above, (column, path, False))
            for key, value in node.pairs:
                found.append(Entry(key.start, key.column, path, False, here))
                todo.append((value, (*path, key.text), here))
        elif isinstance(node, Sequence):
            here = (*above, (node.column, path, True))
            for item in node.items:
                found.append(Entry(item.start, node.column, path, True, here))
                todo.append((item, path, here))
    return sorted(found, key=lambda entry: (entry.start, len(entry.above)))


def _scalars(root: Node) -> Iterator[Scalar]:
    todo: list[Node] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, Scalar):
            yield node
        elif isinstance(node, Sequence):
            todo.extend(node.items)
        else:
            for key, value in node.pairs:
                yield key
                todo.append(value)
