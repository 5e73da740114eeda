"""Cells become what the flow's schema wants, when they are written exactly so."""

from __future__ import annotations

from typing import Any

import pytest

from runner.rows import coercer
from runner.schema.body import unaudited_checker

LEFT_OUT = object()


def coerced(column: Any, cell: str) -> object:
    return coercer({"type": "object", "properties": {"c": column}})({"c": cell, "other": "1"}).get(
        "c", LEFT_OUT
    )


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("integer", "42", 42),
        ("integer", "-7", -7),
        ("integer", "0", 0),
        ("integer", "042", "042"),
        ("integer", "+49", "+49"),
        ("integer", " 42", " 42"),
        ("integer", "1,000", "1,000"),
        ("integer", "1_000", "1_000"),
        ("integer", "1.0", "1.0"),
        ("integer", "1e3", "1e3"),
        ("integer", "٤٢", "٤٢"),
        ("integer", "9" * 4000, 10**4000 - 1),
        ("integer", "9" * 4001, "9" * 4001),
        ("integer", "", LEFT_OUT),
        ("number", "42", 42),
        ("number", "3.5", 3.5),
        ("number", "-1.5e-3", -0.0015),
        ("number", "3,5", "3,5"),
        ("number", ".5", ".5"),
        ("number", "5.", "5."),
        ("number", "1e999", "1e999"),
        ("number", "nan", "nan"),
        ("number", "Infinity", "Infinity"),
        ("number", "0x10", "0x10"),
        ("number", "", LEFT_OUT),
        ("boolean", "true", True),
        ("boolean", "TRUE", True),
        ("boolean", "False", False),
        ("boolean", "FALSE", False),
        ("boolean", "1", "1"),
        ("boolean", "yes", "yes"),
        ("boolean", "", LEFT_OUT),
        ("null", "null", None),
        ("null", "NULL", "NULL"),
        ("null", "", LEFT_OUT),
        ("array", "[1]", "[1]"),
        ("array", "", LEFT_OUT),
        ("string", "42", "42"),
        ("string", "true", "true"),
        ("string", "", ""),
    ],
    ids=lambda value: "left-out" if value is LEFT_OUT else str(value)[:12],
)
def test_a_cell_becomes_its_columns_type(kind: str, cell: str, value: object) -> None:
    result = coerced({"type": kind}, cell)

    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        pytest.param({"type": ["integer", "null"]}, "5", 5, id="two-types"),
        pytest.param({"type": ["integer", "null"]}, "null", None, id="or-null"),
        pytest.param({"type": ["integer", "string"]}, "5", "5", id="text-allowed-stays-text"),
        pytest.param({"type": ["string", "null"]}, "", "", id="text-or-null-stays-text"),
        pytest.param({"type": ["boolean", "number"]}, "true", True, id="boolean-or-number"),
        pytest.param({"type": ["integer", "number"]}, "2.5", 2.5, id="integer-or-number"),
        pytest.param({"enum": [1, 2, 3]}, "2", 2, id="enum-of-numbers"),
        pytest.param({"enum": ["1", 2]}, "2", "2", id="enum-with-a-text"),
        pytest.param({"const": True}, "true", True, id="const"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "2", 2, id="any-of"),
        pytest.param({"oneOf": [{"type": "integer"}, {"minLength": 2}]}, "2", "2", id="one-of-untyped"),
        pytest.param({"allOf": [{"minimum": 1}, {"type": "integer"}]}, "2", 2, id="all-of"),
        pytest.param({"$ref": "#/properties/c"}, "2", "2", id="a-reference-to-itself"),
        pytest.param({"$ref": "https://example.com/x"}, "2", "2", id="a-reference-elsewhere"),
        pytest.param({}, "2", "2", id="no-type"),
        pytest.param({}, "", "", id="no-type-empty"),
        pytest.param(True, "2", "2", id="true-schema"),
    ],
)
def test_a_columns_type_is_found_wherever_the_schema_says_it(column: Any, cell: str, value: object) -> None:
    assert coerced(column, cell) == value


def test_a_local_reference_is_followed() -> None:
    schema = {"properties": {"age": {"$ref": "#/$defs/years"}}, "$defs": {"years": {"type": "integer"}}}

    assert coercer(schema)({"age": "7"}) == {"age": 7}


def test_a_dotted_column_is_a_plain_key() -> None:
    schema = {
        "properties": {
            "address.city": {"type": "integer"},
            "address": {"properties": {"zip": {"type": "integer"}}},
        }
    }

    assert coercer(schema)({"address.city": "5", "address.zip": "7"}) == {
        "address.city": 5,
        "address.zip": "7",
    }


def test_the_row_is_not_changed_and_keeps_its_order() -> None:
    row = {"a": "1", "b": "", "c": "x"}

    result = coercer(
        {"properties": {"a": {"type": "integer"}, "b": {"type": "number"}, "z": {"type": "null"}}}
    )(row)

    assert row == {"a": "1", "b": "", "c": "x"}
    assert list(result.items()) == [("a", 1), ("c", "x")]


@pytest.mark.parametrize(
    "schema", [None, True, {}, {"properties": {}}], ids=["none", "true", "empty", "no-columns"]
)
def test_without_a_schema_every_cell_stays(schema: Any) -> None:
    assert coercer(schema)({"a": "1", "b": ""}) == {"a": "1", "b": ""}


def test_what_stays_text_is_what_the_schema_complains_about() -> None:
    schema = {"properties": {"plz": {"type": "integer"}}, "required": ["plz"]}
    check = unaudited_checker(schema).problems

    assert check(coercer(schema)({"plz": "1010"})) == []
    assert check(coercer(schema)({"plz": "01067"})) != []
    assert check(coercer(schema)({"plz": ""})) != []
