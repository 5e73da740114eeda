"""One key given a value, added or taken away, in the text of the file."""

from __future__ import annotations

from runner.secret.sops import emit
from runner.secret.sops.document import Document
from runner.secret.sops.nodes import FormatError, Mapping, Node, Scalar
from runner.secret.sops.scalar import Leaf
from runner.secret.sops.spans import apply, last_scalar, line_end, placed

Path = tuple[str, ...]


def with_value(document: Document, path: Path, leaf: Leaf) -> str:
    """The text of the file with ``leaf`` in clear at ``path``, to be sealed; the key is added where it is missing."""
    parent: Node = document.root
    for depth, name in enumerate(path):
        if not isinstance(parent, Mapping):
            raise FormatError(f'"{".".join(path[:depth])}" is not a section')
        child = parent.get(name)
        if child is None:
            return _with_line(document, parent, path[:depth], path[depth:], leaf)
        parent = child
    if not isinstance(parent, Scalar):
        raise FormatError(
            f'"{".".join(path)}" is a section or a list, not one value', hint="use flowpost secrets edit"
        )
    shown = placed(emit.clear_scalar(leaf), parent, document.text)
    return apply(document.text, [(parent.start, parent.end, shown)])


def without_key(document: Document, path: Path) -> str:
    """The text of the file without the lines of the key at ``path``, to be sealed."""
    parent: Node | None = document.root
    for name in path[:-1]:
        parent = parent.get(name) if isinstance(parent, Mapping) else None
    if not isinstance(parent, Mapping) or parent.flow or parent.get(path[-1]) is None:
        raise FormatError(f'"{".".join(path)}" is not there')
    if len([pair for pair in parent.pairs if pair[0].text != "sops"]) == 1 and len(path) > 1:
        return without_key(document, path[:-1])
    key = next(key for key, _ in parent.pairs if key.text == path[-1])
    text = document.text
    start = text.rfind("\n", 0, key.start) + 1
    if text[start : key.start].strip():
        raise FormatError(
            f'"{".".join(path)}" shares its line with something else', hint="use flowpost secrets edit"
        )
    return text[:start] + text[line_end(text, last_scalar(parent.get(path[-1]), key)) :]


def _with_line(document: Document, parent: Mapping, above: Path, rest: Path, leaf: Leaf) -> str:
    if parent.flow:
        raise FormatError("a section in one line ({…}) cannot be extended", hint="use flowpost secrets edit")
    pairs = [pair for pair in parent.pairs if above or pair[0].text != "sops"]
    text = document.text
    column = pairs[0][0].column if pairs else 1
    if pairs:
        key, value = pairs[-1]
        at = line_end(text, last_scalar(value, key))
    else:
        at = 0
    lines = ""
    for name in rest[:-1]:
        lines += f"{' ' * (column - 1)}{emit.text_scalar(name)}:\n"
        column += 4
    lines += f"{' ' * (column - 1)}{emit.text_scalar(rest[-1])}: {emit.clear_scalar(leaf)}\n"
    if at and text[at - 1] != "\n":
        lines = "\n" + lines
    return text[:at] + lines + text[at:]
