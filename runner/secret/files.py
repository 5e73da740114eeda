"""Reading under bounds, and writing so that an interrupted write leaves the old file byte for byte."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import SecretError
from runner.secret.sops.nodes import MAX_BYTES


def read(path: Path) -> bytes:
    """The bytes of a regular file of at most 1 MiB; SecretError for anything else, FileNotFoundError if none."""
    try:
        # A FIFO put where a credential was would hang the service without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SecretError(f"it cannot be read: {_reason(error)}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError("it is not a regular file")
        if status.st_size > MAX_BYTES:
            raise SecretError(f"the file has {status.st_size} bytes, at most {MAX_BYTES} are read")
        try:
            return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SecretError(f"it cannot be read: {_reason(error)}") from None


def write(path: Path, data: bytes, *, mode: int = 0o644, exclusive: bool = False) -> None:
    """Put ``data`` at ``path`` in one step: a temporary file beside it, fsync, rename, fsync of the folder.

    ``mode`` holds whatever the umask is; an existing file keeps its own. With ``exclusive`` a file that is already
    there is an error. SecretError when the folder or disk refuses; then the old file is as it was.
    """
    folder = path.parent
    with translated(path):
        if exclusive and os.path.lexists(path):
            raise SecretError(f"{path} is already there, and is not overwritten")
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        with temporary(target.parent, f".{target.name}.") as draft:
            draft.write_bytes(data)
            draft.chmod(mode)
            _sync(draft)
            if exclusive:
                # A hard link fails where a rename would replace: nobody's key is lost to a race.
                os.link(draft, target)
            else:
                draft.rename(target)
        _sync(folder)


def write_private(path: Path, data: bytes) -> None:
    """A new file of mode 0600 in folders of mode 0700; SecretError when there is one already."""
    with translated(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(path, data, mode=0o600, exclusive=True)


@contextmanager
def temporary(folder: Path, prefix: str) -> Iterator[Path]:
    """A fresh file of mode 0600, made exclusively and gone afterwards, whatever happens (but kill -9)."""
    path = folder / f"{prefix}{secrets.token_hex(8)}.tmp"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the system refuses into one SecretError that names the file and the reason."""
    try:
        yield
    except OSError as error:
        raise SecretError(
            f"{path} cannot be written: {_reason(error)}",
            hint=f"is {path.parent} writable for this user, and has the disk room?",
        ) from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return (error.strerror or "error").lower()
