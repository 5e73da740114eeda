"""YAML text as nodes with positions, composed under bounds from the parser's events.

The event stream is iterative, so that neither 30 KB of ``[`` nor an alias bomb costs more than the text itself; the
limits end it early. Scalars are not resolved here: SOPS resolves by other rules than flows do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runner.errors import SecretError

MAX_BYTES = 1 << 20
"""Bytes of a file; a credential needs a few thousand."""
MAX_DEPTH = 64
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
MAX_NODES = 20_000


class FormatError(SecretError):
    """Something in the text is not as it must be; ``line`` and ``column`` count from 1, 0 when there is no place."""

    line = 0
    column = 0

    def __init__(self, message: str, *, line: int = 0, column: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column


@dataclass(slots=True)
class Scalar:
    """A scalar as written; ``start`` and ``end`` are character offsets of its text, ``line`` counts from 1."""

    text: str
    plain: bool
    tag: str | None
    start: int
    end: int
    line: int
    column: int
    flow: bool = False


@dataclass(slots=True)
class Mapping:
    """A mapping; keys are scalars, each once."""

    start: int
    line: int
    column: int
    flow: bool
    end: int = 0
    pairs: list[tuple[Scalar, Node]] = field(default_factory=list)

    def get(self, key: str) -> Node | None:
        """The value under ``key``, or None."""
        return next((value for name, value in self.pairs if name.text == key), None)


@dataclass(slots=True)
class Sequence:
    """A sequence."""

    start: int
    line: int
    column: int
    flow: bool
    end: int = 0
    items: list[Node] = field(default_factory=list)


Node = Scalar | Mapping | Sequence


def read_text(data: bytes) -> str:
    """``data`` as text; FormatError when it is too large or not UTF-8 (a byte order mark is refused, too)."""
    if len(data) > MAX_BYTES:
        raise FormatError(f"the file has {len(data)} bytes, at most {MAX_BYTES} are read")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError("the file is not UTF-8 text", line=line, column=1) from None
    if text.startswith("\ufeff"):
        raise FormatError(
            "the file begins with a byte order mark", line=1, column=1, hint="save it as plain UTF-8"
        )
    return text


def compose(text: str, *, aliases: bool = False) -> Mapping:
    """The one mapping that ``text`` is; FormatError for anything else, for tags and doubles, and for aliases.

    With ``aliases`` a value may be there more than once as the same node: walk it no deeper than is known.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Composer(yaml, aliases).compose(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        if "maximum nesting depth" in (error.problem or ""):
            # Newer versions of libyaml stop at a thousand levels, ahead of the events that are counted here.
            raise FormatError(_TOO_DEEP, line=line, column=column) from None
        raise FormatError(f"not YAML: {error.problem}", line=line, column=column) from None
    except yaml.YAMLError:
        raise FormatError("not YAML: the file holds a character that YAML does not allow") from None


class _Composer:
    """Builds nodes from events without recursion."""

    def __init__(self, yaml: Any, aliases: bool) -> None:
        self.yaml = yaml
        self.aliases = aliases
        self.anchors: dict[str, Node] = {}
        self.count = 0
        self.root: Node | None = None
        self.open: list[Mapping | Sequence] = []
        self.keys: list[Scalar | None] = []
        self.seen: list[set[str]] = []

    def compose(self, events: Iterator[Any]) -> Mapping:
        yaml, documents = self.yaml, 0
        for event in events:
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise FormatError(
                        "a second document begins here, one is allowed", line=line, column=column
                    )
            elif isinstance(event, yaml.AliasEvent):
                if self.aliases and event.anchor in self.anchors:
                    self._add(self.anchors[event.anchor])
                    continue
                raise FormatError(f'alias "*{event.anchor}" is not allowed', line=line, column=column)
            elif isinstance(event, (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._begin(event, line, column)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                node = self.open.pop()
                self.keys.pop()
                self.seen.pop()
                node.end = event.end_mark.index
        if self.root is None:
            raise FormatError("the file is empty", line=1, column=1)
        if not isinstance(self.root, Mapping):
            raise FormatError("the file is not a mapping of keys to values", line=1, column=1)
        return self.root

    def _begin(self, event: Any, line: int, column: int) -> None:
        yaml = self.yaml
        self.count += 1
        if self.count > MAX_NODES:
            raise FormatError(f"more than {MAX_NODES} values", line=line, column=column)
        if event.anchor and not self.aliases:
            raise FormatError(f'anchor "&{event.anchor}" is not allowed', line=line, column=column)
        start, end = event.start_mark.index, event.end_mark.index
        flow_parent = bool(self.open) and self.open[-1].flow
        if isinstance(event, yaml.ScalarEvent):
            scalar = Scalar(
                event.value, bool(event.implicit[0]), event.tag, start, end, line, column, flow_parent
            )
            self._add(scalar, event.anchor)
            return
        if len(self.open) >= MAX_DEPTH:
            raise FormatError(_TOO_DEEP, line=line, column=column)
        if event.tag is not None:
            raise FormatError(f'tag "{event.tag}" is not allowed', line=line, column=column)
        kind = Mapping if isinstance(event, yaml.MappingStartEvent) else Sequence
        node = kind(start, line, column, bool(event.flow_style))
        self._add(node, event.anchor)
        self.open.append(node)
        self.keys.append(None)
        self.seen.append(set())

    def _add(self, node: Node, anchor: str | None = None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif self.keys[-1] is not None:
            parent.pairs.append((self.keys[-1], node))
            self.keys[-1] = None
        elif not isinstance(node, Scalar):
            raise FormatError(
                "a key must be a text, not a list or mapping", line=node.line, column=node.column
            )
        else:
            if node.text in self.seen[-1]:
                raise FormatError(f'key "{node.text}" is there twice', line=node.line, column=node.column)
            self.seen[-1].add(node.text)
            self.keys[-1] = node
