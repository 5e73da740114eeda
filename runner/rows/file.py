"""A file of rows, opened: what it is called, how large it is, and its rows from any number on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from runner.errors import UsageError
from runner.rows.block import Block, Format, Mark
from runner.rows.content import Content, open_content
from runner.rows.kind import FORMATS, Kind, kind_of_file, said_format
from runner.rows.limits import BLOCK
from runner.rows.marks import Marks
from runner.rows.row import Row


def open_rows(
    source: str | Path,
    *,
    stdin: BinaryIO | None = None,
    spool: Path | None = None,
    format: str | None = None,  # noqa: A002  # what it is called on the command line
    delimiter: str | None = None,
    columns: Sequence[str] | None = None,
) -> RowFile:
    """Open a file of rows, or ``-`` for ``stdin`` (default: the process's). Blocks: call it in a thread.

    ``format`` is csv, tsv, ndjson, jsonl or json, else told by the name's ending, else by the first octets.
    ``delimiter`` and ``columns`` are for CSV: what separates cells, else found; the names, where no header is.
    ``spool`` is the folder in which a stream is kept while it is open.

    The whole file is hashed and checked to be text, and its first row is looked at. Raises UsageError for a file
    that cannot be read or has no rows.
    """
    word = said_format(format, str(source))
    content = open_content(source, stdin, spool, lines=None if word is None else FORMATS[word] != "json")
    try:
        kind = kind_of_file(content, word, delimiter, columns)
        file = RowFile(content, kind)
        if next(file.rows(1, 1), None) is None:
            after = " after its header" if kind.columns and columns is None else ""
            raise UsageError(f"{content.name} has no rows{after}", hint="give a file with at least one row")
    except BaseException:
        content.close()
        raise
    return file


class RowFile:
    """Rows that can be read again and again, by several threads, from any row on.

    Reading holds one block of the file (64 KiB, more where a row is longer) and remembers places that it passed.
    """

    def __init__(self, content: Content, kind: Kind) -> None:
        self._content = content
        self._form: Format = kind.form
        self._marks = Marks(kind.first)
        self._last: tuple[Mark, Block] | None = None
        self.name: str = content.name
        """The path as it was given, or ``standard input``."""
        self.format: str = kind.name
        """``csv``, ``ndjson`` or ``json``."""
        self.size: int = content.size
        """Octets."""
        self.digest: str = content.digest
        """SHA-256 of the octets (unpacked ones), in hexadecimal."""
        self.columns: tuple[str, ...] = kind.columns
        """The names of the columns of CSV; empty for JSON."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What was kept of standard input is gone."""
        self._last = None
        self._content.close()

    def changed(self) -> bool:
        """Whether the file was modified since it was opened: by its size, time and inode, then by its digest."""
        return self._content.changed()

    def rows(self, start: int = 1, stop: int | None = None) -> Iterator[Row]:
        """The rows with the numbers ``start`` to ``stop``, both included; all to the end without ``stop``.

        A row that is no good is a Row with ``error``. Raises UsageError where the file cannot be read on. A row that
        was passed before is found by a seek.
        """
        last = sys.maxsize if stop is None else stop
        mark = self._marks.before(start)
        while mark.number <= last and mark.offset < self.size:
            block = self._block(mark)
            after = block.after(mark)
            if after.number > start:
                yield from self._form.rows(block, mark, start, last)
            mark = after
            self._marks.note(mark)

    def _block(self, mark: Mark) -> Block:
        # A batch takes its rows in stretches that are shorter than a block.
        kept = self._last
        if kept is not None and kept[0] == mark:
            return kept[1]
        want = BLOCK
        while True:
            data = self._content.read(mark.offset, want)
            block = self._form.cut(data, mark, mark.offset + len(data) >= self.size)
            if block is not None:
                self._last = mark, block
                return block
            want *= 2
