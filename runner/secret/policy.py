"""What a credential file must be beyond a valid SOPS file; needs no key.

sops accepts a dozen changed files that weaken a credential: a type that was rewritten, an empty key that was added, a
host in clear under ``mac_only_encrypted``. Each rule here answers one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.errors import SecretError
from runner.secret import age
from runner.secret.sops import cipher
from runner.secret.sops.document import Document, places, to_tree
from runner.secret.sops.nodes import FormatError, Mapping, Node, Scalar, Sequence
from runner.secret.sops.scalar import Leaf
from runner.secret.typed import Path, Problem

Positions = dict[Path, tuple[int, int]]


def positions(root: Mapping) -> Positions:
    """Line and column of every key, by its path."""
    found: Positions = {}
    todo: list[tuple[Node, Path]] = [(root, ())]
    while todo:
        node, path = todo.pop()
        if isinstance(node, Mapping):
            for key, value in node.pairs:
                found[(*path, key.text)] = (key.line, key.column)
                todo.append((value, (*path, key.text)))
        elif isinstance(node, Sequence):
            todo.extend((item, path) for item in node.items)
    return found


def check(document: Document) -> list[Problem]:
    """Every finding about the file's form and its metadata."""
    problems: list[Problem] = []
    meta = document.meta
    if meta.mac_only_encrypted:
        problems.append(
            Problem(
                ("sops", "mac_only_encrypted"),
                "mac_only_encrypted is not allowed for credentials: values in clear could be changed unseen",
                hint="remove it from .sops.yaml and encrypt the file anew",
            )
        )
    if document.root.flow:
        problems.append(Problem((), "the file is written in one line ({…}); SOPS files are block YAML"))
    problems.extend(_empty(document.content))
    for place in places(document.content):
        problem = _value(place.scalar, place.path, place.in_list, meta.rule.encrypts(place.path))
        if problem is not None:
            problems.append(problem)
    problems.extend(_stanzas(document))
    return problems


def _value(scalar: Scalar, path: Path, in_list: bool, encrypted: bool) -> Problem | None:
    where = ".".join(path)
    if scalar.tag is not None:
        return Problem(path, f'"{where}" has a tag, which is not allowed')
    if scalar.text in ("", "null", "~", "Null", "NULL") and (scalar.plain or not scalar.text):
        return Problem(
            path, f'"{where}" is empty', hint="leave the key away: SOPS does not protect empty values"
        )
    if not scalar.text.startswith("ENC["):
        return Problem(
            path,
            f'the value of "{where}" is not encrypted',
            hint="take it as known to everyone who can read the repository; set a new one with flowpost secrets set",
        )
    if not cipher.looks_encrypted(scalar.text):
        return Problem(path, f'the value of "{where}" is damaged')
    if not encrypted:
        return Problem(path, f'"{where}" is exempt from encryption by the rule in the sops section')
    if cipher.kind_of(scalar.text) == "comment" and not in_list:
        return Problem(path, f'the value of "{where}" is marked as a comment')
    return None


def _empty(root: Mapping) -> Iterator[Problem]:
    todo: list[tuple[Node, Path]] = [(root, ())]
    while todo:
        node, path = todo.pop()
        if isinstance(node, Scalar):
            continue
        children = [value for _, value in node.pairs] if isinstance(node, Mapping) else node.items
        if not children:
            where = f'"{".".join(path)}"' if path else "the file"
            yield Problem(
                path, f"{where} is empty", hint="leave the key away: SOPS does not protect empty values"
            )
        if isinstance(node, Mapping):
            todo.extend((value, (*path, key.text)) for key, value in node.pairs)
        else:
            todo.extend((item, path) for item in node.items)


def _stanzas(document: Document) -> Iterator[Problem]:
    seen: set[str] = set()
    for stanza in document.meta.stanzas:
        if stanza.recipient in seen:
            yield Problem(("sops", "age"), f"recipient {stanza.recipient} is there twice")
        seen.add(stanza.recipient)
        try:
            age.parse_recipient(stanza.recipient)
            age.check(stanza.enc.encode("utf-8"))
        except SecretError as error:
            yield Problem(
                ("sops", "age"), f"the entry of recipient {stanza.recipient[:120]}: {error.message}"
            )


def claimed(document: Document) -> Any:
    """The tree with the types that values claim and without their texts, for a look without a key."""
    values: dict[int, Leaf | None] = {
        place.scalar.start: Leaf(cipher.kind_of(place.scalar.text), "?") for place in places(document.content)
    }
    return leaf_tree(document.content, values)


def leaf_tree(node: Node, values: dict[int, Leaf | None]) -> Any:
    """Nested dicts and lists of leaves; comments in lists are left out."""
    return to_tree(node, values, leaf=True)


__all__ = ["FormatError", "Positions", "check", "claimed", "leaf_tree", "positions"]
