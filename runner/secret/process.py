"""What the process itself must not give away: no core dump holds a key, and temporary files go before it does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn


def forbid_core_dumps() -> None:
    """No core file from now on, and no attaching debugger of the same user.

    The limit alone is not enough: it does not bind where core dumps are piped to a program.
    """
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(4, 0, 0, 0, 0)


@contextlib.contextmanager
def private_file(name: str, content: str) -> Iterator[Path]:
    """A file of mode 0600 in a folder of mode 0700, in memory where the system offers that; gone afterwards.

    SIGTERM, SIGHUP and SIGINT end the block instead of the process, so that the file is gone after them, too.
    """
    import tempfile

    with _signals(), tempfile.TemporaryDirectory(prefix="flowpost-", dir=_memory()) as folder:
        path = Path(folder) / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(content)
        yield path


def _memory() -> str | None:
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108  (the files in it are private)
        if folder and Path(folder).is_dir() and os.access(folder, os.W_OK):
            return folder
    return None


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    previous = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):
            previous[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
