"""Who can decrypt: rotate, add, remove. Recipients come from ``.sops.yaml``, never from a credential file.

Whoever can change a file can write his own recipient into it; a rotation that believed the file would hand him the new
data key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.errors import SecretError
from runner.secret import age, change, files, rules
from runner.secret.fields import is_secret
from runner.secret.opened import Opened
from runner.secret.sops import nodes, rekey
from runner.secret.sops.nodes import FormatError, Mapping, Scalar, Sequence
from runner.secret.sops.scalar import Leaf
from runner.secret.store import CredentialStore


@dataclass(frozen=True, slots=True)
class Change:
    """What will happen to one file; ``secrets`` are the fields whose values the removed could read."""

    name: str
    shown: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    new_key: bool
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A file that no change of recipients reaches; ``secrets`` is None when it cannot be decrypted here."""

    name: str
    shown: str
    secrets: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Changes that are ready: every file is decrypted and made anew, none is written yet."""

    changes: tuple[Change, ...]
    outputs: tuple[tuple[Path, bytes, bytes], ...]

    def apply(self) -> None:
        """Write them, ``.sops.yaml`` first; SecretError when a file changed meanwhile."""
        for path, old, _ in self.outputs:
            if files.read(path) != old:
                raise SecretError(f"{path} was changed by someone else meanwhile; nothing was written")
        for path, old, new in self.outputs:
            if new != old:
                files.write(path, new)


def rotate(store: CredentialStore, names: list[str]) -> Plan:
    """A new data key for every file, for exactly the recipients of .sops.yaml."""
    changes, outputs = [], []
    for name in names:
        working = change.load(store, name)
        wanted = rules.for_file(store.root, working.path).recipients
        _refuse_strangers(store, working, wanted, allowed=())
        new = rekey.rekey(working.opened, wanted)
        changes.append(_describe(store, name, working, wanted, new_key=True))
        outputs.append((working.path, working.data, new))
    return Plan(tuple(changes), tuple(outputs))


def add(store: CredentialStore, recipient: str, names: list[str]) -> Plan:
    """``recipient`` into .sops.yaml and into every file; the data keys stay."""
    age.parse_recipient(recipient)
    recipient = recipient.strip()
    outputs = [_rewrite(store, names, recipient, add=True)]
    changes = []
    for name in names:
        working = change.load(store, name)
        wanted = rules.for_file(store.root, working.path).recipients
        _refuse_strangers(store, working, wanted, allowed=(recipient,))
        wanted = tuple(dict.fromkeys((*wanted, recipient)))
        new = rekey.readmit(working.opened, wanted)
        changes.append(_describe(store, name, working, wanted, new_key=False))
        outputs.append((working.path, working.data, new))
    return Plan(tuple(changes), tuple(outputs))


def remove(store: CredentialStore, recipient: str, names: list[str]) -> Plan:
    """``recipient`` out of .sops.yaml and every file, under new data keys. He keeps what he has read."""
    recipient = recipient.strip()
    if age.holds_key(recipient):
        age.parse_recipient(recipient)
    outputs, changes, known = [], [], False
    for name in names:
        working = change.load(store, name)
        rule = rules.for_file(store.root, working.path).recipients
        wanted = tuple(item for item in rule if item != recipient)
        if not wanted:
            raise SecretError("the last recipient cannot be removed: nobody could decrypt the files any more")
        known = known or recipient in rule or recipient in working.document.meta.recipients
        _refuse_strangers(store, working, wanted, allowed=(recipient,))
        if recipient not in working.document.meta.recipients:
            continue
        changes.append(_describe(store, name, working, wanted, new_key=True))
        outputs.append((working.path, working.data, rekey.rekey(working.opened, wanted)))
    if not known:
        beside = ", ".join(found.shown for found in whole_files(store, look=False))
        hint = f"who can decrypt {beside} cannot be seen: encrypt anew with age" if beside else None
        raise SecretError(f"{recipient[:120]} is a recipient of nothing here", hint=hint)
    return Plan(tuple(changes), (_rewrite(store, names, recipient, add=False), *outputs))


def whole_files(store: CredentialStore, *, look: bool) -> list[Whole]:
    """The credentials that are encrypted as a whole, for recipients that the files do not tell.

    With ``look`` they are decrypted, to say which secrets someone who could read them knows.
    """
    found = []
    for name in store.names():
        try:
            path = store.path(name)
        except SecretError:
            continue  # in both forms: every command says so that reads it
        if path.suffix == ".age":
            found.append(Whole(name, store.shown(path), _inside(store, path) if look else None))
    return found


def _inside(store: CredentialStore, path: Path) -> tuple[str, ...] | None:
    try:
        tree = Opened(path, files.read(path)).decrypt(store.keys)
    except (SecretError, FileNotFoundError):
        return None
    return tuple(
        ".".join(where)
        for where, leaf in _leaves(tree, ())
        if leaf.kind != "comment" and is_secret(where[-1])
    )


def _leaves(node: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, path)
    elif isinstance(node, Leaf):
        yield path, node


def _refuse_strangers(
    store: CredentialStore, working: change.Working, wanted: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    strangers = [
        item for item in working.document.meta.recipients if item not in wanted and item not in allowed
    ]
    if strangers:
        raise SecretError(
            f"{store.shown(working.path)}: recipient {strangers[0]} is in the file but not in .sops.yaml",
            hint=f"who added it? to take it out: flowpost secrets remove-recipient {strangers[0]}",
        )


def _describe(
    store: CredentialStore, name: str, working: change.Working, wanted: tuple[str, ...], *, new_key: bool
) -> Change:
    old = working.document.meta.recipients
    return Change(
        name=name,
        shown=store.shown(working.path),
        added=tuple(item for item in wanted if item not in old),
        removed=tuple(item for item in old if item not in wanted),
        new_key=new_key,
        secrets=tuple(
            ".".join(place.path)
            for place, leaf in working.opened.found
            if isinstance(leaf, Leaf) and leaf.kind != "comment" and is_secret(place.path[-1])
        ),
    )


def _rewrite(
    store: CredentialStore, names: list[str], recipient: str, *, add: bool
) -> tuple[Path, bytes, bytes]:
    """.sops.yaml with ``recipient`` in or out of the one rule that all the files share."""
    found = {
        (rule.config, rule.line) for name in names if (rule := rules.for_file(store.root, store.path(name)))
    }
    if len(found) != 1:
        raise SecretError(
            "the files do not share one creation rule",
            hint="edit .sops.yaml, then run flowpost secrets rotate",
        )
    path, line = found.pop()
    data = files.read(path)
    text = nodes.read_text(data)
    root = nodes.compose(text, aliases=True)
    entry = _entry(root, line)
    new = _with(text, entry, recipient) if add else _without(text, entry, recipient)
    return path, data, new.encode()


def _entry(root: Mapping, line: int) -> Scalar | Sequence:
    found = root.get("creation_rules")
    for rule in found.items if isinstance(found, Sequence) else []:
        entry = rule.get("age") if isinstance(rule, Mapping) else None
        if isinstance(entry, (Scalar, Sequence)) and entry.line == line:
            return entry
    raise _by_hand()


def _with(text: str, entry: Scalar | Sequence, recipient: str) -> str:
    if isinstance(entry, Scalar):
        present = [part.strip() for part in entry.text.split(",") if part.strip()]
        return text if recipient in present else _replaced(text, entry, [*present, recipient])
    if recipient in [item.text for item in entry.items if isinstance(item, Scalar)]:
        return text
    if entry.flow or not entry.items:
        raise _by_hand()
    last = max((item.end for item in entry.items if entry.start <= item.start), default=entry.start)
    at = text.find("\n", last)
    at = len(text) if at == -1 else at
    return f"{text[:at]}\n{' ' * (entry.column - 1)}- {recipient}{text[at:]}"


def _without(text: str, entry: Scalar | Sequence, recipient: str) -> str:
    if isinstance(entry, Scalar):
        present = [part.strip() for part in entry.text.split(",") if part.strip()]
        return (
            _replaced(text, entry, [part for part in present if part != recipient])
            if recipient in present
            else text
        )
    for item in entry.items:
        if isinstance(item, Scalar) and item.text.strip() == recipient:
            if entry.flow or not entry.start <= item.start:
                raise _by_hand()
            start = text.rfind("\n", 0, item.start) + 1
            end = text.find("\n", item.end)
            return text[:start] + text[len(text) if end == -1 else end + 1 :]
    return text


def _replaced(text: str, entry: Scalar, recipients: list[str]) -> str:
    old = text[entry.start : entry.end]
    line = text.rfind("\n", 0, entry.start) + 1
    indent = len(text[line : entry.start]) - len(text[line : entry.start].lstrip(" -"))
    body = ",\n".join(f"{' ' * (indent + 2)}{recipient}" for recipient in recipients)
    tail = old[len(old.rstrip()) :] if old[:1] in (">", "|") else ""
    return f"{text[: entry.start]}>-\n{body}{tail}{text[entry.end :]}"


def _by_hand() -> FormatError:
    return FormatError(
        ".sops.yaml is written in a way that is not changed here",
        hint="change its age recipients by hand, then run flowpost secrets rotate",
    )
