"""A file's content as a short mark, computed anew only when its status says that it may have changed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 1024 * 1024
"""Bytes of a file that are read; what is larger, no loader takes, and its status stands for its content."""

SURE_AFTER = 2.0
"""Seconds after which an equal status proves equal content: the coarsest time stamps that file systems keep."""

ABSENT = "absent"
FOLDER = "folder"

_Key = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Known:
    key: _Key
    sure: bool
    mark: str


class Marks:
    """Marks of files in the workspace at ``root``; not for two threads at once.

    Two equal marks mean equal content. Modification times prove nothing alone: a ConfigMap swap keeps them, and
    ``touch -r`` sets them, so inode and status-change time count too, and a file that changed a moment ago is read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, _Known] = {}

    def of(self, path: str | Path, *, again: bool = False) -> str:
        """The mark of ``path``, following links; never raises. ``again`` reads whatever the status says.

        What is no regular file is never opened, and what lies outside the workspace is never read: a link to a
        pipe, a device or a kernel file would block the service or take from it.
        """
        name = os.fspath(path)
        try:
            status = os.stat(name)  # noqa: PTH116  (a Path costs more than the stat, and this is done for every file)
        except (OSError, ValueError) as error:
            self._known.pop(name, None)
            return _refused(error)
        if stat.S_ISDIR(status.st_mode):
            return FOLDER
        if not stat.S_ISREG(status.st_mode):
            return f"special:{stat.S_IFMT(status.st_mode)}"
        key = _key(status)
        known = self._known.get(name)
        if known is not None and known.key == key and known.sure and not again:
            return known.mark
        now = time.time()
        try:
            key, mark = self._read(name, status)
        except (OSError, ValueError) as error:
            self._known.pop(name, None)
            return _refused(error)
        # A clock set back makes changes look far away or yet to come: neither is trusted.
        sure = now - max(key[3], key[4]) / 1e9 > SURE_AFTER
        self._known[name] = _Known(key, sure, mark)
        return mark

    def keep(self, names: set[str]) -> None:
        """Forget all paths but ``names``, so that the memory stays flat however many files come and go."""
        if len(self._known) > 2 * len(names) + 1000:
            self._known = {name: known for name, known in self._known.items() if name in names}

    def _read(self, name: str, status: os.stat_result) -> tuple[_Key, str]:
        real = os.path.realpath(name)
        if status.st_size > MAX_BYTES or not inside(os.path.realpath(self.root), real):
            key = _key(status)
            return key, "status:" + ":".join(map(str, key))
        handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            opened = os.fstat(handle)
            if not stat.S_ISREG(opened.st_mode):
                return _key(opened), f"special:{stat.S_IFMT(opened.st_mode)}"
            data = file.read(MAX_BYTES + 1) or b""
        return _key(opened), hashlib.sha256(data).hexdigest()


def inside(base: str, path: str) -> bool:
    """Whether the real path ``path`` is ``base`` or lies below it."""
    return path == base or path.startswith(base.rstrip("/") + "/")


def _key(status: os.stat_result) -> _Key:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _refused(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (None, errno.ENOENT, errno.ENOTDIR):
        return ABSENT
    return f"unreadable:{number}"
