"""Durations, sizes and rates as people write them: ``200ms``, ``1h``; ``64KiB``, ``10MB``; ``14/s``, ``500/day``."""

from __future__ import annotations

import re

_DURATION = r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)"
_SIZE = r"(\d{1,12})(B|KB|MB|GB|KiB|MiB|GiB)?"
_RATE = r"(\d{1,9})/(s|second|m|min|minute|h|hour|d|day)"

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PERIODS = {
    "s": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}


def duration(text: str) -> float:
    """Seconds in ``text``; ValueError when it is not a duration."""
    match = re.fullmatch(_DURATION, text, re.ASCII)
    if match is None:
        raise ValueError(f'"{text}" is not a duration like 200ms, 30s, 5m, 1h or 2d')
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """Bytes in ``text`` (MB is 10**6, MiB is 2**20); ValueError when it is not a size."""
    match = re.fullmatch(_SIZE, text, re.ASCII)
    if match is None:
        raise ValueError(f'"{text}" is not a size like 64KiB or 10MB')
    return int(match[1]) * _BYTES[match[2] or "B"]


def rate(text: str) -> tuple[int, float]:
    """``(count, seconds)`` in ``text``; ValueError when it is not a rate."""
    match = re.fullmatch(_RATE, text, re.ASCII)
    if match is None or int(match[1]) == 0:
        raise ValueError(f'"{text}" is not a rate like 14/s or 500/day')
    return int(match[1]), _PERIODS[match[2]]
