"""Two branches that changed different values of one credential: git merges the values, but not the MAC.

The three versions are taken from git, each is decrypted and verified on its own, and the values are merged one by one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from runner.errors import SecretError
from runner.secret import change, rules
from runner.secret.sops import document, edit, keys
from runner.secret.sops.nodes import MAX_BYTES
from runner.secret.sops.scalar import Leaf
from runner.secret.store import CredentialStore

Side = Literal["ours", "theirs"]


def resolve(store: CredentialStore, name: str, prefer: Side | None = None) -> list[str]:
    """Merge the three versions of a conflicting file and write the result; returns what was taken from where.

    SecretError when git knows of no conflict, a version does not verify, or both sides changed one value
    (``prefer`` decides then).
    """
    path = store.path(name)
    base, ours, theirs = (_version(store, path, stage) for stage in (1, 2, 3))
    if ours is None or theirs is None:
        raise SecretError(f"{store.shown(path)} was deleted on one side", hint="keep or delete it with git")
    text, other, swapped = ours, theirs, False
    if base is not None and ours.document.meta.recipients == base.document.meta.recipients:
        # The side that changed the recipients gives the frame, else its removal would be undone.
        if theirs.document.meta.recipients != base.document.meta.recipients:
            text, other, swapped = theirs, ours, True
    elif theirs.document.meta.recipients != ours.document.meta.recipients:
        _one_sided(store, path, base, theirs)
    notes, merged = _merge(store, path, base, text, other, prefer, swapped)
    working = change.Working(path, path.read_bytes(), merged)
    change.save(store, name, working, merged.document.text.encode())
    return notes


def _merge(
    store: CredentialStore,
    path: Path,
    base: edit.Opened | None,
    frame: edit.Opened,
    other: edit.Opened,
    prefer: Side | None,
    swapped: bool,
) -> tuple[list[str], edit.Opened]:
    was, mine, his = (dict(_flat(opened)) if opened is not None else {} for opened in (base, frame, other))
    frame_name: Side = "theirs" if swapped else "ours"
    other_name: Side = "ours" if swapped else "theirs"
    notes: list[str] = []
    clashes: list[str] = []
    for where in dict.fromkeys((*mine, *his, *was)):
        shown = ".".join(where)
        if mine.get(where) == his.get(where):
            continue
        if his.get(where) == was.get(where):
            notes.append(f"{shown}: {frame_name}")
            continue
        if mine.get(where) != was.get(where):
            if prefer is None:
                clashes.append(shown)
                continue
            if prefer == frame_name:
                notes.append(f"{shown}: {frame_name} (both changed it)")
                continue
        notes.append(f"{shown}: {other_name}")
        frame = _take(frame, where, his.get(where))
    if clashes:
        raise SecretError(
            f"{store.shown(path)}: both sides changed {', '.join(clashes)}",
            hint="say whose to take: --ours or --theirs",
        )
    return notes, frame


def _take(frame: edit.Opened, where: tuple[str, ...], value: Any) -> edit.Opened:
    if value is None:
        data = frame.seal(keys.without_key(frame.document, where))
    elif isinstance(value, Leaf):
        data = frame.seal(keys.with_value(frame.document, where, value))
    else:
        raise SecretError(
            f'the lists of "{".".join(where)}" differ', hint="take one side, then flowpost secrets edit"
        )
    return edit.Opened.open(document.parse(data), frame.key)


def _flat(opened: edit.Opened) -> Iterator[tuple[tuple[str, ...], Any]]:
    lists: dict[tuple[str, ...], list[Leaf | None]] = {}
    for place, leaf in opened.found:
        if place.in_list:
            lists.setdefault(place.path, []).append(leaf)
        else:
            yield place.path, leaf
    for path, items in lists.items():
        yield path, tuple(items)


def _one_sided(store: CredentialStore, path: Path, base: edit.Opened | None, theirs: edit.Opened) -> None:
    if base is None or theirs.document.meta.recipients != base.document.meta.recipients:
        wanted = rules.for_file(store.root, path).recipients
        raise SecretError(
            f"{store.shown(path)}: both sides changed the recipients",
            hint=f"take one side, then flowpost secrets rotate for the {len(wanted)} of .sops.yaml",
        )


def _version(store: CredentialStore, path: Path, stage: int) -> edit.Opened | None:
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(path.parent), "show", f":{stage}:./{path.name}"],  # noqa: S607
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        if stage == 1:
            return None
        raise SecretError(
            f"git knows of no conflict in {store.shown(path)}",
            hint=f"after a conflict was edited away: git checkout --merge {store.shown(path)}",
        )
    if len(done.stdout) > MAX_BYTES:
        raise SecretError(f"{store.shown(path)} is too large")
    return change.open_bytes(store, path, done.stdout)
