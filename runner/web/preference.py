"""``Prefer: wait=N`` (RFC 7240): how long the caller would wait for the result."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_WAIT = 60
"""Seconds; a longer wish is cut to this, and the answer says so."""

_WAIT = re.compile(r"\s*wait\s*=\s*(?:\"([0-9]{1,9})\"|([0-9]{1,9}))\s*(?:;.*)?", re.ASCII | re.IGNORECASE)


def wait_seconds(values: Sequence[str]) -> int:
    """The seconds that ``Prefer`` headers ask for, 0 to 60. What is not understood is ignored (section 2)."""
    for value in values:
        for preference in value.split(","):
            match = _WAIT.fullmatch(preference)
            if match:
                return min(int(match[1] or match[2]), MAX_WAIT)
    return 0
