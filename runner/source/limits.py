"""What a file may hold, and no more."""

from __future__ import annotations

MAX_BYTES = 1024 * 1024
"""Bytes in a file."""

MAX_DEPTH = 64
"""Collections inside each other, through aliases too."""

MAX_VALUES = 50_000
"""Values in a document, each alias counted with everything it stands for."""

MAX_CHARACTERS = 10 * MAX_BYTES
"""Characters of all scalars, each alias counted likewise: one long text behind many aliases is a bomb too."""

MAX_DIGITS = 400
"""Characters of a number: what is longer is no number that a mail needs, and int() is quadratic."""
