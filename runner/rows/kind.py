"""Which format a file has, and where its first row begins."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from runner.errors import UsageError
from runner.rows.block import Format, Mark, broken
from runner.rows.content import Content
from runner.rows.limits import BLOCK
from runner.rows.words import shown

FORMATS = {"csv": "csv", "tsv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "json": "json"}
"""What a format may be called, as ``format`` or as a name's ending, and what it is."""

_ENDINGS = {**{f".{word}": word for word in FORMATS}, ".tab": "tsv"}
_SHEETS = (".xlsx", ".xls", ".ods", ".numbers")


class Kind(NamedTuple):
    """A format with all that the file's beginning told."""

    name: str
    form: Format
    first: Mark
    columns: tuple[str, ...] = ()


def kind_of_file(
    content: Content, word: str | None, delimiter: str | None, columns: Sequence[str] | None
) -> Kind:
    """The kind of a file that is said to be ``word``; UsageError when its beginning fits none."""
    start = len(codecs.BOM_UTF8) if content.read(0, 3) == codecs.BOM_UTF8 else 0
    line, head = _first_octets(content, start)
    if word is None:
        word = "json" if head.startswith(b"[") else "ndjson" if head.startswith(b"{") else "csv"
    if FORMATS[word] == "csv":
        from runner.rows.delimited import Delimited
        from runner.rows.header import read_header

        if delimiter is None and word == "tsv":
            delimiter = "\t"
        header = read_header(
            content.name,
            lambda octets: content.read(start, octets),
            start,
            delimiter=delimiter,
            columns=columns,
        )
        form = Delimited(content.name, header.columns, header.delimiter, header=columns is None)
        return Kind("csv", form, header.rows, header.columns)
    if delimiter is not None or columns is not None:
        raise UsageError(f"{content.name} is JSON: delimiter and columns are for CSV")
    first = Mark(1, 1, start)
    if FORMATS[word] == "json":
        from runner.rows.array import Array

        return Kind("json", Array(content.name), first)
    from runner.rows.ndjson import Ndjson

    _check_lines(content.name, line, head)
    return Kind("ndjson", Ndjson(content.name), first)


def said_format(word: str | None, source: str) -> str | None:
    """The key of FORMATS that was given or that the name's ending means; None: look inside. UsageError."""
    if word is not None:
        if word not in FORMATS:
            raise UsageError(f"{shown(word)} is no format of rows", hint=f"give one of {', '.join(FORMATS)}")
        return word
    path = PurePath(source.lower())
    ending = PurePath(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if ending in _SHEETS:
        raise UsageError(
            f"{source} is a workbook, expected CSV, NDJSON or JSON", hint="save the sheet as CSV UTF-8"
        )
    return _ENDINGS.get(ending)


def _first_octets(content: Content, start: int) -> tuple[int, bytes]:
    """The line of the first octet that is no white space, and the octets from there."""
    at, line = start, 1
    while data := content.read(at, BLOCK):
        if head := data.lstrip():
            begin = len(data) - len(head)
            return line + data.count(b"\n", 0, begin), content.read(at + begin, BLOCK)
        at += len(data)
        line += data.count(b"\n")
    raise UsageError(
        f"{content.name} is empty", hint="expected CSV with a header, NDJSON, or a JSON array of objects"
    )


def _check_lines(name: str, place: int, head: bytes) -> None:
    """UsageError when the file is JSON, but not one object a line."""
    line, ended, _ = head.partition(b"\n")
    if head.startswith(b"["):
        raise broken(
            name,
            place,
            "the file is an array, expected an object a line",
            "name it .json if it is a JSON array",
        )
    if line.strip() == b"{" and ended:
        raise broken(
            name,
            place,
            "an object goes over several lines, expected an object a line",
            "write the rows as a JSON array in a file named .json, or each object on one line",
        )
