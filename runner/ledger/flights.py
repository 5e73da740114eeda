"""Which messages have left this machine, and which were accepted, noted where a kill of the process does not reach.

Intents are on disk before their messages leave, some ahead of time, and outcomes a little after they are known, so that
no connection waits for a commit. After a ``kill -9`` this file tells those that were on their way from those that were
only at hand, and from those that had arrived: a byte a row, in the system's memory of a file. It is not forced to the
disk and need not be: it counts only until the machine starts anew. What it does not know for certain is unknown.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from runner.errors import Unavailable
from runner.ledger.batches import RowState

_LEAVES, _ARRIVED = b"\1", b"\2"
_HEAD = 256
"""Octets before the first row's byte: what the file is, which start of the machine, whose rows."""
_KIND = "flowpost flights 1"
_PATIENCE = 2.0
"""Seconds for which a process is waited for that was to end with the one that was killed."""
_DRIFT = 5.0
"""Seconds by which two readings of the moment when the machine started may differ."""
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Flights:
    """The notes of one process, and of the second one that it forks: made aside, and in force with ``begin``."""

    def __init__(self, path: Path, aside: Path, handle: int) -> None:
        """Use ``make``."""
        self._path = path
        self._aside: Path | None = aside
        self._handle: int | None = handle
        self._kept = False

    @classmethod
    def make(cls, path: Path) -> Flights | None:
        """Notes that ``path`` will name; None where the machine's start is not known, or nothing can be written."""
        if started() is None:
            return None
        import fcntl

        aside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside.unlink(missing_ok=True)
            handle = os.open(aside, _NEW, 0o600)
            # A child that is forked has this lock too: it is free when both are dead, and nothing leaves any more.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        return cls(path, aside, handle)

    def begin(self, owner: str) -> None:
        """From now on ``path`` holds the notes of ``owner``, and nobody's of before."""
        start = started()
        head = f"{_KIND}\n{start[0]}\n{start[1]:.3f}\n{owner}\n".encode() if start else b""
        aside, self._aside = self._aside, None
        if self._handle is None or aside is None:
            return
        for other in aside.parent.glob(f"{self._path.name}.*"):
            if other != aside:
                # Of a process that was killed before it began.
                other.unlink(missing_ok=True)
        try:
            os.pwrite(self._handle, head.ljust(_HEAD, b"\0"), 0)
            aside.replace(self._path)
        except OSError:
            aside.unlink(missing_ok=True)
            self.end()

    def leaves(self, number: int) -> None:
        """The last octets of this row's message are about to leave. Unavailable when that can be noted nowhere."""
        self._note(number, _LEAVES)

    def arrived(self, number: int) -> None:
        """The server has accepted this row's message for everybody."""
        self._note(number, _ARRIVED)

    def _note(self, number: int, what: bytes) -> None:
        if self._handle is None:
            return
        try:
            os.pwrite(self._handle, what, _HEAD + number)
        except OSError:
            self._void()

    def _void(self) -> None:
        """Make everything unknown: for the other process, which has this very file, and for whoever reads it later.

        The head lies in a page that is there already, so that a full disk can take this.
        """
        assert self._handle is not None
        try:
            os.pwrite(self._handle, bytes(len(_KIND)), 0)
        except OSError as exc:
            # Raised before the message leaves, which then does not.
            raise Unavailable(f"{self._path} cannot be written: {exc.strerror}") from exc

    def left(self, number: int) -> bool:
        """Whether this row's message may have left, once whoever carries it is dead."""
        if self._handle is None:
            return True
        try:
            if os.pread(self._handle, len(_KIND), 0) != _KIND.encode():
                return True
            return os.pread(self._handle, 1, _HEAD + number) not in (b"", b"\0")
        except OSError:
            return True

    def keep(self) -> None:
        """Let the notes outlive this process: the ledger does not know all of them."""
        self._kept = True

    def end(self) -> None:
        """Nothing is under way any more, or the notes can no longer be kept."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        os.close(handle)
        if self._kept and self._aside is None:
            return
        try:
            (self._aside or self._path).unlink(missing_ok=True)
        except OSError as exc:
            raise Unavailable(f"{self._path} cannot be removed: {exc.strerror}") from exc


_FATES = {b"": RowState.PENDING, b"\0": RowState.PENDING, _ARRIVED: RowState.SENT}


class Traces:
    """The notes that an earlier process has left at ``path``."""

    def __init__(self, path: Path) -> None:
        self._handle: int | None = None
        self._owner: str | None = None
        with contextlib.suppress(OSError, ValueError):
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            kind, boot, moment, owner, _ = os.pread(self._handle, _HEAD, 0).decode().split("\n")
            start = started()
            if not _free(self._handle):
                return
            if kind == _KIND and start and boot == start[0] and abs(float(moment) - start[1]) < _DRIFT:
                self._owner = owner

    def fate(self, owner: str | None, number: int) -> RowState:
        """What became of ``owner``'s message of this row: PENDING when it certainly never left, SENT, or UNKNOWN."""
        if self._handle is None or owner is None or owner != self._owner:
            return RowState.UNKNOWN
        try:
            note = os.pread(self._handle, 1, _HEAD + number)
        except OSError:
            return RowState.UNKNOWN
        return _FATES.get(note, RowState.UNKNOWN)

    def close(self) -> None:
        """Let go of them; they stay as they are."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _free(handle: int) -> bool:
    """Whether all who wrote the notes are dead, after a moment's patience."""
    import fcntl

    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        else:
            return True


def started() -> tuple[str, float] | None:
    """What tells this start of the machine from all others, and its moment; None where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot, time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, AttributeError):
        return None
