"""Where the file is cut into blocks makes no difference: rows, lines, errors and seeks are the same."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.rows import Row, content, file, header, open_rows

CSV_TEXT = st.lists(
    st.sampled_from(
        ["a", "é", "😀", ",", '"', '""', ',"', '",', "\n", "\r\n", "\r", " ", "x,y\n", '"p\nq",r\r\n']
    ),
    max_size=60,
).map("".join)
JSON_TEXT = st.lists(
    st.sampled_from(
        [
            '{"a":1}',
            '{"é":"😀"}',
            ",",
            ", ",
            "\n",
            "[",
            "]",
            "{",
            '"x"',
            '{"a":"\\u00e4\\n"}',
            "tru",
            " ",
            '{"b":[1,{"c":-1.5e3}]}',
        ]
    ),
    max_size=30,
).map("".join)


@contextmanager
def blocks_of(octets: int) -> Iterator[None]:
    """Tiny blocks, and pieces of the first look that are as tiny: every border is met."""
    before = file.BLOCK, header.BLOCK, content._PIECE
    file.BLOCK, header.BLOCK, content._PIECE = octets, octets, max(octets, 4)
    try:
        yield
    finally:
        file.BLOCK, header.BLOCK, content._PIECE = before


def told(row: Row) -> tuple[object, ...]:
    return row.number, row.line, row.body, row.error and row.error.message


def outcome(data: bytes, kind: str) -> tuple[list[tuple[object, ...]], str]:
    """The rows up to the end, or up to the error of the file."""
    rows: list[tuple[object, ...]] = []
    try:
        with open_rows("-", stdin=io.BytesIO(data), format=kind) as opened:
            for row in opened.rows():
                rows.append(told(row))
            for first in (1, 2, len(rows) // 2, len(rows)):
                assert [told(row) for row in opened.rows(first, first + 1)] == rows[
                    max(first - 1, 0) : first + 1
                ]
    except UsageError as error:
        return rows, error.message
    return rows, ""


def check(data: bytes, kind: str, octets: int) -> None:
    rows, error = outcome(data, kind)
    with blocks_of(octets):
        piecewise, same = outcome(data, kind)
    # What stands in a block whose end cannot be read is not handed out.
    assert same == error
    assert piecewise[: len(rows)] == rows
    if not error:
        assert piecewise == rows


@settings(deadline=None, max_examples=400)
@given(text=CSV_TEXT, octets=st.integers(1, 40))
def test_csv_of_any_kind(text: str, octets: int) -> None:
    check(f"col,other\n{text}".encode(), "csv", octets)


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.tuples(*[st.text('a"\n\r,é', max_size=6)] * 3), min_size=1, max_size=12),
    octets=st.integers(1, 60),
)
def test_good_csv(rows: list[tuple[str, ...]], octets: int) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("a", "b\nb", "c"), *rows])
    with blocks_of(octets):
        got, error = outcome(text.getvalue().encode(), "csv")

    assert error == ""
    assert [tuple(body.values()) for _, _, body, _ in got] == rows  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=400)
@given(text=JSON_TEXT, octets=st.integers(1, 40))
def test_lines_of_any_kind(text: str, octets: int) -> None:
    check(f'{{"z":0}}\n{text}'.encode(), "ndjson", octets)


@settings(deadline=None, max_examples=400)
@given(text=JSON_TEXT, octets=st.integers(1, 40))
def test_arrays_of_any_kind(text: str, octets: int) -> None:
    check(f'[{{"z":0}}{text}'.encode(), "json", octets)


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(
        st.dictionaries(
            st.text(max_size=4), st.text(max_size=9) | st.floats(allow_nan=False) | st.none(), max_size=3
        ),
        min_size=1,
        max_size=9,
    ),
    indent=st.sampled_from([None, 1]),
    octets=st.integers(1, 60),
)
def test_good_arrays(rows: list[dict[str, object]], indent: int | None, octets: int) -> None:
    data = json.dumps(rows, ensure_ascii=False, indent=indent, allow_nan=True).encode("utf-8", "replace")
    if b"Infinity" in data:
        return
    with blocks_of(octets):
        got, error = outcome(data, "json")

    assert error == ""
    assert [body for _, _, body, _ in got] == json.loads(data)
