"""Regular expressions from files, in the engine that sops uses."""

from __future__ import annotations

from typing import Any

from runner.secret.sops.nodes import FormatError


def compile(kind: str, pattern: str) -> Any:  # noqa: A001  (as re.compile)
    """The compiled ``pattern``; FormatError, which names ``kind``, when it is none.

    A hostile file brings both pattern and keys, and RE2 takes linear time.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise FormatError(f"the pattern of {kind} is not a regular expression that SOPS knows") from None
