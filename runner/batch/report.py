"""``--report``: a line of JSON a row, written once the row's outcome is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from runner.batch.tally import Result
from runner.errors import UsageError
from runner.redact import clean


class Report:
    """A file of results; without a path it takes them and writes nothing."""

    def __init__(self, path: Path | None) -> None:
        """UsageError when the file cannot be written."""
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8", buffering=1 << 16)
            except OSError as exc:
                raise UsageError(f"the report {path} cannot be written: {exc.strerror}") from exc

    @property
    def wanted(self) -> bool:
        """Whether anybody reads it."""
        return self._file is not None

    def add(self, result: Result) -> None:
        """Write a row's line."""
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
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def flush(self) -> None:
        """Let whoever follows the file see what there is."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Write the rest."""
        if self._file is not None:
            self._file.close()
            self._file = None
