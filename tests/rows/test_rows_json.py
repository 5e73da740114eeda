"""NDJSON and JSON arrays: what is a row, what is a bad row, and what is no file of rows."""

from __future__ import annotations

import io
import json

import pytest

from runner.errors import UsageError
from runner.rows import Row, open_rows
from runner.rows.limits import BLOCK, MAX_ROW


def read(text: str | bytes, kind: str | None = None) -> list[Row]:
    data = text.encode() if isinstance(text, str) else text
    with open_rows("-", stdin=io.BytesIO(data), format=kind) as file:
        return list(file.rows())


BAD_RECORDS = [
    pytest.param('{"a": 1, "a": 2}', 'holds the key "a" twice', id="key-twice"),
    pytest.param('{"a": {"b": 1, "b": 1}}', 'holds the key "b" twice', id="inner-key-twice"),
    pytest.param('{"a": NaN}', "holds NaN, which is no number of JSON", id="nan"),
    pytest.param('{"a": [-Infinity]}', "holds -Infinity, which is no number of JSON", id="infinity"),
    pytest.param('{"a": 1e999}', "holds a number that is too large", id="beyond-a-double"),
    pytest.param('{"a": ' + "9" * 4001 + "}", "holds a number of more than 4,000 digits", id="digits"),
    pytest.param(
        '{"a": ' + "9" * 5000 + "}", "holds a number of more than 4,000 digits", id="pythons-own-limit"
    ),
    pytest.param('{"a": "\\ud800"}', "holds half of a surrogate pair", id="lone-surrogate"),
    pytest.param('{"\\udc00": 1}', "holds half of a surrogate pair", id="lone-surrogate-in-a-key"),
    pytest.param('{"a": ' + "[" * 64 + "]" * 64 + "}", "is nested more than 64 levels deep", id="deep"),
    pytest.param("[1]", "is a list, expected an object", id="list"),
    pytest.param('"x"', "is a text, expected an object", id="text"),
    pytest.param("null", "is null, expected an object", id="null"),
    pytest.param("12", "is a number, expected an object", id="number"),
]

GOOD = [
    {"email": "ann@example.com", "n": 1, "f": 0.5, "t": True, "z": None, "list": [1, {"x": []}]},
    {
        "email": "zoë@example.com",
        "😀": "\U0001f600",
        "quoted": '"',
        "slash": "\\",
        "esc": "\\u",
        "lines": "a\nb",
    },
    {},
    {"deep": json.loads("[" * 63 + "]" * 63), "digits": 10**3999, "brackets": "[" * 200},
]


@pytest.mark.parametrize("kind", ["ndjson", "json"])
@pytest.mark.parametrize("escaped", [True, False], ids=["escapes", "as-it-is"])
def test_what_json_wrote_is_read_back(kind: str, escaped: bool) -> None:
    if kind == "json":
        text = json.dumps(GOOD, ensure_ascii=escaped, indent=2)
    else:
        text = "".join(json.dumps(row, ensure_ascii=escaped) + "\r\n" for row in GOOD)

    rows = read(text)

    assert [row.body for row in rows] == GOOD
    assert [row.error for row in rows] == [None] * len(GOOD)


@pytest.mark.parametrize(("record", "says"), BAD_RECORDS)
def test_a_bad_record_of_ndjson_is_a_row_with_an_error(record: str, says: str) -> None:
    rows = read(f'{{"a": 0}}\n{record}\n{{"a": 3}}\n', "ndjson")

    assert rows[1].error is not None
    assert rows[1].error.message == f"row 2 (line 2) {says}"
    assert (rows[1].body, rows[1].error.hint is not None) == ({}, True)
    assert (rows[0].body, rows[2].body) == ({"a": 0}, {"a": 3})


@pytest.mark.parametrize(("record", "says"), BAD_RECORDS)
def test_a_bad_record_of_an_array_is_a_row_with_an_error(record: str, says: str) -> None:
    rows = read(f'[{{"a": 0}},\n {record} ,\n{{"a": 3}}]', "json")

    assert rows[1].error is not None
    assert rows[1].error.message == f"row 2 (line 2) {says}"
    assert (rows[0].body, rows[2].body) == ({"a": 0}, {"a": 3})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param('{"a": 1', "is not JSON: column 8", id="cut-off"),
        pytest.param("{'a': 1}", "is not JSON: column 2", id="single-quotes"),
        pytest.param('{"a": 1,}', "is not JSON: column 9", id="comma-at-the-end"),
        pytest.param('{"a": "x\ty"}', "is not JSON: column 9: invalid control character", id="raw-tab"),
        pytest.param('{"a": 1} {"a": 2}', "has text behind its object, at column 9", id="two-objects"),
        pytest.param('{"a": 1},', "has text behind its object, at column 9", id="comma-behind"),
        pytest.param("a@example.com,Ann", "is not JSON: column 1", id="csv"),
        pytest.param("[" * 50_000, "is nested more than 64 levels deep", id="bomb"),
        pytest.param('{"a":' * 50_000, "is nested more than 64 levels deep", id="bomb-of-objects"),
    ],
)
def test_a_line_that_is_no_json_spoils_its_row_only(line: str, says: str) -> None:
    rows = read(f'{{"a": 0}}\n\n{line}\n{{"a": 3}}\n')

    assert rows[1].error is not None
    assert rows[1].error.message.startswith(f"row 2 (line 3) {says}")
    assert rows[2] == Row(3, 4, {"a": 3})


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        pytest.param('[{"a":1},\n{"a":2', None, "standard input:2: the file ends in the middle of the array, in row 2", id="cut-in-a-row"),
        pytest.param('[{"a":1},\n{"a":"2', None, "standard input:2: the file ends in the middle of the array, in row 2", id="cut-in-a-text"),
        pytest.param('[{"a":1},\n', None, "standard input:2: the file ends in the middle of the array, after 1 row", id="cut-behind-a-comma"),
        pytest.param('[{"a":1}\n', None, "standard input:2: the file ends in the middle of the array, after 1 row", id="cut-before-the-bracket"),
        pytest.param("[", None, "standard input:1: the file ends in the middle of the array, after 0 rows", id="only-a-bracket"),
        pytest.param("[]", None, "standard input has no rows", id="empty-array"),
        pytest.param("[1, 2]", None, "standard input:1: the first element of the array is a number, expected an object", id="numbers"),
        pytest.param("[[1], [2]]", None, "standard input:1: the first element of the array is a list, expected an object", id="lists"),
        pytest.param('{"a": 1}', "json", "standard input:1: the file begins with an object, expected an array of objects", id="object"),
        pytest.param('"x"', "json", "standard input:1: the file is not a JSON array", id="text"),
        pytest.param("a,b\n1,2\n", "json", "standard input:1: the file is not a JSON array", id="csv"),
        pytest.param('[{"a":1} {"a":2}]', None, "standard input:1: row 1 is followed by neither a comma nor ]", id="no-comma"),
        pytest.param('[{"a":1},\n{"a" 2},{"a":3},{"a":"a long one"}]', None, "standard input:2: row 2 is not JSON: expecting ':' delimiter (octet 16)", id="syntax"),
        pytest.param('[{"a":1}]\n]', None, "standard input:2: there is text behind the end of the array", id="behind-the-end"),
        pytest.param('[{"a":1}][{"a":2}]', None, "standard input:1: there is text behind the end of the array", id="two-arrays"),
        pytest.param('[{"a":1},]', None, "standard input:1: row 2 is not JSON: expecting value (octet 10)", id="comma-at-the-end"),
        pytest.param('[\n{"a":1},\n' + '{"a":' * 50_000, None, "standard input:3: row 2 is nested more than 64 levels deep", id="bomb"),
        pytest.param('[{"a":1}]', "ndjson", "standard input:1: the file is an array, expected an object a line", id="array-as-ndjson"),
        pytest.param('{\n"a":1}\n', None, "standard input:1: an object goes over several lines, expected an object a line", id="pretty-object"),
        pytest.param(" \n ", "json", "standard input is empty", id="blank"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_of_objects_is_refused_with_its_place(
    text: str, kind: str | None, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(text, kind)

    assert caught.value.message == says
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["ndjson", "json"])
def test_a_row_of_exactly_one_mebibyte_is_read(kind: str) -> None:
    row = '{"a":"' + "x" * (MAX_ROW - 8) + '"}'
    text = row + "\n" if kind == "ndjson" else f"[{row}]"

    assert len(read(text, kind)[0].body["a"]) == MAX_ROW - 8


@pytest.mark.parametrize("kind", ["ndjson", "json"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * (MAX_ROW - 7), id="by-an-octet"),
        pytest.param("ü" * (MAX_ROW // 2), id="in-octets"),
        pytest.param("x" * (5 * MAX_ROW), id="by-far"),
    ],
)
def test_a_row_of_more_than_one_mebibyte_is_an_error_of_the_file(kind: str, value: str) -> None:
    row = '{"a":"' + value + '"}'
    text = f'{{"a":1}}\n{row}\n' if kind == "ndjson" else f'[{{"a":1}},\n{row}]'

    with pytest.raises(UsageError, match=r"^standard input:2: .*1 MiB"):
        read(text, kind)


@pytest.mark.parametrize("kind", ["ndjson", "json"])
@pytest.mark.parametrize("indent", [None, 1], ids=["dense", "airy"])
def test_any_part_of_a_large_file_is_what_reading_all_gives(kind: str, indent: int | None) -> None:
    written = [{"n": at, "name": "Zoë 😀" * (at % 40), "list": [at] * (at % 5)} for at in range(5_000)]
    if kind == "json":
        text = "\n\n" + json.dumps(written, ensure_ascii=False, indent=indent) + "\n \n"
    else:
        text = ("\n" * (indent or 0)).join(json.dumps(row, ensure_ascii=False) + "\n" for row in written)
    assert len(text.encode()) > 5 * BLOCK
    lines = text.split("\n")

    with open_rows("-", stdin=io.BytesIO(text.encode())) as file:
        late = list(file.rows(4_000, 4_009))
        rows = list(file.rows())
        again = list(file.rows(4_000, 4_009))

    assert [row.body for row in rows] == written
    assert late == again == rows[3_999:4_009]
    if indent or kind == "ndjson":
        assert all(lines[row.line - 1].lstrip(" ").startswith("{") for row in rows)
        assert len({row.line for row in rows}) == len(rows)


@pytest.mark.parametrize("gap", [BLOCK - 20, BLOCK, 3 * BLOCK, 40 * BLOCK])
def test_white_space_of_any_length_stands_before_the_array_and_its_rows(gap: int) -> None:
    rows = read(" " * gap + "[\n" + " " * gap + '{"a":1}\n,' + "\n" * gap + '{"a":2}]' + " " * gap)

    assert [row.body for row in rows] == [{"a": 1}, {"a": 2}]
    assert [row.line for row in rows] == [2, 3 + gap]


def test_an_array_cut_off_anywhere_is_never_taken_for_a_whole_one() -> None:
    data = '[{"a": "\\u00e4é", "b": true}, {"a": -1.5e3, "b": [null]}]'.encode()
    assert len(read(data)) == 2

    for octets in range(len(data)):
        with pytest.raises(UsageError):
            read(data[:octets], "json")
