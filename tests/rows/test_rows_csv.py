"""CSV: dialects, quoting, line counting, and every way in which a file is no table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.rows import Row, RowFile, open_rows
from runner.rows.limits import BLOCK, MAX_ROW

Read = Callable[..., list[Row]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(data: bytes | str, **options: object) -> list[Row]:
        path = tmp_path / "contacts.csv"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        with open_rows(path, **options) as file:  # type: ignore[arg-type]
            return list(file.rows())

    return read


def bodies(rows: list[Row]) -> list[dict[str, object]]:
    assert [row.error for row in rows] == [None] * len(rows)
    return [row.body for row in rows]


def refused(read: Read, data: bytes | str, **options: object) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        read(data, **options)
    return caught.value.message.rpartition("/")[2], caught.value.hint or ""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a,b\n1,2\n3,4\n", id="lf"),
        pytest.param("a,b\r\n1,2\r\n3,4\r\n", id="crlf"),
        pytest.param("a,b\r1,2\r3,4\r", id="cr"),
        pytest.param("a,b\n1,2\r\n3,4", id="mixed-and-no-end"),
        pytest.param("\ufeffa,b\n1,2\n3,4\n", id="bom"),
        pytest.param("a;b\n1;2\n3;4\n", id="semicolon"),
        pytest.param("a\tb\n1\t2\n3\t4\n", id="tab"),
        pytest.param("a|b\n1|2\n3|4\n", id="pipe"),
        pytest.param("sep=;\r\na;b\r\n1;2\r\n3;4\r\n", id="excels-sep"),
        pytest.param("\ufeffSEP=^\na^b\n1^2\n3^4\n", id="bom-and-a-rare-sep"),
        pytest.param('"a","b"\n"1","2"\n"3","4"\n', id="all-quoted"),
        pytest.param("\n\na,b\n\n1,2\n\n\n3,4\n\n", id="blank-lines"),
        pytest.param("a,b\n   \n1,2\n3,4\n \t \n", id="lines-of-white-space"),
    ],
)
def test_one_table_in_many_dialects_is_one_table(read: Read, text: str) -> None:
    assert bodies(read(text)) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        pytest.param('"a,b,c";d', "1;2", {"a,b,c": "1", "d": "2"}, id="delimiters-in-quotes-do-not-count"),
        pytest.param("a,b;c", "1;2", {"a,b": "1", "c": "2"}, id="a-tie-is-settled-by-the-rows-below"),
        pytest.param("a;b;c,d", "1;2;3", {"a": "1", "b": "2", "c,d": "3"}, id="the-most-frequent-wins"),
        pytest.param("full name", "a;b", {"full name": "a;b"}, id="one-column-has-no-delimiter"),
    ],
)
def test_the_delimiter_is_found_in_the_header(
    read: Read, header: str, row: str, expected: dict[str, str]
) -> None:
    assert bodies(read(f"{header}\n{row}\n{row}\n")) == [expected, expected]


def test_a_delimiter_that_is_given_wins_over_the_one_that_is_found(read: Read) -> None:
    assert bodies(read("a;b,c\n1;2,3\n", delimiter=",")) == [{"a;b": "1;2", "c": "3"}]


def test_columns_that_are_given_make_the_first_line_a_row(read: Read) -> None:
    assert bodies(read("1,2\n3,4\n", columns=["x", "y"])) == [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}]


def test_a_tsv_is_cut_at_tabs_whatever_else_its_header_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("a,b,c\td\n1\t2\n")
    with open_rows(path) as file:
        assert file.columns == ("a,b,c", "d")


def test_quoted_cells_keep_delimiters_quotes_and_line_ends(read: Read) -> None:
    rows = read('a,b\n"x, ""y""","one\r\ntwo\nthree\rfour"\n')

    assert bodies(rows) == [{"a": 'x, "y"', "b": "one\r\ntwo\nthree\rfour"}]


def test_a_quote_inside_an_unquoted_cell_is_text(read: Read) -> None:
    assert bodies(read('a,b\n5" pipe,say "hi"\n')) == [{"a": '5" pipe', "b": 'say "hi"'}]


@pytest.mark.parametrize(
    "cell",
    [
        "  x  ",
        "\tx",
        "=1+1",
        "@SUM(A1)",
        "+49 170",
        "-5",
        "'042",
        "042",
        "\x1b[31m",
        "\u2028",
        "\x0b",
        "\x85",
    ],
)
def test_a_cell_is_kept_as_it_is(read: Read, cell: str) -> None:
    assert bodies(read(f"a;b\n{cell};z\n")) == [{"a": cell, "b": "z"}]


def test_rows_know_the_physical_line_they_begin_at(read: Read) -> None:
    rows = read('\na,b\r\n1,2\r\n\r\n"x\ny\r\nz",2\n3,4\n5\n6,7')

    assert [(row.number, row.line, row.error is None) for row in rows] == [
        (1, 3, True),
        (2, 5, True),
        (3, 8, True),
        (4, 9, False),
        (5, 10, True),
    ]


def test_a_ragged_row_is_told_with_its_place_and_the_rows_after_it_are_read(read: Read) -> None:
    rows = read("a,b\n1,2\n1,2,3\n1\n5,6\n")

    assert [row.error and (row.error.message, row.body) for row in rows] == [
        None,
        ("row 2 (line 3) has 3 fields, the header has 2", {}),
        ("row 3 (line 4) has 1 field, the header has 2", {}),
        None,
    ]
    assert rows[1].error is not None
    assert "double quotes" in (rows[1].error.hint or "")


def test_text_behind_a_closing_quote_spoils_its_row_only(read: Read) -> None:
    rows = read('a,b\n"Ann" Doe,x\n1,2\n')

    assert rows[0].error is not None
    assert rows[0].error.message.startswith("row 1 (line 2) has text behind a closing quote")
    assert rows[1].body == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("data", "says", "hint"),
    [
        pytest.param("", "contacts.csv is empty", "header", id="no-octet"),
        pytest.param("\ufeff", "contacts.csv is empty", "header", id="only-a-bom"),
        pytest.param("\n \r\n\n", "contacts.csv is empty", "header", id="only-blank-lines"),
        pytest.param("a,b", "contacts.csv has no rows after its header", "at least one", id="header-only"),
        pytest.param("a,b\n\n\n", "contacts.csv has no rows after its header", "at least one", id="header-and-blank"),
        pytest.param("a,b,a\n1,2,3", 'contacts.csv:1: more than one column is named "a" (columns 1 and 3)', "own", id="twice"),
        pytest.param("\n\na,,b,\n1,2,3,4", "contacts.csv:3: columns 2 and 4 of 4 have no name", "end", id="nameless"),
        pytest.param("a, \n1,2", "contacts.csv:1: column 2 of 2 has no name", "name", id="named-by-a-blank"),
        pytest.param("ann@example.com,Ann\nbob@example.com,Bob", "contacts.csv:1: the first line looks like a row, not like a header: it holds an address", "names", id="no-header"),
        pytest.param(",".join(f"c{at}" for at in range(1001)) + "\n", "contacts.csv:1: there are 1,001 columns, a file has 1 to 1,000", "", id="too-many-columns"),
        pytest.param('a,b\n1,2\n3,"4\n5,6\n', "contacts.csv:3: the file ends inside the quotes that open in line 3", "complete", id="open-quote"),
        pytest.param('a,b\n1,2\n"3\n3","4\n5,6\n', "contacts.csv:4: the file ends inside the quotes that open in line 4", "close", id="open-quote-on-a-later-line"),
        pytest.param('a,"b\n1,2\n', "contacts.csv:1: the header opens quotes in line 1 that are not closed", "close", id="open-quote-in-header"),
        pytest.param('a,"b"c\n1,2\n', "contacts.csv:1: the header has text behind a closing quote", "quote", id="bad-header"),
        pytest.param(b"a,b\n1,2\nx,Z\xfcrich\n", "contacts.csv:3: the octet 0xfc at offset 11 is not UTF-8", "iconv -f WINDOWS-1252", id="latin-1"),
        pytest.param(b"a,b\r1,2\rx,Z\xfcrich\n", "contacts.csv:3: the octet 0xfc at offset 11 is not UTF-8", "iconv", id="latin-1-in-a-file-of-cr"),
        pytest.param(b"a,b\n1,\xed\xa0\x80\n", "contacts.csv:2: the octet 0xed at offset 6 is not UTF-8", "save", id="surrogate"),
        pytest.param(b"a,b\n1,\xe2\x82", "contacts.csv:2: the octet 0xe2 at offset 6 begins a character of UTF-8 that the file's end cuts off", "save", id="cut-character"),
        pytest.param("a,b\n1,2\n".encode("utf-16"), "contacts.csv is UTF-16, expected UTF-8", "iconv -f UTF-16", id="utf-16"),
        pytest.param("a,b\n1,2\n".encode("utf-32"), "contacts.csv is UTF-32, expected UTF-8", "iconv -f UTF-32", id="utf-32"),
        pytest.param("a,b\n1,2\n".encode("utf-16le"), "contacts.csv:1: the octet 0x00 at offset 1 is NUL, which no row may hold", "UTF-16", id="utf-16-without-bom"),
        pytest.param(b"a,b\n1,2\n1,\0\n" + b"x,y\n" * 50, "contacts.csv:3: the octet 0x00 at offset 10 is NUL, which no row may hold", "UTF-8", id="nul"),
        pytest.param(b"PK\x03\x04\x14\x00", "contacts.csv is an Excel workbook or another zip archive, expected CSV, NDJSON or JSON", "CSV UTF-8", id="xlsx"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_with_its_place(
    read: Read, data: bytes | str, says: str, hint: str
) -> None:
    message, told = refused(read, data)

    assert message == says
    assert hint in told


def test_a_name_from_the_file_shows_no_control_character(read: Read) -> None:
    message, _ = refused(read, "\x1b[2J,\x1b[2J\n1,2\n")

    assert message.isprintable()


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_what_cannot_be_a_delimiter_is_refused(read: Read, delimiter: str) -> None:
    assert "cannot be a delimiter" in refused(read, "a,b\n1,2\n", delimiter=delimiter)[0]


def test_a_row_of_exactly_one_mebibyte_is_read(read: Read) -> None:
    cell = "x" * (MAX_ROW - 3)

    assert bodies(read(f"a,b\n1,2\n{cell},2\n3,4\n"))[1]["a"] == cell


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("x" * (MAX_ROW - 2) + ",2\n", id="a-line"),
        pytest.param('"' + "x\n" * (MAX_ROW // 2) + '",2\n', id="quoted-lines"),
        pytest.param("ü" * (MAX_ROW // 2) + ",2\n", id="octets-count-not-characters"),
        pytest.param(",\n" + "y" * (3 * MAX_ROW) + ",2\n", id="far-beyond"),
    ],
)
def test_a_row_of_more_than_one_mebibyte_is_an_error_of_the_file(read: Read, row: str) -> None:
    message, _ = refused(read, f"a,b\n1,2\n{row}3,4\n")

    assert "1 MiB" in message
    assert message.startswith(f"contacts.csv:{4 if row.startswith(',') else 3}: ")


def test_a_quote_that_swallows_the_file_is_told_by_the_line_it_opens_in(read: Read) -> None:
    message, hint = refused(read, 'a,b\n1,2\n3,"4\n' + "5,6\n" * 600_000)

    assert message == "contacts.csv:3: row 2 is longer than 1 MiB (1,048,576 octets)"
    assert "a quote opens in line 3" in hint


def test_a_header_of_more_than_one_mebibyte_is_refused(read: Read) -> None:
    assert "longer than" in refused(read, "a" * (3 * MAX_ROW) + "\n1\n")[0]


def many(path: Path, rows: int) -> list[dict[str, str]]:
    """A file of several blocks, in which rows cross every border: quoted line ends, blank lines, not only ASCII."""
    written = [
        {"email": f"u{at}@example.com", "note": "zeile\nzwei\r\n" * (at % 7), "name": "Zoë " * (at % 5)}
        for at in range(rows)
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["email", "note", "name"])
    writer.writeheader()
    for at, row in enumerate(written):
        writer.writerow(row)
        if at % 11 == 0:
            text.write("\r\n")
    path.write_bytes(text.getvalue().encode())
    return written


@pytest.fixture
def large(tmp_path: Path) -> Iterator[tuple[RowFile, list[dict[str, str]]]]:
    written = many(tmp_path / "large.csv", 9_000)
    with open_rows(tmp_path / "large.csv") as file:
        assert file.size > 6 * BLOCK
        yield file, written


def test_rows_that_cross_blocks_are_whole(large: tuple[RowFile, list[dict[str, str]]]) -> None:
    file, written = large
    assert bodies(list(file.rows())) == written


def test_lines_are_counted_across_blocks(large: tuple[RowFile, list[dict[str, str]]], tmp_path: Path) -> None:
    file, _ = large
    lines = list(io.StringIO((tmp_path / "large.csv").read_bytes().decode(), newline=""))
    wrong = [row for row in file.rows() if not lines[row.line - 1].startswith(f"u{row.number - 1}@")]

    assert wrong == []


@pytest.mark.parametrize("passed", [False, True], ids=["first-time", "second-time"])
@pytest.mark.parametrize("start", [1, 2, 499, 500, 501, 4_321, 8_999, 9_000, 9_001, 20_000])
def test_reading_from_a_row_on_gives_what_reading_all_gives(
    large: tuple[RowFile, list[dict[str, str]]], start: int, passed: bool
) -> None:
    file, _ = large
    with open_rows(file.name) as other:
        everything = list(other.rows())
    if passed:
        list(file.rows())

    assert list(file.rows(start)) == everything[start - 1 :]
    assert list(file.rows(start, start + 9)) == everything[start - 1 : start + 9]


@pytest.mark.parametrize("start", [1, 2_222, 8_990])
def test_going_to_a_row_that_was_passed_reads_one_block_at_most(
    large: tuple[RowFile, list[dict[str, str]]], start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = large
    list(file.rows())
    offsets: list[int] = []
    read = file._content.read
    monkeypatch.setattr(
        file._content, "read", lambda offset, octets: offsets.append(offset) or read(offset, octets)
    )

    assert next(file.rows(start, start)).number == start
    assert len(offsets) <= 1


@pytest.mark.parametrize(("start", "stop"), [(5, 4), (5_000, 3), (1, 0), (9_001, None)])
def test_a_range_without_rows_is_empty(
    large: tuple[RowFile, list[dict[str, str]]], start: int, stop: int | None
) -> None:
    file, _ = large
    list(file.rows())

    assert list(file.rows(start, stop)) == []


def test_two_readings_at_once_do_not_disturb_each_other(large: tuple[RowFile, list[dict[str, str]]]) -> None:
    file, written = large
    pairs = list(zip(file.rows(1, 5_000), file.rows(3_001, 8_000), strict=True))

    assert [(one.body, other.body) for one, other in pairs] == list(
        zip(written[:5_000], written[3_000:8_000], strict=True)
    )


def test_a_larger_limit_of_the_csv_module_stays(read: Read) -> None:
    """The module's limit is the whole process's; a larger one that another library set stays."""
    before = csv.field_size_limit(50 * MAX_ROW)
    try:
        read("a,b\n1,2\n")

        assert csv.field_size_limit() == 50 * MAX_ROW
    finally:
        csv.field_size_limit(before)
