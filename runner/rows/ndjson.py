"""NDJSON: one object a line. A line that is no object is one bad row; the lines after it are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from runner.rows.block import Block, Mark, too_long, vanished, within
from runner.rows.limits import MAX_ROW
from runner.rows.record import TOO_DEEP, Flaw, Records, row_of
from runner.rows.row import Row

_SPACE = " \t\r"
_HINT = "is the file NDJSON, with one object a line?"


class Ndjson:
    """Reads NDJSON. A block's records are lines: what is skipped is never decoded."""

    def __init__(self, name: str) -> None:
        self._name = name

    def cut(self, data: bytes, mark: Mark, last: bool) -> Block | None:
        """See ``Format``."""
        end = len(data) if last else data.rfind(b"\n") + 1
        if end == 0:
            if len(data) > MAX_ROW:
                raise too_long(self._name, mark.line, mark.number, _HINT)
            return None
        try:
            lines = data[:end].decode("utf-8").split("\n")
        except UnicodeDecodeError:
            raise vanished(self._name) from None
        ends = len(lines) - 1
        if not lines[-1]:
            lines.pop()
        starts: Sequence[int] = range(mark.line, mark.line + len(lines))
        if any(not line or line.isspace() for line in lines):
            kept = [pair for pair in zip(starts, lines, strict=True) if pair[1].strip(_SPACE)]
            starts, lines = [line for line, _ in kept], [text for _, text in kept]
        if len(data) > MAX_ROW:
            for at, text in enumerate(lines):
                if len(text.encode()) > MAX_ROW:
                    raise too_long(self._name, starts[at], mark.number + at, _HINT)
        return Block(lines, starts, end, ends)

    def rows(self, block: Block, mark: Mark, first: int, last: int) -> Iterator[Row]:
        """See ``Format``."""
        begin, part = within(block, mark, first, last)
        records = Records()
        for number, (line, text) in enumerate(
            zip(block.starts[part], block.records[part], strict=True), begin
        ):
            yield row_of(number, line, _record(records, text))


def _record(records: Records, line: str) -> dict[str, Any] | Flaw:
    text = line.rstrip(_SPACE)
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        record, end = records.decode(text, start)
    except json.JSONDecodeError as error:
        return Flaw(f"is not JSON: column {error.pos + 1}: {error.msg.lower()}", "write one object a line")
    except RecursionError:
        return TOO_DEEP
    if end < len(text):
        return Flaw(f"has text behind its object, at column {end + 1}", "write one object a line")
    return record
