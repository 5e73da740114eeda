"""The SQLite file is for its owner alone: it holds recipients' addresses and the bodies of events."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_BESIDE = ("", "-wal", "-shm")


def make_folder(path: Path) -> None:
    """Make the folder, for its owner alone, where it is not there yet; OSError as the system has it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def keep_private(file: Path) -> None:
    """See that the database at ``file`` is of mode 0600 before SQLite opens it; one of somebody else stays as it is.

    SQLite gives the files beside it the mode of the database. What cannot be done here is told by whoever opens it.
    """
    with contextlib.suppress(OSError):
        # Only a file that is new is opened: to close one that SQLite has open would drop the locks of this process.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return
    for ending in _BESIDE:
        with contextlib.suppress(OSError):
            path = file.with_name(file.name + ending)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & 0o077:
                path.chmod(stat.S_IMODE(status.st_mode) & 0o700)
