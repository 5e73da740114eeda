"""Where a workspace begins, and its files, read without leaving it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from runner.diagnostic import Diagnostic, Invalid
from runner.errors import UsageError

SETTINGS_FILE = "flowpost.yaml"
FLOWS_FOLDER = "flows"
_SUFFIXES = (".yaml", ".yml")
_TESTS = (".test.yaml", ".test.yml")


def find_workspace(start: Path) -> Path:
    """The first folder at or above ``start`` with a ``flowpost.yaml`` or a ``flows/``; else UsageError."""
    begin = start.absolute()
    for folder in (begin, *begin.parents):
        if (folder / SETTINGS_FILE).is_file() or (folder / FLOWS_FOLDER).is_dir():
            return folder
    raise UsageError(
        f"neither {begin} nor a folder above it has a {SETTINGS_FILE} or a {FLOWS_FOLDER}/: no workspace",
        hint="flowpost init makes one, -C DIR names one",
    )


def relative_name(root: Path, path: Path) -> str:
    """What findings call ``path``: relative to ``root`` where it lies inside."""
    absolute = Path(os.path.normpath(path if path.is_absolute() else Path.cwd() / path))
    if not path.is_absolute() and not absolute.exists():
        absolute = Path(os.path.normpath(root / path))
    if absolute.is_relative_to(root.absolute()):
        return absolute.relative_to(root.absolute()).as_posix()
    real = _real(absolute)
    if real is not None and real.is_relative_to(root.resolve()):
        return real.relative_to(root.resolve()).as_posix()
    return path.as_posix()


def read_file(root: Path, name: str, limit: int) -> bytes:
    """At most ``limit`` + 1 bytes of the regular file ``name`` in ``root``.

    Raises Invalid when it is not there, leads out of the workspace, or is a device or a pipe, which would
    block for ever or never end.
    """
    base = root.resolve()
    try:
        path = (base / name).resolve(strict=True)
        if not path.is_relative_to(base):
            raise Invalid(
                [Diagnostic(name, 1, 1, "the file leads out of the workspace", "yaml", hint=f"to {path}")]
            )
        # Opening a pipe waits for a writer unless told not to.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Invalid([Diagnostic(name, 1, 1, "this is not a regular file", "yaml")])
            return file.read(limit + 1)
    except (OSError, RuntimeError, ValueError) as exc:
        reason = (getattr(exc, "strerror", None) or "a path that cannot be").lower()
        raise Invalid([Diagnostic(name, 1, 1, f"the file cannot be read: {reason}", "yaml")]) from exc


def flow_files(root: Path, folder: str) -> Iterator[str | Diagnostic]:
    """The flow files below ``folder``, relative to ``root``, sorted; a finding for what may not be followed.

    Hidden names are left out: editors keep copies there, and Kubernetes keeps ``..data`` there, of which the
    visible names are links.
    """
    base = root.resolve()
    seen: set[Path] = set()

    def walk(name: str) -> Iterator[str | Diagnostic]:
        path = base / name
        real = _real(path)
        if real is None or real in seen:
            return
        seen.add(real)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as exc:
            yield Diagnostic(name, 1, 1, f"the folder cannot be read: {(exc.strerror or '').lower()}", "yaml")
            return
        for entry in entries:
            inner = f"{name}/{entry.name}"
            if entry.name.startswith("."):
                continue
            is_flow = entry.name.endswith(_SUFFIXES) and not entry.name.endswith(_TESTS)
            is_folder = _is_folder(entry)
            if not is_flow and not is_folder:
                continue
            real = _real(Path(entry.path)) if entry.is_symlink() else None
            if real is not None and not real.is_relative_to(base):
                yield Diagnostic(
                    inner, 1, 1, "the link leads out of the workspace and is not followed", "yaml"
                )
            elif is_folder:
                yield from walk(inner)
            else:
                yield inner

    if not (base / folder).is_dir():
        yield Diagnostic(
            folder,
            1,
            1,
            f'the folder "{folder}" is not there',
            "yaml",
            hint="flows in flowpost.yaml names it",
        )
        return
    yield from walk(folder.strip("/"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _real(path: Path) -> Path | None:
    """Where ``path`` leads, or None when it leads in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return None
