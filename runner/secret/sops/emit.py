"""A tree as the text that sops itself would write: four spaces, its quoting, its order of metadata.

The layout matters beyond taste: sops re-writes the whole file when it edits, and only a file that already looks as it
writes them keeps its other lines.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from runner.secret.sops import cipher
from runner.secret.sops.metadata import Rule
from runner.secret.sops.nodes import MAX_BYTES, MAX_DEPTH, FormatError
from runner.secret.sops.scalar import Leaf, leaf_of, resolve_plain

VERSION = "3.11.0"
"""The version of the layout that is written."""

_OLD_BOOLS = frozenset(
    ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"]
)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_BAD_FIRST = re.compile(r"[#,\[\]{}&*!|>'\"%@`]|[?:-]( |$)|---|\.\.\.| ")
_BAD_INSIDE = re.compile(r":( |$)| #| $")
_PRINTABLE = re.compile("[ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*")
_ESCAPES = {
    "\0": "\\0", "\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r",
    "\x1b": "\\e", '"': '\\"', "\\": "\\\\", "\x85": "\\N", "\u2028": "\\L", "\u2029": "\\P",
}  # fmt: skip


def text_scalar(text: str) -> str:
    """A text in clear, plain where every reader takes it for a text, else quoted."""
    if text == "":
        return '""'
    try:
        leaf = resolve_plain(text)
    except FormatError:
        leaf = None
    plain = (
        leaf is not None and leaf.kind == "str" and text not in _OLD_BOOLS and not _BASE_60.fullmatch(text)
    )
    if not plain or not _PRINTABLE.fullmatch(text):
        return _double_quoted(text)
    if _BAD_FIRST.match(text) or _BAD_INSIDE.search(text):
        return "'" + text.replace("'", "''") + "'"
    return text


def clear_scalar(leaf: Leaf | None) -> str:
    """A leaf in clear."""
    if leaf is None:
        return "null"
    if leaf.kind == "str":
        return text_scalar(leaf.text)
    if leaf.kind == "bool":
        return leaf.text.lower()
    if leaf.kind == "float":
        special = {"NaN": ".nan", "+Inf": ".inf", "-Inf": "-.inf"}
        # The reader must not take 2 for a whole number: it would be summed alike, but have another type.
        if leaf.text in special:
            return special[leaf.text]
        text = repr(float(leaf.text))
        return text if "." in text or "e" in text else f"{text}.0"
    return leaf.text


def _double_quoted(text: str) -> str:
    out = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif _PRINTABLE.fullmatch(char):
            out.append(char)
        else:
            code = ord(char)
            out.append(
                f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
            )
    return '"' + "".join(out) + '"'


def file(
    tree: dict[str, Any], key: bytes, stanzas: list[tuple[str, str]], rule: Rule, last_modified: str
) -> bytes:
    """The whole encrypted file; FormatError when the tree holds what SOPS cannot."""
    if not isinstance(tree, dict) or "sops" in tree:
        raise FormatError('the content must be a mapping without a key "sops"')
    writer = _Writer(key, rule)
    body = "".join(writer.mapping(tree, "", (), 1)) if tree else ""
    digest = hashlib.sha512("".join(writer.texts).encode("utf-8")).hexdigest().upper()
    mac = cipher.seal(Leaf("str", digest), key, last_modified)
    data = (body + section(stanzas, last_modified, mac, rule)).encode("utf-8")
    if len(data) > MAX_BYTES:
        raise FormatError(f"the file would have {len(data)} bytes, at most {MAX_BYTES} are allowed")
    return data


def section(stanzas: list[tuple[str, str]], last_modified: str, mac: str, rule: Rule) -> str:
    """The ``sops:`` section."""
    lines = ["sops:", "    age:", *stanza_lines(stanzas, " " * 8)]
    lines += [f'    lastmodified: "{last_modified}"', f"    mac: {mac}"]
    lines += [f"    {rule.kind}: {text_scalar(rule.text)}", f"    version: {VERSION}"]
    return "\n".join(lines) + "\n"


def _deeper(indent: str) -> str:
    # sops goes on at the next multiple of four, wherever a list's dashes have shifted it to.
    return " " * (4 * ((len(indent) + 4) // 4))


def stanza_lines(stanzas: list[tuple[str, str]], indent: str) -> list[str]:
    """The lines of the list of recipients, at ``indent``."""
    lines = []
    for recipient, enc in stanzas:
        lines += [f"{indent}- recipient: {text_scalar(recipient)}", f"{indent}  enc: |"]
        lines += [f"{indent}    {line}" for line in enc.strip().splitlines()]
    return lines


class _Writer:
    """Writes block YAML and gathers the plaintexts for the MAC on its way."""

    def __init__(self, key: bytes, rule: Rule) -> None:
        self.key = key
        self.rule = rule
        self.texts: list[str] = []

    def mapping(self, tree: dict[Any, Any], indent: str, path: tuple[str, ...], depth: int) -> Iterator[str]:
        self._deep(depth)
        for name, value in tree.items():
            if not isinstance(name, str):
                raise FormatError(f"a key is a {type(name).__name__}, SOPS allows texts only")
            if name == "<<":
                raise FormatError('the key "<<" is not allowed: readers take it for a merge')
            leaf_of(name)
            head = f"{indent}{text_scalar(name)}:"
            if len(head) > 1000:
                raise FormatError("a key is longer than 900 characters")
            yield from self._value(head, value, indent, (*path, name), depth)

    def _value(self, head: str, value: Any, indent: str, path: tuple[str, ...], depth: int) -> Iterator[str]:
        if isinstance(value, dict) and value:
            yield f"{head}\n"
            yield from self.mapping(value, _deeper(indent), path, depth + 1)
        elif isinstance(value, (list, tuple)) and value:
            yield f"{head}\n"
            yield from self.sequence(value, _deeper(indent), path, depth + 1)
        else:
            yield f"{head} {self._scalar(value, path)}\n"

    def sequence(self, items: Any, indent: str, path: tuple[str, ...], depth: int) -> Iterator[str]:
        self._deep(depth)
        for item in items:
            if isinstance(item, dict) and item:
                lines = "".join(self.mapping(item, indent + "  ", path, depth + 1))
            elif isinstance(item, (list, tuple)) and item:
                lines = "".join(self.sequence(item, indent + "  ", path, depth + 1))
            else:
                yield f"{indent}- {self._scalar(item, path)}\n"
                continue
            yield f"{indent}- {lines[len(indent) + 2 :]}"

    def _scalar(self, value: Any, path: tuple[str, ...]) -> str:
        if isinstance(value, dict):
            return "{}"
        if isinstance(value, (list, tuple)):
            return "[]"
        leaf = leaf_of(value)
        if leaf is None:
            return "null"
        self.texts.append(leaf.text)
        if not self.rule.encrypts(path):
            return clear_scalar(leaf)
        return cipher.seal(leaf, self.key, cipher.path_data(path)) or '""'

    def _deep(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FormatError(f"nested deeper than {MAX_DEPTH} levels")
