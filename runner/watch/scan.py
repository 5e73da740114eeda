"""What lies in the watched folders now, and where events about it would come from."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from runner.watch.marks import FOLDER, Marks, inside

MAX_FILES = 100_000
_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to have events of: real path, whole tree or the folder alone, and the names that matter (None: all).

    ``identity`` is device and inode: a folder that was deleted and made again is another place.
    """

    path: str
    recursive: bool
    names: frozenset[str] | None
    identity: tuple[int, int]


@dataclass(slots=True)
class Scan:
    """``files``: mark by name, relative to the root, of every file found and of each watched name itself."""

    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, tuple[int, int]] = field(default_factory=dict)

    def differs(self, before: Scan) -> frozenset[str]:
        """The names that are new, gone or of other content."""
        return frozenset(
            name
            for name in self.files.keys() | before.files.keys()
            if self.files.get(name) != before.files.get(name)
        )


def scan(root: Path, names: tuple[str, ...], marks: Marks, *, again: bool = False) -> Scan:
    """Look at every file of ``names`` (files and folders in ``root``); never raises.

    Hidden folders are left out: git, state, and the sides of a ConfigMap, whose visible names are links into them.
    Links to folders are followed inside the workspace only, each real folder once. ``again`` reads every file.
    """
    found = Scan()
    base = os.path.realpath(root)
    for name in names:
        path = f"{root}/{name}"
        mark = marks.of(path, again=again)
        found.files[name] = mark
        if mark == FOLDER:
            _walk(base, path, name, marks, found, again)
    marks.keep({f"{root}/{name}" for name in found.files})
    return found


def _walk(base: str, path: str, name: str, marks: Marks, found: Scan, again: bool) -> None:
    waiting = [(path, name)]
    seen: set[tuple[int, int]] = set()
    while waiting and len(found.files) < MAX_FILES:
        path, name = waiting.pop()
        try:
            real = os.path.realpath(path)
            status = Path(real).stat()
            identity = (status.st_dev, status.st_ino)
            if identity in seen or not inside(base, real):
                continue
            seen.add(identity)
            found.folders[real] = identity
            with os.scandir(real) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.files[name] = f"unreadable:{error.errno}"
            continue
        for entry in listed:
            inner = f"{name}/{entry.name}"
            if _is_folder(entry):
                if not entry.name.startswith("."):
                    waiting.append((f"{path}/{entry.name}", inner))
            else:
                found.files[inner] = marks.of(f"{path}/{entry.name}", again=again)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def places(root: Path, names: tuple[str, ...], found: Scan) -> frozenset[Place]:
    """Where events about ``names`` come from: the folders themselves, and every folder on the way that holds the
    name of the next, a link (git-sync swaps one above the workspace) or a folder that may be made again.
    """
    trees = [path for path in sorted(found.folders) if not _covered(path, found.folders)]
    wanted = {Place(path, True, None, found.folders[path]) for path in trees}
    steps: dict[str, set[str]] = {}
    for name in names:
        _steps(root / name, steps, os.path.realpath(root.parent))
    for path, inner in steps.items():
        if status := _folder(Path(path)):
            identity = (status.st_dev, status.st_ino)
            wanted.add(Place(path, False, frozenset(inner), identity))
    return frozenset(wanted)


def _covered(path: str, folders: dict[str, tuple[int, int]]) -> bool:
    """Whether a folder above is watched with its whole tree; a tree of events does not follow links."""
    return any(str(parent) in folders for parent in Path(path).parents)


def _steps(way: Path, steps: dict[str, set[str]], shallow: str) -> None:
    """Gather, for the way to a file, each real folder and the names in it that lead on.

    Above ``shallow``, the folder that holds the workspace, only links count: they alone are swapped.
    """
    waiting = list(reversed(way.parts[1:]))
    here, links = Path("/"), 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            here = here.parent
            continue
        target = _link(here / part)
        if target is not None or inside(shallow, str(here)):
            steps.setdefault(str(here), set()).add(part)
        if target is None:
            here = here / part
            if _folder(here) is None:
                return
            continue
        links += 1
        if links > _MAX_LINKS:
            return
        if target.is_absolute():
            here = Path("/")
        waiting.extend(part for part in reversed(target.parts) if part != "/")


def _link(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


def _folder(path: Path) -> os.stat_result | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status if stat.S_ISDIR(status.st_mode) else None
