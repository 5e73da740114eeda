"""Credentials whose files have not changed since they were read, told by what the file system says of them.

Reading, hashing and checking a file for each message costs more than sending it. A file's status is as good an answer
once the file has rested: a change within the clock's grain of an earlier one would leave the same times behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from runner.credential import Credential

RESTED = 2.0
"""Seconds since a file's last change after which its times tell of the next one, also on coarse file systems."""

Status = tuple[tuple[int, ...] | None, ...]


class Settled:
    """By name: the credential, and the status of the files that it could come from."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Status, Credential]] = {}

    def get(self, name: str, paths: Sequence[Path]) -> Credential | None:
        """The credential, when none of ``paths`` has changed since ``keep``."""
        known = self._known.get(name)
        return known[1] if known is not None and known[0] == status(paths) else None

    def keep(self, name: str, before: Status, credential: Credential) -> None:
        """Keep what was read after ``before`` was taken; not when the files have changed just now."""
        now = time.time_ns()
        rested = all(each is None or max(each[:2]) < now - RESTED * 1e9 for each in before)
        if rested:
            self._known[name] = before, credential
        else:
            self._known.pop(name, None)


def status(paths: Sequence[Path]) -> Status:
    """Times, size and identity of each file; None for one that is not there."""
    found: list[tuple[int, ...] | None] = []
    for path in paths:
        try:
            told = os.stat(path)  # noqa: PTH116  # a Path's own is twice as slow, and this is asked for each message
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append((told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino, told.st_dev))
    return tuple(found)
