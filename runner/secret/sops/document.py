"""A SOPS file as a whole: read, verified, made, and edited without touching other lines."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Series
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from runner.errors import SecretError
from runner.secret import age
from runner.secret.sops import cipher, metadata, nodes
from runner.secret.sops.metadata import Metadata, Rule
from runner.secret.sops.nodes import FormatError, Mapping, Node, Scalar, Sequence
from runner.secret.sops.scalar import Leaf, Value, resolve

_MAC_ONLY_SEED = hashlib.sha256(b"sops").digest()
"""What SOPS feeds its MAC first under mac_only_encrypted, so that the two kinds never agree."""


class Place(NamedTuple):
    """A scalar value and the path of keys above it; ``column`` is its key's, 0 for an item of a list."""

    scalar: Scalar
    path: tuple[str, ...]
    column: int

    @property
    def in_list(self) -> bool:
        """Whether it is an item of a list."""
        return self.column == 0


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """An encrypted file, parsed but not yet decrypted."""

    text: str
    root: Mapping
    meta: Metadata

    @property
    def content(self) -> Mapping:
        """The root without its ``sops`` key."""
        plain = Mapping(self.root.start, self.root.line, self.root.column, self.root.flow, self.root.end)
        plain.pairs = [pair for pair in self.root.pairs if pair[0].text != "sops"]
        return plain


def parse(data: bytes, name: str = "NAME") -> Document:
    """Parse an encrypted file; FormatError (a SecretError) for what is not one.

    ``name`` is the credential's, for the hint in the middle of a merge.
    """
    text = nodes.read_text(data)
    stripped = text.lstrip()
    if stripped.startswith("{"):
        raise FormatError("JSON files are not supported, only YAML is", line=1, column=1)
    try:
        root = nodes.compose(text)
    except FormatError:
        if marks := re.search(r"^<{7} ", text, re.MULTILINE):
            line = text.count("\n", 0, marks.start()) + 1
            raise FormatError(
                "not YAML: git's conflict marks are in the file, two branches changed it",
                line=line,
                column=1,
                hint=f"flowpost secrets resolve {name}",
            ) from None
        raise
    return Document(text, root, metadata.read(root))


def places(node: Node, path: tuple[str, ...] = ()) -> Iterator[Place]:
    """Every scalar value under ``node`` in the order of the file."""
    todo: list[tuple[Node, tuple[str, ...], int]] = [(node, path, 1)]
    while todo:
        current, where, column = todo.pop()
        if isinstance(current, Scalar):
            yield Place(current, where, column)
        elif isinstance(current, Sequence):
            todo.extend((item, where, 0) for item in reversed(current.items))
        else:
            todo.extend((value, (*where, _key(key)), key.column) for key, value in reversed(current.pairs))


def _key(key: Scalar) -> str:
    if key.plain and key.text == "<<":
        raise FormatError(
            'key "<<" is a merge key and not a text: merge keys are not allowed',
            line=key.line,
            column=key.column,
            hint="write out the keys that it stands for",
        )
    leaf = resolve(key) if key.plain or key.tag else Leaf("str", key.text)
    if leaf is None or leaf.kind != "str":
        raise FormatError(
            f'key "{key.text}" is not a text', line=key.line, column=key.column, hint="quote it"
        )
    return leaf.text


def open_key(document: Document, identities: Series[str]) -> bytes:
    """The data key; ``age.NoMatch`` when no identity fits, SecretError when every fitting entry is damaged."""
    problem: SecretError | None = None
    for stanza in document.meta.stanzas:
        try:
            key = age.decrypt(stanza.enc.encode("utf-8"), identities)
        except age.NoMatch as error:
            problem = problem or error
        except SecretError as error:
            problem = error if problem is None or isinstance(problem, age.NoMatch) else problem
        else:
            if len(key) != cipher.KEY_BYTES:
                raise FormatError("the data key has the wrong length")
            return key
    raise problem or age.NoMatch("none of the identities is one of its recipients")


def leaves(document: Document, key: bytes) -> list[tuple[Place, Leaf | None]]:
    """Every value in order, decrypted; the MAC is verified before anything is returned."""
    meta = document.meta
    found: list[tuple[Place, Leaf | None]] = []
    for place in places(document.content):
        encrypted = meta.rule.encrypts(place.path)
        found.append((place, _open(place, key) if encrypted else resolve(place.scalar)))
    try:
        mac = cipher.unseal(meta.mac, key, meta.last_modified)
    except FormatError:
        raise _tampered(meta) from None
    if not hmac.compare_digest(mac.text.encode(), digest(found, meta).encode()):
        raise _tampered(meta)
    return found


def digest(found: Iterable[tuple[Place, Leaf | None]], meta: Metadata) -> str:
    """The MAC's plaintext: upper-case hex of SHA-512 over the plaintexts in order, comments left out."""
    hashed = hashlib.sha512(_MAC_ONLY_SEED if meta.mac_only_encrypted else b"")
    for place, leaf in found:
        if leaf is None or leaf.kind == "comment":
            continue
        if not meta.mac_only_encrypted or meta.rule.encrypts(place.path):
            hashed.update(leaf.text.encode("utf-8"))
    return hashed.hexdigest().upper()


def _open(place: Place, key: bytes) -> Leaf | None:
    scalar = place.scalar
    where = ".".join(place.path)
    if scalar.text == "" and not scalar.plain:
        return Leaf("str", "")
    if scalar.plain and resolve(scalar) is None:
        return None
    try:
        leaf = cipher.unseal(scalar.text, key, cipher.path_data(place.path))
    except FormatError as error:
        raise FormatError(
            f'the value of "{where}" cannot be trusted: {error.message}',
            line=scalar.line,
            column=scalar.column,
        ) from None
    if leaf.kind == "comment" and not place.in_list:
        raise FormatError(
            f'the value of "{where}" is marked as a comment', line=scalar.line, column=scalar.column
        )
    return leaf


def _tampered(meta: Metadata) -> FormatError:
    return FormatError(
        "the file was changed by something that has no key: its MAC does not match",
        line=meta.mac_node.line,
        column=meta.mac_node.column,
        hint="take the last good version from git; after a merge, flowpost secrets resolve",
    )


def to_tree(node: Node, values: dict[int, Leaf | None], *, leaf: bool = False) -> Any:
    """Nested dicts and lists for a node whose scalars' leaves lie in ``values`` by their start offset.

    The scalars are Python values, or with ``leaf`` the leaves themselves. Comments in lists are left out.
    """
    if isinstance(node, Scalar):
        found = values[node.start]
        return found if leaf or found is None else found.value()
    if isinstance(node, Sequence):
        return [to_tree(item, values, leaf=leaf) for item in node.items if not _is_comment(item, values)]
    return {_key(key): to_tree(value, values, leaf=leaf) for key, value in node.pairs}


def _is_comment(node: Node, values: dict[int, Leaf | None]) -> bool:
    found = values[node.start] if isinstance(node, Scalar) else None
    return found is not None and found.kind == "comment"


def decrypt(data: bytes, identities: Series[str]) -> dict[str, Any]:
    """The content of a SOPS YAML file.

    ``identities`` are texts: ``AGE-SECRET-KEY-1…`` or SSH private keys. Values are str, int, float, bool,
    ``datetime`` with a zone, None, list and dict, in the file's order; comments are left out. SecretError for
    everything that is not a file whose every value and MAC is right.
    """
    document = parse(data)
    key = open_key(document, identities)
    values = {place.scalar.start: leaf for place, leaf in leaves(document, key)}
    tree: dict[str, Any] = to_tree(document.content, values)
    return tree


def encrypt(tree: dict[str, Any], recipients: Series[str]) -> bytes:
    """A SOPS YAML file for ``tree``, laid out as sops 3.11 does it.

    ``recipients`` are ``age1…`` or SSH public keys. Keys that end in ``_unencrypted`` stay in clear, as with sops.
    SecretError for what SOPS cannot hold: keys that are not text, whole numbers over 64 bits, unknown types.
    """
    from runner.secret.sops import emit

    key = cipher.new_key()
    return emit.file(tree, key, wrap(key, recipients), Rule(), now())


def wrap(key: bytes, recipients: Series[str]) -> list[tuple[str, str]]:
    """``(recipient, armored data key)`` for each recipient, each once."""
    unique = list(dict.fromkeys(recipient.strip() for recipient in recipients))
    if not unique:
        raise FormatError("there is no recipient to encrypt for")
    return [(recipient, age.encrypt(key, [recipient]).decode("ascii")) for recipient in unique]


def now() -> str:
    """The time as ``lastmodified`` has it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = [
    "Document",
    "Place",
    "Value",
    "decrypt",
    "encrypt",
    "leaves",
    "open_key",
    "parse",
    "places",
    "to_tree",
]
