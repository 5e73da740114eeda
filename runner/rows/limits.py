"""What a file of rows may hold, and no more."""

from __future__ import annotations

MAX_ROW = 1024 * 1024
"""Octets of one row, its quoted line ends included."""

MAX_COLUMNS = 1_000
"""Columns of a CSV file."""

MAX_DEPTH = 64
"""Collections inside each other in a row of JSON."""

MAX_DIGITS = 4_000
"""Digits of a whole number in JSON: int() is quadratic, and Python refuses a few digits more."""

MAX_SPOOL = 16 * 1024**3
"""Octets that are kept of a stream or an unpacked file: a pipe may never end, and gzip makes 1,000 of one."""

BLOCK = 64 * 1024
"""Octets that are read and parsed at a time."""

MAX_MARKS = 4_096
"""Places in the file that are remembered, so that a row is found without reading all before it."""
