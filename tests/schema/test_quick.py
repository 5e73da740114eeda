"""The short way to "valid" never says more than the checker that explains."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.schema import body_checker
from runner.schema.quick import quick

LEAVES: list[Any] = [
    True,
    {},
    {"type": "string"},
    {"type": "string", "format": "email", "description": "whom"},
    {"type": "string", "format": "date"},
    {"type": "string", "minLength": 2, "maxLength": 4},
    {"type": "string", "enum": ["a", "true", "é"]},
    {"type": "integer"},
    {"type": "integer", "minimum": 0, "maximum": 9},
    {"type": "number", "minimum": -1.5},
    {"type": "boolean"},
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "true", "é", "ann@example.com", "2026-02-29", "2026-02-28", "😀😀", "x" * 5]),
    st.lists(st.integers(), max_size=2),
)


@settings(deadline=None)
@given(
    leaves=st.lists(st.sampled_from(LEAVES), min_size=3, max_size=3),
    required=st.lists(st.sampled_from(["a", "b", "d"]), unique=True),
    extra=st.booleans(),
    value=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), VALUES),
)
def test_what_it_calls_valid_has_no_problem(
    leaves: list[Any], required: list[str], extra: bool, value: dict[str, Any]
) -> None:
    schema = {
        "type": "object",
        "properties": dict(zip("abc", leaves, strict=True)),
        "required": required,
        "additionalProperties": extra,
    }
    test = quick(schema)
    assert test is not None
    problems = body_checker(schema).problems(value)
    assert not (test(value) and problems), problems
    assert body_checker(schema).valid(value) is not bool(problems)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "array"},
        {"type": "object", "patternProperties": {}},
        {"type": "object", "properties": {"a": {"$ref": "#/x"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "own"}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ],
    ids=str,
)
def test_a_schema_that_it_does_not_know_whole_is_left_to_the_other(schema: Any) -> None:
    assert quick(schema) is None


def test_it_says_valid_of_an_ordinary_row() -> None:
    test = quick({"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}}})
    assert test is not None
    assert test({"email": "ann@example.com", "name": "Ann"})
