"""What csv.writer and json.dumps wrote is read back the same."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from conftest import corpus, needs_corpora
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.rows import open_rows
from runner.rows.header import DELIMITERS

# NUL is refused; csv.writer of Python 3.11 leaves a bare CR unquoted.
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAME = st.text(
    st.characters(codec="utf-8", exclude_characters='\0@\r\n,;\t|"'), min_size=1, max_size=8
).filter(lambda name: name.strip() and not name.lower().startswith("sep="))
TABLE = st.lists(NAME, min_size=1, max_size=6, unique=True).flatmap(
    lambda columns: st.tuples(
        st.just(columns),
        st.lists(st.lists(CELL, min_size=len(columns), max_size=len(columns)), min_size=1, max_size=8),
    )
)


def written(columns: list[str], rows: list[list[str]], **dialect: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, **dialect)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def read(data: bytes, **options: Any) -> list[dict[str, Any]]:
    with open_rows("-", stdin=io.BytesIO(data), **options) as file:
        rows = list(file.rows())
    assert [row.error for row in rows] == [None] * len(rows)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    return [row.body for row in rows]


@settings(deadline=None, max_examples=300)
@given(
    table=TABLE,
    delimiter=st.sampled_from(DELIMITERS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    bom=st.booleans(),
    sep=st.booleans(),
)
def test_what_csv_wrote_is_read_back(
    table: tuple[list[str], list[list[str]]], delimiter: str, end: str, bom: bool, sep: bool
) -> None:
    columns, rows = table
    data = written(columns, rows, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    data = b"\xef\xbb\xbf" * bom + f"sep={delimiter}{end}".encode() * sep + data

    assert read(data, format="csv") == [dict(zip(columns, row, strict=True)) for row in rows]


@settings(deadline=None, max_examples=200)
@given(table=TABLE, delimiter=st.sampled_from(DELIMITERS))
def test_what_csv_wrote_with_as_few_quotes_as_it_may_is_read_back(
    table: tuple[list[str], list[list[str]]], delimiter: str
) -> None:
    columns, rows = table
    rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    data = written(columns, rows, delimiter=delimiter)

    expected = [dict(zip(columns, row, strict=True)) for row in rows]
    assert read(data, format="csv", delimiter=delimiter) == expected


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.dictionaries(CELL, VALUE, max_size=5), min_size=1, max_size=6),
    escaped=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
)
def test_what_json_wrote_is_read_back_from_lines_and_from_an_array(
    rows: list[dict[str, Any]], escaped: bool, indent: int | None
) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows).encode()
    array = json.dumps(rows, ensure_ascii=escaped, indent=indent).encode()

    assert read(lines, format="ndjson") == rows
    assert read(array, format="json") == rows


@settings(deadline=None, max_examples=500)
@given(data=st.binary(max_size=60) | st.text('a,;"\r\n{}[]:1\\u\t ', max_size=60).map(str.encode))
def test_any_octets_are_rows_or_a_refusal(data: bytes) -> None:
    for format in ("csv", "ndjson", "json", None):  # noqa: A001
        try:
            with open_rows("-", stdin=io.BytesIO(data), format=format) as file:
                rows = list(file.rows())
        except UsageError as error:
            assert error.message.isprintable()
        else:
            assert rows
            assert all((row.error is None) or row.body == {} for row in rows)


@needs_corpora
@pytest.mark.parametrize("name", ["blns", "injection"])
def test_hostile_strings_are_the_same_behind_csv_and_json(name: str) -> None:
    strings = [case["input"] for case in corpus(f"strings/{name}.jsonl") if isinstance(case["input"], str)]
    usable = [
        text
        for text in strings
        if "\0" not in text and text.isascii() | (text.encode("utf-8", "ignore").decode() == text)
    ]
    assert len(usable) > len(strings) * 0.8
    rows = [[str(at), text] for at, text in enumerate(usable)]

    expected = [{"n": number, "text": text} for number, text in rows]
    assert read(written(["n", "text"], rows, quoting=csv.QUOTE_ALL)) == expected
    assert read(json.dumps(expected).encode()) == expected
    assert read("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in expected).encode()) == expected
