"""A folder that files are dropped into, and how one of them is claimed, read and put away. Blocking.

A file is claimed by a rename into ``.processing/``, under a token of its own: of many processes one succeeds, and the
token, in the file's name until the file is put away, is what makes an event known that was accepted just before a
crash. A lock on the claimed file tells the living from the dead: it ends with the process that holds it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from runner.triggers.base import BadBody
from runner.triggers.payload import parse_json

PROCESSING, DONE, FAILED = ".processing", ".done", ".failed"
MAX_ENTRIES = 10_000
"""Names that one look at a folder takes; the rest waits for the next look."""

MAX_NAME = 200
"""Octets; a longer name leaves no room for the token."""

_TOKEN = 16
_LINES = (".ndjson", ".jsonl")


class Changed(Exception):
    """The file is not, or no longer, what was looked at: it is somebody else's, or still being written."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as one look found it; two looks that agree mean that nobody writes any more."""

    inode: int
    size: int
    modified: int
    regular: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """A file that is ours: ``descriptor`` holds the lock until ``release``."""

    name: str
    token: str
    path: Path
    descriptor: int

    def release(self) -> None:
        """Give up the lock."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Inbox:
    """One folder, which must lie inside ``root`` even after links are followed."""

    root: Path
    folder: Path

    def look(self, patterns: frozenset[str]) -> dict[str, Seen]:
        """What is there under a name that fits; empty when the folder is not there. OSError as the system has it."""
        if not self.folder.is_dir():
            return {}
        if not self.folder.resolve().is_relative_to(self.root.resolve()):
            raise PermissionError(errno.EACCES, "the folder leads out of the workspace")
        found: dict[str, Seen] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and any(fnmatchcase(entry.name, one) for one in patterns):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if not stat.S_ISDIR(status.st_mode):
                            found[entry.name] = _seen(status)
                if len(found) == MAX_ENTRIES:
                    break
        return found

    def claim(self, name: str, seen: Seen) -> Claimed:
        """Make ``name`` ours; raises Changed when it is not as ``seen`` any more, or somebody was faster."""
        self._make(PROCESSING)
        token = secrets.token_hex(_TOKEN // 2)
        path = self.folder / PROCESSING / f"{token}.{name}"
        try:
            (self.folder / name).rename(path)
        except FileNotFoundError:
            raise Changed from None
        claimed = self._lock(path)
        if _seen(os.fstat(claimed.descriptor)) != seen:
            self.give_back(claimed)
            raise Changed
        return claimed

    def left_over(self) -> Iterator[Claimed]:
        """Files that were claimed by a process that is no more, each locked now."""
        try:
            if (self.folder / PROCESSING).is_symlink():
                return
            paths = sorted((self.folder / PROCESSING).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        for path in paths[:MAX_ENTRIES]:
            with contextlib.suppress(Changed, OSError):
                yield self._lock(path)

    def read(self, claimed: Claimed, limit: int) -> object:
        """The value of a file: ``.json`` its JSON, ``.ndjson`` and ``.jsonl`` a list, else its text. BadBody.

        Raises Changed, with the file put back, when somebody writes while it is read.
        """
        before = os.fstat(claimed.descriptor)
        if before.st_size > limit:
            raise BadBody(f"the file has {before.st_size:,} bytes, {limit:,} are allowed")
        with os.fdopen(os.dup(claimed.descriptor), "rb") as file:
            file.seek(0)
            data = file.read(limit + 1)
        if _seen(os.fstat(claimed.descriptor)) != _seen(before) or len(data) != before.st_size:
            self.give_back(claimed)
            raise Changed
        ending = Path(claimed.name).suffix.lower()
        if ending == ".json":
            return parse_json(data)
        if ending in _LINES:
            return [parse_json(line) for line in data.split(b"\n") if line.strip()]
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise BadBody("the file is not UTF-8") from None

    def done(self, claimed: Claimed) -> None:
        """Put the file into ``.done/``."""
        self._put_away(claimed.path, DONE, claimed.name, claimed.token)

    def failed(self, claimed: Claimed, reason: str) -> None:
        """Put the file into ``.failed/``, with a note beside it."""
        self._note(self._put_away(claimed.path, FAILED, claimed.name, claimed.token), reason)

    def refuse(self, name: str, reason: str) -> None:
        """Put what is no file to be read, unopened, into ``.failed/``: opening a FIFO would wait for ever."""
        token = secrets.token_hex(_TOKEN // 2)
        short = name if len(os.fsencode(name)) <= MAX_NAME else token
        with contextlib.suppress(FileNotFoundError):
            self._note(self._put_away(self.folder / name, FAILED, short, token), reason)

    def _lock(self, path: Path) -> Claimed:
        token, dot, name = path.name.partition(".")
        if not dot or len(token) != _TOKEN:
            raise Changed
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Changed from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held the lock before may have put the file away meanwhile.
            if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not os.path.samestat(
                os.fstat(descriptor), path.lstat()
            ):
                raise Changed
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            raise Changed from None
        except BaseException:
            os.close(descriptor)
            raise
        return Claimed(name, token, path, descriptor)

    def give_back(self, claimed: Claimed) -> None:
        """Undo a claim; when a new file has the name by now, the old one stays claimed for the next look."""
        try:
            if not os.path.lexists(self.folder / claimed.name):
                claimed.path.rename(self.folder / claimed.name)
        finally:
            claimed.release()

    def _make(self, name: str) -> Path:
        folder = self.folder / name
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        if folder.is_symlink():
            raise PermissionError(errno.EACCES, f"{name} is a link")
        return folder

    def _put_away(self, path: Path, where: str, name: str, token: str) -> Path:
        target = self._make(where) / name
        if os.path.lexists(target):
            target = target.with_name(f"{token}.{name}")
        path.rename(target)
        return target

    def _note(self, path: Path, reason: str) -> None:
        with contextlib.suppress(OSError):
            path.with_name(f"{path.name}.error.txt").write_text(f"{reason}\n", encoding="utf-8")


def _seen(status: os.stat_result) -> Seen:
    return Seen(status.st_ino, status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))
