"""A JSON array of objects, read through a window: the file may be larger than memory, a row may not."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from runner.errors import UsageError
from runner.rows.block import Block, Mark, broken, too_long, vanished, within
from runner.rows.limits import MAX_DEPTH, MAX_ROW
from runner.rows.record import Flaw, Records, row_of
from runner.rows.row import Row
from runner.rows.words import counted

BEFORE, FIRST, NEXT, BEHIND = range(4)
"""Stages: before ``[``, behind it, behind a comma, behind ``]``."""

_SPACE = re.compile(r"[ \t\r\n]*+")
_NEAR = 16
"""What a cut-off token costs the decoder at most: it points at the beginning of a literal or an escape."""


class Array:
    """Reads a JSON array. The decoder stops at the window's end; then the same row is read again in a larger one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def cut(self, data: bytes, mark: Mark, last: bool) -> Block | None:
        """See ``Format``."""
        try:
            text, _ = codecs.utf_8_decode(data, "strict", last)
        except UnicodeDecodeError:
            raise vanished(self._name) from None
        walk = _Walk(self._name, text, mark, last)
        walk.run()
        octets = walk.consumed if text.isascii() else len(text[: walk.consumed].encode())
        if octets == 0:
            if len(data) > MAX_ROW:
                raise walk.too_long(mark.number, walk.consumed)
            return None
        lines = text.count("\n", 0, walk.consumed)
        return Block(walk.records, walk.starts, octets, lines, walk.stage)

    def rows(self, block: Block, mark: Mark, first: int, last: int) -> Iterator[Row]:
        """See ``Format``."""
        begin, part = within(block, mark, first, last)
        for number, (line, record) in enumerate(
            zip(block.starts[part], block.records[part], strict=True), begin
        ):
            yield row_of(number, line, record)


class _Walk:
    """One way through a window, up to the last comma or bracket in it."""

    def __init__(self, name: str, text: str, mark: Mark, last: bool) -> None:
        self.records: list[dict[str, Any] | Flaw] = []
        self.starts: list[int] = []
        self.consumed = 0
        self.stage = mark.stage
        self._name = name
        self._text = text
        self._mark = mark
        self._last = last
        self._decode = Records().decode
        self._line = mark.line
        self._counted = 0

    def run(self) -> None:
        """Fill ``records``; UsageError."""
        while self._step():
            pass
        if self._last and self.stage != BEHIND:
            raise self._unfinished(self._skip(self.consumed), self._number - 1)

    def _step(self) -> bool:
        """One token or record further; False at the window's end."""
        text = self._text
        start = self.consumed = self._skip(self.consumed)
        if start == len(text):
            return False
        if self.stage == BEHIND:
            raise self._broken(
                start, "there is text behind the end of the array", "keep one array in the file"
            )
        if self.stage == BEFORE:
            if text[start] != "[":
                raise self._no_array(start)
            self.consumed, self.stage = start + 1, FIRST
            return True
        if self.stage == FIRST and text[start] == "]":
            self.consumed, self.stage = start + 1, BEHIND
            return True
        return self._record(start)

    def _record(self, start: int) -> bool:
        text = self._text
        try:
            record, end = self._decode(text, start)
        except json.JSONDecodeError as error:
            cut_off = error.msg.startswith("Unterminated string")
            if not self._last and (cut_off or error.pos >= len(text) - _NEAR):
                return False
            if cut_off or error.pos >= len(text.rstrip()):
                raise self._unfinished(start, self._number - 1) from None
            raise self._not_json(error) from None
        except RecursionError:
            what = f"row {self._number} is nested more than {MAX_DEPTH} levels deep"
            raise self._broken(start, what, "a row is an object with a few levels at most") from None
        behind = self._skip(end)
        if behind == len(text):
            if self._last:
                raise self._unfinished(behind, self._number)
            return False
        if text[behind] not in ",]":
            what = f"row {self._number} is followed by neither a comma nor ]"
            raise self._broken(behind, what, "write a comma between two objects")
        if self._number == 1 and isinstance(record, Flaw) and text[start] != "{":
            what = f"the first element of the array {record.what}"
            raise self._broken(start, what, record.hint)
        if end - start > MAX_ROW // 4 and len(text[start:end].encode()) > MAX_ROW:
            raise self.too_long(self._number, start)
        self.records.append(record)
        self.starts.append(self._line_at(start))
        self.consumed, self.stage = behind + 1, NEXT if text[behind] == "," else BEHIND
        return True

    @property
    def _number(self) -> int:
        return self._mark.number + len(self.records)

    def _skip(self, at: int) -> int:
        return _SPACE.match(self._text, at).end()  # type: ignore[union-attr]

    def _line_at(self, at: int) -> int:
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        return self._line

    def too_long(self, number: int, at: int) -> UsageError:
        """The error of a row that begins at ``at``."""
        return too_long(
            self._name, self._line_at(at), number, "is the file an array of objects, one for each row?"
        )

    def _broken(self, at: int, what: str, hint: str | None = None) -> UsageError:
        return broken(self._name, self._line_at(at), what, hint)

    def _not_json(self, error: json.JSONDecodeError) -> UsageError:
        octet = self._mark.offset + len(self._text[: error.pos].encode()) + 1
        what = f"row {self._number} is not JSON: {error.msg.lower()} (octet {octet:,})"
        return self._broken(error.pos, what, "write the array as a JSON library writes it")

    def _unfinished(self, at: int, whole: int) -> UsageError:
        where = f"in row {self._number}" if at < len(self._text) else f"after {counted(whole, 'row')}"
        what = f"the file ends in the middle of the array, {where}"
        return self._broken(at, what, "is the file complete? an array ends with ]")

    def _no_array(self, at: int) -> UsageError:
        if self._text[at] == "{":
            return self._broken(
                at,
                "the file begins with an object, expected an array of objects",
                "put the rows into [ ], or name the file .ndjson when each line is an object of its own",
            )
        return self._broken(
            at,
            "the file is not a JSON array",
            'expected [{"email": "ann@example.com"}, …]; is it JSON at all?',
        )
