"""How programs change files: the same system calls in the same order."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path


def plain(path: Path, text: str) -> None:
    """nano, VS Code, ``cat >``: truncate and write in place."""
    path.write_text(text, encoding="utf-8")


def vim(path: Path, text: str) -> None:
    """vim with ``backupcopy=no``: try to make a file, rename the old one away, write a new one, sync, delete."""
    probe = path.parent / "4913"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    probe.unlink()
    backup = path.with_name(f"{path.name}~")
    path.rename(backup)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(handle, text.encode())
    os.fsync(handle)
    os.close(handle)
    path.chmod(0o644)
    backup.unlink()


def vim_copy(path: Path, text: str) -> None:
    """vim with ``backupcopy=yes``: copy the old file away, truncate and write in place, delete the copy."""
    backup = path.with_name(f"{path.name}~")
    shutil.copy2(path, backup)
    handle = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(handle, text.encode())
    os.fsync(handle)
    os.close(handle)
    backup.unlink()


def emacs(path: Path, text: str) -> None:
    """emacs: a lock (a link to nowhere), the old file renamed to a backup, a new one made, the lock removed."""
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("ann@host.1234:1700000000")
    auto = path.with_name(f"#{path.name}#")
    auto.write_text(text[: len(text) // 2])
    path.rename(path.with_name(f"{path.name}~"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    auto.unlink()
    lock.unlink()


def atomic(path: Path, text: str) -> None:
    """JetBrains, ``sed -i``, sops: a new file beside it, renamed over it."""
    draft = path.with_name(f".{path.name}.tmp123")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
        os.fsync(file.fileno())
    draft.replace(path)


def from_elsewhere(path: Path, text: str) -> None:
    """``mv /tmp/x flows/``: a rename from a folder that nobody watches."""
    draft = path.parent.parent.parent / "draft"
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def halves(path: Path, text: str) -> None:
    """A slow writer: truncated, whole lines written, and the rest a moment later, through one open file."""
    cut = text.index("\n", len(text) // 2) + 1
    with open(path, "w", encoding="utf-8") as file:
        time.sleep(0.06)
        file.write(text[:cut])
        file.flush()
        time.sleep(0.06)
        file.write(text[cut:])


def same_times(path: Path, text: str) -> None:
    """``rsync --inplace --times`` or a restored backup: other content, same size and modification time."""
    status = path.stat()
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


SAVES = [plain, vim, vim_copy, emacs, atomic, from_elsewhere, halves, same_times]


def config_map(folder: Path, number: int, files: dict[str, str]) -> None:
    """As the kubelet's AtomicWriter: a new hidden folder, ``..data`` swapped by rename, links made, the rest removed."""
    side = folder / f"..2026_01_01_00_00_{number:02}.{number}"
    side.mkdir(parents=True)
    for name, text in files.items():
        (side / name).write_text(text, encoding="utf-8")
        # every version of a ConfigMap may carry the same times
        os.utime(side / name, ns=(10**18, 10**18))
    data, draft = folder / "..data", folder / "..data_tmp"
    old = data.readlink() if data.is_symlink() else None
    draft.symlink_to(side.name)
    draft.rename(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in files:
            path.unlink()
    if old is not None:
        shutil.rmtree(folder / old)


def git_sync(top: Path, number: int, files: dict[str, str], *, keep: bool = False) -> None:
    """As git-sync: a new work tree, the link above it swapped by rename, the old work tree removed or kept a while."""
    tree = top / ".worktrees" / f"{number:040x}"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    link, draft = top / "current", top / "tmp-link"
    old = link.resolve() if link.is_symlink() else None
    draft.symlink_to(tree.relative_to(top))
    draft.rename(link)
    if old is not None and not keep:
        shutil.rmtree(old)
