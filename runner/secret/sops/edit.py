"""Edits by surgery on the text: what is not edited stays byte for byte.

A file is shown in clear by putting each value in the place of its ciphertext, and sealed again the other way round;
a value that did not change gets its old ciphertext back. So one changed value changes three lines: the value,
``lastmodified`` and ``mac``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

from runner.secret.sops import cipher, comments, emit, nodes
from runner.secret.sops.document import Document, Place, digest, leaves, now, places
from runner.secret.sops.nodes import FormatError, Mapping, Node, Scalar
from runner.secret.sops.scalar import Leaf, resolve
from runner.secret.sops.spans import apply, placed, section

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
            opened = self.open_comment(comment)
            if opened is not None:
                cuts.append((comment.start, comment.end, f"#{opened[0]}"))
        cuts.append((*section(text, root), ""))
        return apply(text, cuts)

    def open_comment(self, comment: comments.Comment) -> tuple[str, Path] | None:
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
        start, end = section(self.document.text, self.document.root)
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
            cuts.append((scalar.start, scalar.end, placed(raw, scalar, text)))
        cuts += self._seal_comments(text, root)
        time = now()
        mac = cipher.seal(Leaf("str", digest(found, meta)), self.key, time)
        metadata = root.get("sops")
        for name, value in (("lastmodified", time), ("mac", mac)):
            node = metadata.get(name) if isinstance(metadata, Mapping) else None
            if not isinstance(node, Scalar):
                raise FormatError(f"the sops section has no {name}")
            written = f'"{value}"' if name == "lastmodified" else value
            cuts.append((node.start, node.end, written))
        return apply(text, cuts).encode("utf-8")

    def _kept_comment(self, place: Place) -> Leaf | None:
        if place.in_list and cipher.kind_of(place.scalar.text) == "comment":
            return cipher.unseal(place.scalar.text, self.key, cipher.path_data(place.path))
        return None

    def _seal_comments(self, text: str, root: Mapping) -> list[tuple[int, int, str]]:
        entries = comments.entries(root)
        end, _ = section(text, root)
        old = self._old_comments()
        cuts = []
        for comment in comments.find(text, root):
            if comment.start > end or not comment.text or _ENC_COMMENT.fullmatch(comment.text):
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
            opened = self.open_comment(comment)
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


def _shown(leaf: Leaf, place: Place) -> str:
    if leaf.kind == "str" and place.column and not place.scalar.flow and _LITERAL.fullmatch(leaf.text):
        body = leaf.text.removesuffix("\n")
        if not body.endswith("\n"):
            indent = " " * (place.column + 3)
            lines = "\n".join(f"{indent}{line}" if line else "" for line in body.split("\n"))
            return ("|\n" if leaf.text.endswith("\n") else "|-\n") + lines
    return emit.clear_scalar(leaf)
