"""Changes to credential files: made in memory, checked as a reader would, and only then written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import FlowpostError, PortError, SecretError
from runner.secret import build, files, policy, rules, typed
from runner.secret.fields import SHAPES, Field
from runner.secret.sops import document, edit, encrypt, keys
from runner.secret.sops.document import Document
from runner.secret.sops.scalar import Leaf, leaf_of
from runner.secret.store import CredentialStore
from runner.secret.typed import Problem


@dataclass(frozen=True, slots=True, repr=False)
class Working:
    """A decrypted SOPS file that is about to change."""

    path: Path
    data: bytes
    opened: edit.Opened

    @property
    def document(self) -> Document:
        """The parsed file."""
        return self.opened.document

    @property
    def tree(self) -> Any:
        """Nested dicts and lists of leaves."""
        values = {place.scalar.start: leaf for place, leaf in self.opened.found}
        return policy.leaf_tree(self.document.content, values)


def load(store: CredentialStore, name: str) -> Working:
    """Decrypt ``name`` for a change; SecretError as ``get`` raises it, or for a whole-file .age."""
    path = store.path(name)
    if path.suffix == ".age":
        raise SecretError(
            f"{store.shown(path)} is encrypted as a whole",
            hint="change it with age, or make a SOPS file of it: age -d FILE | flowpost secrets new NAME --stdin",
        )
    data = files.read(path)
    return Working(path, data, open_bytes(store, path, data))


def open_bytes(store: CredentialStore, path: Path, data: bytes) -> edit.Opened:
    """Decrypt a version of a file; SecretError that names the file, its recipients and the places searched."""
    shown = store.shown(path)
    try:
        parsed = document.parse(data, path.stem)
    except SecretError as error:
        raise SecretError(f"{shown}: {error.message}", hint=error.hint) from None
    found = store.keys()
    try:
        return edit.Opened.open(parsed, document.open_key(parsed, found.texts))
    except SecretError as error:
        message = error.message if found.texts else "there is no age identity to decrypt it with"
        who = ", ".join(parsed.meta.recipients)
        raise SecretError(
            f"{shown}: {message}; it is encrypted for {who}; searched: {found.places}", hint=error.hint
        ) from None


def create(store: CredentialStore, name: str, tree: dict[str, Any]) -> Path:
    """Write a new credential for the recipients of .sops.yaml; SecretError when it exists or breaks a rule."""
    path = store.folder / f"{name}.yaml"
    refuse_taken(store, name)
    recipients = rules.for_file(store.root, path).recipients
    data = encrypt(tree, recipients)
    leaves = _leaves(tree)
    refuse(check(leaves, name, store.workspace), store.shown(path))
    with files.translated(path):
        store.folder.mkdir(parents=True, exist_ok=True)
    files.write(path, data, exclusive=True)
    return path


def refuse_taken(store: CredentialStore, name: str) -> None:
    """SecretError when there is a credential of that name already."""
    if name in store.names():
        raise SecretError(
            f"{store.shown(store.path(name))} is already there", hint="flowpost secrets edit changes it"
        )


def check(tree: Any, name: str, workspace: str) -> list[Problem]:
    """Every finding about a tree of leaves."""
    values, problems = typed.check(tree, name)
    if not problems:
        problems = build.build(values, workspace, tree)[1]
    return problems


def refuse(problems: list[Problem], shown: str) -> None:
    """SecretError with every error among ``problems``, PortError for port 25; nothing has been written then."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if any(problem.code == "EPORT" for problem in errors):
        raise PortError("Port 25 is not allowed")
    if errors:
        lines = "\n".join(
            f"  {problem.message}" + (f" ({problem.hint})" if problem.hint else "") for problem in errors
        )
        raise SecretError(f"{shown} was not written:\n{lines}")


def set_value(store: CredentialStore, name: str, field: str, text: str) -> Path:
    """Give one field a new value; only its line, lastmodified and mac change."""
    working = load(store, name)
    path = tuple(field.split("."))
    leaf = _typed(store, working, path, text)
    return save(store, name, working, working.opened.seal(keys.with_value(working.document, path, leaf)))


def unset_value(store: CredentialStore, name: str, field: str) -> Path:
    """Take one field away; a section that has no other goes with it."""
    working = load(store, name)
    text = keys.without_key(working.document, tuple(field.split(".")))
    return save(store, name, working, working.opened.seal(text))


def edit_text(
    store: CredentialStore,
    name: str,
    editor: Callable[[str], str],
    again: Callable[[FlowpostError], bool] = lambda error: False,
) -> Path | None:
    """Let ``editor`` change the text in clear; None when it changed nothing.

    When the result is refused, ``again`` says whether the editor shall have it once more, as it was left: a slip must
    not cost the whole edit.
    """
    working = load(store, name)
    clear = text = working.opened.clear()
    while True:
        text = editor(text)
        if text == clear:
            return None
        try:
            return save(store, name, working, working.opened.seal_clear(text))
        except (SecretError, PortError) as error:
            if not again(error):
                raise


def save(store: CredentialStore, name: str, working: Working, data: bytes) -> Path:
    """Read ``data`` back as everyone will, check it, and put it in the place of the old file.

    SecretError when it does not hold, or when somebody else changed the file meanwhile; the old one stays.
    """
    shown = store.shown(working.path)
    parsed = document.parse(data)
    problems = policy.check(parsed)
    if not problems:
        opened = edit.Opened.open(parsed, working.opened.key)
        values = {place.scalar.start: leaf for place, leaf in opened.found}
        problems = check(policy.leaf_tree(parsed.content, values), name, store.workspace)
    refuse(problems, shown)
    if files.read(working.path) != working.data:
        raise SecretError(
            f"{shown} was changed by someone else meanwhile; nothing was written", hint="try again"
        )
    files.write(working.path, data)
    return working.path


def _typed(store: CredentialStore, working: Working, path: tuple[str, ...], text: str) -> Leaf:
    """The leaf of a text that a person typed, by the field's kind."""
    tree = working.tree
    kind = tree["type"].text if isinstance(tree.get("type"), Leaf) else "smtp"
    field = find_field(kind, path)
    where = ".".join(path)
    if field is None:
        # A value that was given in the place of the field would be repeated: only what has the form of one is.
        shown = f'"{where}"' if re.fullmatch(r"[a-z_]{1,20}\.[a-z_]{1,20}", where) else "that"
        raise SecretError(
            f"{shown} is not a field of a credential of type {kind}",
            hint="fields are written section.field, for example auth.password; flowpost schema credential lists them",
        )
    if field.kind in ("texts", "rates"):
        raise SecretError(f'"{where}" is a list', hint=f"use flowpost secrets edit {working.path.stem}")
    if text == "":
        raise SecretError(f'no value was given for "{where}"', hint="type it at the prompt, or pipe it in")
    return typed_leaf(field, text, where)


def typed_leaf(field: Field, text: str, where: str) -> Leaf:
    """The leaf of ``text`` for ``field``; SecretError that does not quote it."""
    try:
        value: object = text
        if field.kind == "integer":
            value = int(text)
        elif field.kind == "number":
            value = float(text) if "." in text else int(text)
        elif field.kind == "boolean":
            value = {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        wanted = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}[field.kind]
        raise SecretError(f'"{where}" must be {wanted}') from None
    leaf = leaf_of(value)
    assert leaf is not None
    return leaf


def find_field(kind: str, path: tuple[str, ...]) -> Field | None:
    """The field at ``path`` of a credential of type ``kind``."""
    shape = SHAPES.get(kind)
    if shape is None or not 1 <= len(path) <= 2:
        return None
    if len(path) == 1:
        return shape.fields.get(path[0])
    section = shape.sections.get(path[0])
    if section is None:
        return None
    found = section.fields.get(path[1])
    for variant in (section.variants or {}).values():
        found = found or variant.get(path[1])
    if section.variants and path[1] == "type":
        return Field(about="The kind of login.", choices=tuple(section.variants))
    return found


def _leaves(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _leaves(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_leaves(value) for value in tree]
    return leaf_of(tree)
