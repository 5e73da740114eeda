"""CSV (RFC 4180) as people have it: any of four delimiters, any line end, quotes over several lines.

A quote inside an unquoted cell is text, as in every spreadsheet; text behind a closing quote is a mistake, since
two readers would read it as two things.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO

from runner.errors import FlowpostError, UsageError
from runner.rows.block import Block, Mark, broken, too_long, vanished, within
from runner.rows.limits import MAX_ROW
from runner.rows.row import Row
from runner.rows.words import counted, shown

_UNCLOSED = "unexpected end of data"
_MEND_QUOTES = 'close it, or write "" for a quote inside quotes'
_LINE_END = re.compile(r"\r\n?|\n")


class Flawed(list[str]):
    """A record that is not CSV, without cells. A list, so that good rows need no second look."""


class Delimited:
    """Reads CSV with one delimiter and these columns."""

    def __init__(self, name: str, columns: tuple[str, ...], delimiter: str, *, header: bool = True) -> None:
        self._name = name
        self._columns = columns
        self._delimiter = delimiter
        self._header = header
        allow_long_cells()

    def cut(self, data: bytes, mark: Mark, last: bool) -> Block | None:
        """See ``Format``."""
        end = len(data) if last else whole_lines(data)
        if end == 0:
            if len(data) > MAX_ROW:
                raise self._too_long(mark)
            return None
        try:
            text = data[:end].decode("utf-8")
        except UnicodeDecodeError:
            raise vanished(self._name) from None
        block = self._one_line_each(text, mark, end) or self._any(text, mark, end, last)
        if len(data) > MAX_ROW:
            if block.octets == 0:
                raise self._too_long(mark, text)
            self._check_lengths(text, block, mark)
        return block if block.octets else None

    def rows(self, block: Block, mark: Mark, first: int, last: int) -> Iterator[Row]:
        """See ``Format``."""
        begin, part = within(block, mark, first, last)
        columns = self._columns
        width = len(columns)
        for number, (line, cells) in enumerate(
            zip(block.starts[part], block.records[part], strict=True), begin
        ):
            if len(cells) == width:
                yield Row(number, line, dict(zip(columns, cells)))  # noqa: B905  # strict costs a tenth
            else:
                yield Row(number, line, {}, self._error(number, line, cells))

    def _one_line_each(self, text: str, mark: Mark, octets: int) -> Block | None:
        """The block when no record takes more than a line and none is wrong: most files, and no step per row."""
        records: list[list[str]] = []
        reader = self._reader(text)
        try:
            records.extend(reader)
        except csv.Error:
            return None
        if reader.line_num != len(records):
            return None
        starts: Sequence[int] = range(mark.line, mark.line + len(records))
        if set(map(len, records)) != {len(self._columns)}:
            kept = [pair for pair in zip(starts, records, strict=True) if not self._blank(pair[1])]
            starts, records = [line for line, _ in kept], [cells for _, cells in kept]
        return Block(records, starts, octets, reader.line_num)

    def _any(self, text: str, mark: Mark, octets: int, last: bool) -> Block:
        """The block record by record."""
        records: list[list[str]] = []
        starts: list[int] = []
        reader = self._reader(text)
        while True:
            line = mark.line + reader.line_num
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                if _UNCLOSED in str(error):
                    before = list(StringIO(text, newline=""))[: line - mark.line]
                    if last:
                        raise self._unclosed(text[len("".join(before)) :], line) from None
                    return Block(records, starts, len("".join(before).encode()), line - mark.line)
                # With strict=True, and cells that fit, only text behind a closing quote is left.
                cells = Flawed()
            if isinstance(cells, Flawed) or not self._blank(cells):
                records.append(cells)
                starts.append(line)
        return Block(records, starts, octets, reader.line_num)

    def _reader(self, text: str) -> csv._reader:  # type: ignore[name-defined]
        return csv.reader(StringIO(text, newline=""), delimiter=self._delimiter, strict=True)

    def _blank(self, cells: list[str]) -> bool:
        return not cells or (len(cells) == 1 < len(self._columns) and not cells[0].strip())

    def _check_lengths(self, text: str, block: Block, mark: Mark) -> None:
        lines = list(StringIO(text, newline=""))[: block.lines]
        ends = [*block.starts[1:], mark.line + block.lines]
        for at, (start, end) in enumerate(zip(block.starts, ends, strict=True)):
            if len("".join(lines[start - mark.line : end - mark.line]).encode()) > MAX_ROW:
                raise self._too_long(Mark(mark.number + at, start, 0))

    def _too_long(self, mark: Mark, text: str = "") -> UsageError:
        opened = open_quote(text, self._delimiter)
        hint = "is the file CSV, with one row a line?"
        if opened is not None:
            hint = f"a quote opens in line {mark.line + opened} and is not closed: {_MEND_QUOTES}"
        return too_long(self._name, mark.line, mark.number, hint)

    def _unclosed(self, text: str, line: int) -> UsageError:
        opened = line + (open_quote(text, self._delimiter) or 0)
        return broken(
            self._name,
            opened,
            f"the file ends inside the quotes that open in line {opened}",
            f"{_MEND_QUOTES}; is the file complete?",
        )

    def _error(self, number: int, line: int, cells: list[str]) -> FlowpostError:
        where = f"row {number} (line {line})"
        if isinstance(cells, Flawed):
            return UsageError(
                f"{where} has text behind a closing quote",
                hint='write "" for a quote inside quotes, and nothing between the closing quote and the delimiter',
            )
        whose = "the header has" if self._header else "the columns given are"
        more = len(cells) > len(self._columns)
        delimiter = shown(self._delimiter)
        return UsageError(
            f"{where} has {counted(len(cells), 'field')}, {whose} {len(self._columns)}",
            hint=f"put a value that holds {delimiter} in double quotes"
            if more
            else f"write {delimiter} for an empty cell too, and put a value with a line end in double quotes",
        )


def whole_lines(data: bytes) -> int:
    """How many octets of ``data`` are whole lines, which end with LF, CR LF or CR (unless an LF may follow)."""
    line_feed = data.rfind(b"\n") + 1
    carriage_return = data.rfind(b"\r", line_feed, max(len(data) - 1, line_feed)) + 1
    return max(line_feed, carriage_return)


def allow_long_cells() -> None:
    """Raise the csv module's limit, which is the process's, beyond any window; nobody's larger one is lowered."""
    if csv.field_size_limit() < 4 * MAX_ROW:
        csv.field_size_limit(4 * MAX_ROW)


def open_quote(text: str, delimiter: str) -> int | None:
    """How many lines behind the beginning of ``text`` the quotes open that are not closed in it; None if none are."""
    token = re.compile(
        rf'(?P<quoted>"(?:[^"]|"")*+(?P<close>"?))|(?P<delimiter>{re.escape(delimiter)})|(?P<line>\r\n?|\n)'
        rf'|[^{re.escape(delimiter)}\r\n"]++|.'
    )
    line, position, begins = 0, 0, True
    while match := token.match(text, position):
        position = match.end()
        if match["quoted"] is None:
            line += match["line"] is not None
            begins = match["line"] is not None or match["delimiter"] is not None
        elif not begins:
            # A quote inside an unquoted cell is text: only the quote itself is read.
            position = match.start() + 1
        elif not match["close"]:
            return line
        else:
            line += len(_LINE_END.findall(match["quoted"]))
            begins = False
    return None
