"""Edits by surgery on the text: what is not edited stays byte for byte.

A file is shown in clear by putting each value in the place of its ciphertext, and sealed again the other way round;
a value that did not change gets its old ciphertext back. So one changed value changes three lines: the value,
``lastmodified`` and ``mac``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from runner.secret.sops import cipher, comments, emit, nodes
from runner.secret.sops.document import Document, Place, digest, leaves, now, places, wrap
from runner.secret.sops.nodes import FormatError, Mapping, Node, Scalar
from runner.secret.sops.scalar import Leaf, resolve

_ENC_COMMENT = re.compile(r"ENC\[AES256_GCM,[^\]]*,type:comment\]")
_LITERAL = re.compile(r"(?! )[ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]+(\n[ -~\xa0-\u2027]*)+")

Path = tuple[str, ...]


@dataclass(slots=True, repr=False)
class Opened:
    """A decrypted document, ready to be edited."""

    document: Document
    key: bytes
    found: list[tuple[Place, Leaf | None]]
    old: dict[tuple[Path, Leaf], list[str]] = field(default_factory=lambda: defaultdict(list))
    paths: tuple[Path, ...] = ()

    @classmethod
    def open(cls, document: Document, key: bytes) -> Opened:
        """Decrypt and verify; FormatError as ``leaves`` raises it."""
        opened = cls(document, key, leaves(document, key))
        opened.paths = tuple(
            dict.fromkeys([(), *(entry.path for entry in comments.entries(document.content))])
        )
        for place, leaf in opened.found:
            if leaf is not None and leaf.kind != "comment" and cipher.looks_encrypted(place.scalar.text):
                opened.old[place.path, leaf].append(place.scalar.text)
        return opened

    def clear(self) -> str:
        """The text with every value and comment in clear and without the sops section, for an editor."""
        text, root = self.document.text, self.document.root
        cuts: list[tuple[int, int, str]] = []
        hollow = _hollow(self.document.content)
        for place, leaf in self.found:
            if leaf is None or not cipher.looks_encrypted(place.scalar.text):
                continue
            start, end = place.scalar.start, place.scalar.end
            if leaf.kind == "comment":
                start = text.rindex("-", 0, start)
                # A list of nothing but comments would be read as null once they are comments again.
                empty = f"[]\n{' ' * (place.scalar.column - 3)}" if place.scalar.start in hollow else ""
                cuts.append((start, end, f"{empty}#{leaf.text}"))
            else:
                cuts.append((start, end, _shown(leaf, place)))
        for comment in comments.find(text, root):
            opened = self._open_comment(comment)
            if opened is not None:
                cuts.append((comment.start, comment.end, f"#{opened[0]}"))
        cuts.append((*_section(text, root), ""))
        return _apply(text, cuts)

    def _open_comment(self, comment: comments.Comment) -> tuple[str, Path] | None:
        """Its text and path. Which path is tried out, for readers disagree about what a comment belongs to."""
        if not _ENC_COMMENT.fullmatch(comment.text):
            return None
        for path in self.paths:
            try:
                return cipher.unseal(comment.text, self.key, cipher.path_data(path)).text, path
            except FormatError:
                continue
        return None

    def seal_clear(self, text: str) -> bytes:
        """The file for an edited ``text`` as ``clear`` gave it; FormatError when it is not YAML that SOPS can hold."""
        root = nodes.compose(text) if text.strip() else None
        if root is not None and root.get("sops") is not None:
            raise FormatError('a key "sops" is not allowed: SOPS needs it')
        start, end = _section(self.document.text, self.document.root)
        if text and not text.endswith("\n"):
            text += "\n"
        return self.seal(text + self.document.text[start:end], typed_in=True)

    def seal(self, text: str, *, typed_in: bool = False) -> bytes:
        """The file for ``text``, in which values may be in clear; it has the sops section already.

        With ``typed_in`` a person wrote all of it, and what looks like a ciphertext is a text like any other.
        """
        root = nodes.compose(text)
        meta = self.document.meta
        content = Mapping(root.start, root.line, root.column, root.flow, root.end)
        content.pairs = [pair for pair in root.pairs if pair[0].text != "sops"]
        pool = {entry: list(texts) for entry, texts in self.old.items()}
        known = {raw: leaf for (_, leaf), raws in self.old.items() for raw in raws if not typed_in}
        cuts: list[tuple[int, int, str]] = []
        found: list[tuple[Place, Leaf | None]] = []
        for place in places(content):
            scalar = place.scalar
            leaf = (
                known.get(scalar.text) or (None if typed_in else self._kept_comment(place)) or resolve(scalar)
            )
            found.append((place, leaf))
            sealed = scalar.text in known or (leaf is not None and leaf.kind == "comment")
            if leaf is None or leaf.text == "" or sealed or not meta.rule.encrypts(place.path):
                continue
            old = pool.get((place.path, leaf))
            raw = old.pop(0) if old else cipher.seal(leaf, self.key, cipher.path_data(place.path))
            cuts.append((scalar.start, scalar.end, _placed(raw, scalar, text)))
        cuts += self._seal_comments(text, root)
        time = now()
        mac = cipher.seal(Leaf("str", digest(found, meta)), self.key, time)
        section = root.get("sops")
        for name, value in (("lastmodified", time), ("mac", mac)):
            node = section.get(name) if isinstance(section, Mapping) else None
            if not isinstance(node, Scalar):
                raise FormatError(f"the sops section has no {name}")
            written = f'"{value}"' if name == "lastmodified" else value
            cuts.append((node.start, node.end, written))
        return _apply(text, cuts).encode("utf-8")

    def _kept_comment(self, place: Place) -> Leaf | None:
        if place.in_list and cipher.kind_of(place.scalar.text) == "comment":
            return cipher.unseal(place.scalar.text, self.key, cipher.path_data(place.path))
        return None

    def _seal_comments(self, text: str, root: Mapping) -> list[tuple[int, int, str]]:
        entries = comments.entries(root)
        section, _ = _section(text, root)
        old = self._old_comments()
        cuts = []
        for comment in comments.find(text, root):
            if comment.start > section or not comment.text or _ENC_COMMENT.fullmatch(comment.text):
                continue
            path, in_list = comments.owner(comment, entries)
            if not self.document.meta.rule.encrypts(path):
                continue
            form = "- " if in_list and comment.alone else "#"
            raw = _take(old.get(comment.text, []), form, path)
            if raw is None:
                leaf = Leaf("comment", comment.text)
                raw = form + cipher.seal(leaf, self.key, cipher.path_data(path))
            cuts.append((comment.start, comment.end, raw))
        return cuts

    def _old_comments(self) -> dict[str, list[tuple[str, Path, str]]]:
        """By their text: form, path and what stood in the file."""
        old: dict[str, list[tuple[str, Path, str]]] = defaultdict(list)
        for place, leaf in self.found:
            if leaf is not None and leaf.kind == "comment":
                old[leaf.text].append(("- ", place.path, f"- {place.scalar.text}"))
        for comment in comments.find(self.document.text, self.document.root):
            opened = self._open_comment(comment)
            if opened is not None:
                text, path = opened
                old[text].append(("#", path, f"#{comment.text}"))
        return old


def _take(old: list[tuple[str, Path, str]], form: str, path: Path) -> str | None:
    """The old ciphertext of a comment that is still where it was, as far as that can be told; it is used once."""
    for number, (was_form, was_path, raw) in enumerate(old):
        if (was_form, was_path) == (form, path):
            del old[number]
            return raw
    for number, (was_form, was_path, raw) in enumerate(old):
        shorter, longer = sorted((was_path, path), key=len)
        # An item of a list cannot stand where no list is; a comment can stand everywhere.
        if longer[: len(shorter)] == shorter and (was_form == "#" or form == "- "):
            del old[number]
            return raw
    return None


def rekey(opened: Opened, recipients: Sequence[str]) -> bytes:
    """The file under a new data key for ``recipients``; every value gets a new ciphertext, the layout stays."""
    text, meta, new = opened.document.text, opened.document.meta, cipher.new_key()
    cuts = []
    for place, leaf in opened.found:
        if leaf is not None and cipher.looks_encrypted(place.scalar.text):
            raw = cipher.seal(leaf, new, cipher.path_data(place.path))
            cuts.append((place.scalar.start, place.scalar.end, _placed(raw, place.scalar, text)))
    for comment in comments.find(text, opened.document.root):
        was = opened._open_comment(comment)
        if was is not None:
            raw = cipher.seal(Leaf("comment", was[0]), new, cipher.path_data(was[1]))
            cuts.append((comment.start, comment.end, f"#{raw}"))
    time = now()
    mac = cipher.seal(Leaf("str", digest(opened.found, meta)), new, time)
    cuts.append((meta.time_node.start, meta.time_node.end, f'"{time}"'))
    cuts.append((meta.mac_node.start, meta.mac_node.end, mac))
    cuts.append(_stanza_cut(opened.document, wrap(new, recipients)))
    return _apply(text, cuts).encode("utf-8")


def readmit(opened: Opened, recipients: Sequence[str]) -> bytes:
    """The file under its old data key for ``recipients``: entries that are there stay, others are added or left out."""
    old = {stanza.recipient: stanza.enc for stanza in opened.document.meta.stanzas}
    stanzas = [(name, old[name]) if name in old else wrap(opened.key, [name])[0] for name in recipients]
    return _apply(opened.document.text, [_stanza_cut(opened.document, stanzas)]).encode("utf-8")


def _stanza_cut(document: Document, stanzas: list[tuple[str, str]]) -> tuple[int, int, str]:
    node = document.meta.node.get("age")
    if not isinstance(node, nodes.Sequence) or node.flow:
        raise FormatError("the age section is not a list of lines")
    lines = emit.stanza_lines(stanzas, " " * (node.column - 1))
    start = document.text.rfind("\n", 0, node.start) + 1
    return start, _line_end(document.text, _last(node, None)), "\n".join(lines) + "\n"


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
    shown = _placed(_quoted(leaf), parent, document.text)
    return _apply(document.text, [(parent.start, parent.end, shown)])


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
    return text[:start] + text[_line_end(text, _last(parent.get(path[-1]), key)) :]


def _with_line(document: Document, parent: Mapping, above: Path, rest: Path, leaf: Leaf) -> str:
    if parent.flow:
        raise FormatError("a section in one line ({…}) cannot be extended", hint="use flowpost secrets edit")
    pairs = [pair for pair in parent.pairs if above or pair[0].text != "sops"]
    text = document.text
    column = pairs[0][0].column if pairs else 1
    if pairs:
        key, value = pairs[-1]
        at = _line_end(text, _last(value, key))
    else:
        at = 0
    lines = ""
    for name in rest[:-1]:
        lines += f"{' ' * (column - 1)}{emit.text_scalar(name)}:\n"
        column += 4
    lines += f"{' ' * (column - 1)}{emit.text_scalar(rest[-1])}: {_quoted(leaf)}\n"
    if at and text[at - 1] != "\n":
        lines = "\n" + lines
    return text[:at] + lines + text[at:]


def _last(value: Node | None, key: Scalar | None) -> int:
    """The end of the last scalar under ``value``: collections end where the next token begins, which is too late."""
    while value is not None and not isinstance(value, Scalar):
        if value.flow:
            return value.end
        children: list[Node] = (
            [item for _, item in value.pairs] if isinstance(value, Mapping) else value.items
        )
        value = children[-1] if children else None
    return max(key.end if key else 0, value.end if value is not None else 0)


def _line_end(text: str, at: int) -> int:
    if at and text[at - 1] == "\n":
        return at
    end = text.find("\n", at)
    return len(text) if end == -1 else end + 1


def _hollow(root: Node) -> set[int]:
    """Where the first items of lists begin that hold only comments."""
    found: set[int] = set()
    todo: list[Node] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, nodes.Sequence):
            todo.extend(node.items)
            kinds = {cipher.kind_of(item.text) if isinstance(item, Scalar) else "" for item in node.items}
            if kinds == {"comment"}:
                found.add(node.items[0].start)
        elif isinstance(node, Mapping):
            todo.extend(value for _, value in node.pairs)
    return found


def _section(text: str, root: Mapping) -> tuple[int, int]:
    for number, (key, value) in enumerate(root.pairs):
        if key.text == "sops":
            later = [other.start for other, _ in root.pairs[number + 1 :]]
            return key.start, min(later) if later else _line_end(text, _last(value, key))
    return len(text), len(text)


def _apply(text: str, cuts: list[tuple[int, int, str]]) -> str:
    out, position = [], 0
    for start, end, replacement in sorted(cuts):
        out += [text[position:start], replacement]
        position = end
    return "".join([*out, text[position:]])


def _placed(raw: str, scalar: Scalar, text: str) -> str:
    """``raw`` as it must stand in the place of ``scalar``: quoted in a flow collection, its line breaks kept."""
    old = text[scalar.start : scalar.end]
    tail = old[len(old.rstrip("\n")) :] if old[:1] in ("|", ">") else ""
    before = text[scalar.start - 1] if scalar.start else ""
    shown = f'"{raw}"' if scalar.flow and raw.startswith("ENC[") else raw
    return (" " if before == ":" else "") + shown + tail


def _quoted(leaf: Leaf) -> str:
    return emit.clear_scalar(leaf)


def _shown(leaf: Leaf, place: Place) -> str:
    if leaf.kind == "str" and place.column and not place.scalar.flow and _LITERAL.fullmatch(leaf.text):
        body = leaf.text.removesuffix("\n")
        if not body.endswith("\n"):
            indent = " " * (place.column + 3)
            lines = "\n".join(f"{indent}{line}" if line else "" for line in body.split("\n"))
            return ("|\n" if leaf.text.endswith("\n") else "|-\n") + lines
    return emit.clear_scalar(leaf)
