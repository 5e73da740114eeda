"""One service a SQLite file: who holds the lock knows that every earlier process is dead."""

from __future__ import annotations

import os
from pathlib import Path

from runner.errors import ConfigurationError, Unavailable
from runner.ledger.private import make_folder


class FileLock:
    """An exclusive lock beside the database's file; the system lets go of it when the process dies."""

    def __init__(self, database: Path, *, what: str = "flowpost serve", suffix: str = "") -> None:
        """``what`` is whoever else would hold it, in words; ``suffix`` tells locks beside one database apart."""
        self.path = database.with_name(f"{database.name}{suffix}.lock")
        self._what = what
        self._handle: int | None = None

    def take(self) -> None:
        """Take it, or raise ConfigurationError when another process has it."""
        import fcntl

        try:
            make_folder(self.path.parent)
            # The handle stays with this process: a child that inherited it would keep the lock after our death.
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise Unavailable(f"the lock {self.path} cannot be opened: {exc.strerror}") from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise ConfigurationError(
                f"another {self._what} (process {holder}) works with the database beside {self.path}",
                hint="stop it, or set database to a postgresql:// URL to run several",
            ) from exc
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle

    def release(self) -> None:
        """Let go of it; the file stays, since another process may be waiting at it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
