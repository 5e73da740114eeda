"""Whether the folder of credentials is what it was: one that vanished as a whole is a fault, and no deletion."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path


class Standing:
    """The folder at ``path``, held open once it was good.

    So the system gives its inode to no other: one that was deleted, replaced or unmounted is told from one whose files
    were deleted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None
        self._letting_go: weakref.finalize[[int], Standing] | None = None

    def hold(self) -> None:
        """The folder is good as it is now."""
        if self._held is not None and not self._replaced(self._held):
            return
        try:
            # O_PATH pins the folder and reads nothing of it
            flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
            handle = os.open(self._path, flags)
        except OSError:
            return
        if self._letting_go is not None:
            self._letting_go()
        self._held, self._letting_go = handle, weakref.finalize(self, os.close, handle)

    def fault(self, empty: Callable[[], bool]) -> str:
        """Why nothing can be told from files that are not there; nothing when they were deleted, or never good.

        ``empty`` tells whether no credential lies in the folder.
        """
        if self._held is None:
            return ""
        try:
            os.scandir(self._path).close()
        except FileNotFoundError:
            return "the folder is not there"
        except OSError as error:
            return f"the folder cannot be read: {(error.strerror or 'error').lower()}"
        return "the folder was replaced by an empty one" if self._replaced(self._held) and empty() else ""

    def _replaced(self, held: int) -> bool:
        try:
            return not os.path.samestat(os.fstat(held), self._path.stat())
        except OSError:
            return True
