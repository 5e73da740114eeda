"""``--report``: a line of JSON a row, written once the row's outcome is on disk."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import IO

from runner.batch.tally import Result
from runner.errors import UsageError
from runner.redact import clean

STDOUT = Path("-")
_SHOWN = 1.0
"""Seconds after which what was written can be read by others: a kill leaves no more out."""


class Report:
    """A file of results; without a path it takes them and writes nothing. What is there already stays until ``begin``,
    so that a command that is refused leaves the last report as it was.
    """

    def __init__(self, path: Path | None) -> None:
        """``-`` is standard output. UsageError when the file cannot be written."""
        self._file: IO[str] | None = None
        self._path = path
        self._begun = self._new = False
        self._shown = 0.0
        self.failure: str | None = None
        """Why the report is not whole."""
        if path == STDOUT:
            self._file, self._path = sys.stdout, None
        elif path is not None:
            self._new = not path.exists()
            try:
                self._file = path.open("a", encoding="utf-8", buffering=1 << 16)
            except OSError as exc:
                raise UsageError(f"the report {path} cannot be written: {exc.strerror}") from exc

    @property
    def wanted(self) -> bool:
        """Whether anybody reads it."""
        return self._file is not None

    def begin(self) -> None:
        """Begin with an empty report, anew if there are lines already."""
        file, self._begun = self._file, True
        if file is None or self._path is None:
            return
        try:
            file.flush()
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                os.ftruncate(file.fileno(), 0)
        except OSError as exc:
            self._give_up(exc)

    def add(self, result: Result) -> None:
        """Write a row's line."""
        if not self._begun:
            self.begin()
        if self._file is None:
            return
        line = result.as_dict()
        if result.response is not None:
            line["response"] = clean(result.response)
        if result.error is not None:
            line["error"] = {
                name: clean(value) if isinstance(value, str) else value
                for name, value in result.error.items()
            }
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            now = time.monotonic()
            if now - self._shown > _SHOWN:
                self._shown = now
                self._file.flush()
        except OSError as exc:
            self._give_up(exc)

    def close(self) -> None:
        """Write the rest."""
        file, path = self._file, self._path
        if file is None:
            return
        try:
            file.flush()
        except OSError as exc:
            self._give_up(exc)
            return
        self._file = None
        if path is not None:
            file.close()
            if self._new and not self._begun:
                path.unlink(missing_ok=True)

    def _give_up(self, error: OSError) -> None:
        """The batch goes on: what was sent is in the ledger, and the same command writes the report again."""
        self.failure = error.strerror or type(error).__name__
        file, self._file = self._file, None
        if file is not None and self._path is not None:
            # What is left in its buffer cannot be written either.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, file.fileno())
            os.close(nowhere)
            file.close()
