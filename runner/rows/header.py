"""The beginning of a CSV file: ``sep=``, the delimiter, and the names of the columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from io import StringIO
from typing import NamedTuple

from runner.errors import UsageError
from runner.rows.block import Mark, broken, vanished
from runner.rows.delimited import allow_long_cells, open_quote, whole_lines
from runner.rows.limits import BLOCK, MAX_COLUMNS, MAX_ROW
from runner.rows.words import counted, shown

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_ROWS = 20
_SEP = re.compile(r"sep=([^\"\r\n])(?:\r\n?|\n|\Z)", re.IGNORECASE)
_JSON = re.compile(r"""\s*(?:\[\s*)?\{\s*(?:\}|"[^"\n]*"\s*:)""")
"""The begin of an object, or of an array of them, which no spreadsheet writes as its columns' names."""
_BLANK_LINES = re.compile(r"(?: *+(?:\r\n?|\n))*")
_RECORD = re.compile(r'(?:"[^"]*+"|[^"\r\n])*+')
_QUOTED = re.compile(r'"[^"]*+"')
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Header(NamedTuple):
    """The columns, what separates them, and where the first row begins."""

    columns: tuple[str, ...]
    delimiter: str
    rows: Mark


def read_header(
    name: str,
    read: Callable[[int], bytes],
    start: int,
    *,
    delimiter: str | None = None,
    columns: Sequence[str] | None = None,
) -> Header:
    """The header of the file whose content begins at octet ``start``.

    ``read(n)`` gives the first n octets from there, fewer at the file's end. ``delimiter`` is otherwise found;
    ``columns`` are the names where the file has no header. Raises UsageError for a file without usable columns.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UsageError(
            f"{shown(delimiter)} cannot be a delimiter", hint="give one character, for example ; or a tab"
        )
    allow_long_cells()
    want = BLOCK
    while True:
        data = read(want)
        last = len(data) < want
        end = len(data) if last else whole_lines(data)
        if end == 0 and len(data) > MAX_ROW:
            what = f"the header is longer than 1 MiB ({MAX_ROW:,} octets)"
            raise broken(name, 1, what, "is the file CSV, with one row a line?")
        try:
            text = data[:end].decode("utf-8")
        except UnicodeDecodeError:
            raise vanished(name) from None
        found = _parse(name, text, start, last or len(data) > MAX_ROW, delimiter, columns)
        if found is not None:
            return found
        want *= 2


def _parse(
    name: str, text: str, start: int, last: bool, delimiter: str | None, given: Sequence[str] | None
) -> Header | None:
    sep = _SEP.match(text)
    at = sep.end() if sep else 0
    at = _BLANK_LINES.match(text, at).end()  # type: ignore[union-attr]
    delimiter = delimiter or (sep[1] if sep else find_delimiter(text[at:]))
    line = 1 + sum(1 for _ in StringIO(text[:at], newline=""))
    if given is not None:
        columns = tuple(given)
        _check(columns, "the columns given")
        return Header(columns, delimiter, Mark(1, line, start + len(text[:at].encode())))
    if not text[at:].strip():
        if last:
            raise UsageError(
                f"{name} is empty", hint="expected a line with the columns' names, and a line for each row"
            )
        return None
    if _JSON.match(text, at):
        raise broken(
            name, line, "this is JSON and not CSV", "name the file .json or .ndjson, or give --data-format"
        )
    reader = csv.reader(StringIO(text[at:], newline=""), delimiter=delimiter, strict=True)
    try:
        columns = tuple(next(reader))
    except csv.Error:
        opened = open_quote(text[at:], delimiter)
        if opened is None:
            raise broken(
                name, line, "the header has text behind a closing quote", 'write "" for a quote inside quotes'
            ) from None
        if not last:
            return None
        what = f"the header opens quotes in line {line + opened} that are not closed"
        raise broken(name, line + opened, what, 'close them, or write "" for a quote inside quotes') from None
    _check(columns, f"{name}:{line}")
    if any(_MAIL.fullmatch(column.strip()) for column in columns):
        raise broken(
            name,
            line,
            "the first line looks like a row, not like a header: it holds an address",
            "write the columns' names in the first line, for example email,name",
        )
    header = list(StringIO(text[at:], newline=""))[: reader.line_num]
    octets = len((text[:at] + "".join(header)).encode())
    return Header(columns, delimiter, Mark(1, line + reader.line_num, start + octets))


def find_delimiter(text: str) -> str:
    """The delimiter that the first record of ``text`` holds most often outside quotes.

    Of two that it holds equally often, the one that cuts the rows below into as many cells as the header.
    """
    record = _RECORD.match(text)
    bare = _QUOTED.sub("", record[0] if record else "")
    counts = {char: bare.count(char) for char in DELIMITERS}
    most = max(counts.values())
    best = [char for char in DELIMITERS if counts[char] == most]
    if most == 0 or len(best) == 1:
        return best[0]
    return max(best, key=lambda char: _even(text, char))


def _even(text: str, delimiter: str) -> int:
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    widths = []
    try:
        for _ in range(_SAMPLE_ROWS + 1):
            if cells := next(reader, None):
                widths.append(len(cells))
    except csv.Error:
        pass
    return sum(width == widths[0] for width in widths)


def _check(columns: Sequence[str], where: str) -> None:
    if not 0 < len(columns) <= MAX_COLUMNS:
        raise UsageError(
            f"{where}: there are {counted(len(columns), 'column')}, a file has 1 to {MAX_COLUMNS:,}"
        )
    places: dict[str, list[int]] = {}
    for at, column in enumerate(columns, 1):
        places.setdefault(column, []).append(at)
    nameless = [at for at, column in enumerate(columns, 1) if not column.strip()]
    if nameless:
        word = "column" if len(nameless) == 1 else "columns"
        have = "has" if len(nameless) == 1 else "have"
        raise UsageError(
            f"{where}: {word} {_listed(nameless)} of {len(columns)} {have} no name",
            hint="name every column, or delete the empty ones (a delimiter at the line's end makes one)",
        )
    twice = [f"{shown(column)} (columns {_listed(at)})" for column, at in places.items() if len(at) > 1]
    if twice:
        raise UsageError(
            f"{where}: more than one column is named {', '.join(twice[:10])}",
            hint="give each column a name of its own",
        )


def _listed(places: Sequence[int]) -> str:
    words = [str(at) for at in places[:10]] + (["…"] if len(places) > 10 else [])
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
