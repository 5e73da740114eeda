"""Where a process runs, so that others on the same machine can see at once that it has died."""

from __future__ import annotations

import os
from pathlib import Path

DEAD = 8.0
"""Seconds without a heartbeat after which a process counts as dead, and what it was doing is taken over."""
BEAT = 2.0
"""Seconds between two heartbeats."""


def here(name: str) -> str:
    """What a heartbeat says of this process: a name, the machine and its process namespace, the process."""
    return f"{name} {_machine()} {os.getpid()}"


def gone(told: str) -> bool:
    """Whether the process that said so of itself has certainly ended; False when that cannot be seen from here."""
    _, machine, number = (["", "", *told.rsplit(" ", 2)])[-3:]
    if not machine or machine != _machine() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _machine() -> str:
    """One boot of one kernel, and the namespace that process numbers belong to; empty where that is not told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
