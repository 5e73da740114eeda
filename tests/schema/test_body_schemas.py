"""Bodies: checked as JSON Schema says, within bounds, and told without their values."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from conftest import corpus, needs_corpora
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.errors import ConfigurationError
from runner.schema import body_checker, schema_findings
from runner.schema.body import MAX_PROBLEMS
from runner.schema.formats import FORMATS
from runner.schema.pattern import UnsupportedPattern, matcher

CASES = corpus("jsonschema-formats/formats.jsonl")


def told(schema: Any, value: Any) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.message) for problem in body_checker(schema).problems(value)]


@needs_corpora
@pytest.mark.parametrize("case", CASES, ids=[str(case["id"]) for case in CASES])
def test_the_formats_of_the_json_schema_test_suite(case: dict[str, Any]) -> None:
    assert (told({"format": case["format"]}, case["data"]) == []) is case["valid"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "email",
            ["a@b.cc", "a.b+c@example.com", '"a b"@example.com', "a@[127.0.0.1]"],
            [
                "a",
                "@b.c",
                "a@",
                "a@b..c",
                "a@-b.c",
                "a@b c",
                "a@b.c\n",
                "ä@b.c",
                "a@ä.de",
                "a,b@c.d",
                "<a@b.c>",
            ],
        ),
        ("idn-email", ["ä@ö.de", "a@b.cc", "用户@例子.公司"], ["a", "a@", "a b@c.d", "a@b@c.d", "a\n@b.c"]),
        (
            "hostname",
            ["a", "example.com", "xn--bcher-kva.example"],
            ["", "-a", "a-", "a..b", "a_b", "a" * 64, "ä.de"],
        ),
        ("ipv4", ["1.2.3.4"], ["1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "١.2.3.4"]),
        ("ipv6", ["::1", "2001:db8::1", "::ffff:1.2.3.4"], ["", "::1%eth0", "1::2::3", "12345::", "1.2.3.4"]),
        (
            "uri",
            ["https://a.example/b?c#d", "urn:a:b", "mailto:a@b.c", "http://[::1]:80/", "a:"],
            ["/a", "a", "http://a b", "http://a\\b", "http://[::1", "http://a:x/", "//a", "https://ä.de/"],
        ),
        (
            "uuid",
            ["123e4567-e89b-12d3-a456-426614174000"],
            ["123e4567e89b12d3a456426614174000", "g23e4567-e89b-12d3-a456-426614174000"],
        ),
        ("date", ["2024-02-29"], ["2023-02-29", "20240229", "2024-2-29", "2024-W01-1", "2024-13-01"]),
        (
            "time",
            ["08:00:00Z", "08:00:00.5+02:00", "23:59:60Z", "01:29:60+01:30"],
            [
                "08:00:00",
                "24:00:00Z",
                "08:60:00Z",
                "08:00:60Z",
                "8:00:00Z",
                "08:00:00+2:00",
                "08:00:00+24:00",
            ],
        ),
        (
            "date-time",
            ["2024-02-29T08:00:00Z", "2024-02-29t08:00:00z"],
            ["2024-02-29 08:00:00Z", "2024-02-29", "2024-02-30T08:00:00Z"],
        ),
        (
            "duration",
            ["P1D", "PT1H30M", "P2W", "P1Y2M3DT4H5M6S"],
            ["P", "PT", "1D", "P1H", "PT1D", "P1WT1H", "P1Y2D", "P1S"],
        ),
        ("regex", ["^a+$", "\\d{3}"], ["(", "[a", "(?=a)"]),
    ],
)
def test_a_format_is_asserted(name: str, good: list[str], bad: list[str]) -> None:
    test = FORMATS[name][0]

    assert [text for text in good if not test(text)] == []
    assert [text for text in bad if test(text)] == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_checked_in_linear_time_and_only_in_texts(name: str) -> None:
    test = FORMATS[name][0]
    begin = time.monotonic()
    for piece in ("a", "a.", "1", ":", "a@", "-", "%41", "a,", "@", "[", "P1", "/", "\\", '"a" '):
        for text in (piece * 50_000, "a@" + piece * 50_000, "http://" + piece * 50_000 + "!"):
            test(text)
    assert time.monotonic() - begin < 10
    assert told({"format": name}, 5) == []


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|aa)+$", "^(a|a)*b$", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*!"]
)
def test_a_catastrophic_pattern_is_answered_at_once(pattern: str) -> None:
    checker = body_checker({"properties": {"a": {"pattern": pattern}}, "patternProperties": {pattern: {}}})
    begin = time.monotonic()

    assert checker.problems({"a": "ax" * 5_000 + "!§", "a" * 10_000 + "§": 1}) is not None
    assert time.monotonic() - begin < 10


def test_a_pattern_and_a_text_that_would_take_long_together_are_refused() -> None:
    begin = time.monotonic()

    assert told({"pattern": "(.*a){200}b$"}, "a" * 1_000_000) == [("", "cannot be checked within 1 s")]
    assert time.monotonic() - begin < 10


def test_many_equal_items_are_not_compared_pair_by_pair() -> None:
    begin = time.monotonic()

    assert told({"uniqueItems": True}, [{"a": [n]} for n in range(50_000)]) == []
    assert told({"uniqueItems": True}, [{"a": []}] * 50_000) == [("", "holds an entry twice")]
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([1, True], True),
        ([0, False], True),
        ([1, 1.0], False),
        (["1", 1], True),
        ([[1], [True]], True),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
        ([[], {}], True),
        ([None, None], False),
        ([{"a": False}, {"a": 0}], True),
    ],
)
def test_items_are_equal_as_json_schema_says(items: list[Any], unique: bool) -> None:
    assert (told({"uniqueItems": True}, items) == []) is unique


def test_references_that_double_at_each_level_are_refused_when_the_flow_loads() -> None:
    definitions: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    definitions["a40"] = {}
    begin = time.monotonic()

    [found] = schema_findings({"$defs": definitions, "$ref": "#/$defs/a0"})

    assert "too long" in found.message
    assert time.monotonic() - begin < 5


def test_a_check_that_takes_too_long_ends_itself() -> None:
    """The doubling begins only below a field, which no value tried at load has."""
    definitions: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    definitions["a40"] = {}
    checker = body_checker({"$defs": definitions, "properties": {"x": {"$ref": "#/$defs/a0"}}})
    begin = time.monotonic()

    assert [problem.message for problem in checker.problems({"x": 1})] == ["cannot be checked within 1 s"]
    assert time.monotonic() - begin < 5


def test_a_deep_value_against_a_recursive_schema_is_refused() -> None:
    deep: Any = 1
    for _ in range(3_000):
        deep = [deep]

    assert "nested too deep" in told({"items": {"$ref": "#"}}, deep)[0][1]


def test_a_remote_reference_is_never_fetched() -> None:
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(1)

        def listen() -> None:
            try:
                asked.append(server.accept())
            except OSError:
                return

        thread = threading.Thread(target=listen)
        thread.start()
        reference = f"http://127.0.0.1:{port}/schema.json"
        [found] = schema_findings({"$ref": reference})
        with pytest.raises(ConfigurationError):
            body_checker({"properties": {"a": {"$ref": reference}}})
        nested = body_checker({"properties": {"a": {"$id": "http://x.example/", "$ref": reference}}})
        assert nested.problems({"a": 1})[0].message == f'cannot be checked: the schema has no "{reference}"'
        thread.join()

    assert reference in found.message
    assert asked == []


def test_the_specifications_own_schema_is_at_hand() -> None:
    schema = {"$ref": "https://json-schema.org/draft/2020-12/schema"}

    assert schema_findings(schema) == []
    assert told(schema, {"type": "string"}) == []
    assert told(schema, {"type": 5}) != []


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "message"),
    [
        ({"required": ["a/b~c"]}, {}, "/a~1b~0c", '"a/b~c" is missing'),
        (
            {"properties": {"a": {"items": {"type": "integer"}}}},
            {"a": [1, "x"]},
            "/a/1",
            "is text, expected a whole number",
        ),
        ({"type": ["string", "null"]}, 5, "", "is a number, expected text or nothing"),
        ({"format": "email"}, "secret words", "", "is not an e-mail address"),
        ({"enum": ["a", "b"]}, "secret words", "", "is not one of a, b"),
        ({"const": "a"}, "secret words", "", 'is not "a"'),
        ({"pattern": "^a"}, "secret words", "", 'does not match the pattern "^a"'),
        ({"maxLength": 3}, "secret words", "", "has 12 characters, at most 3"),
        ({"minItems": 2}, ["secret"], "", "has 1 entries, at least 2"),
        ({"minimum": 3}, 2, "", "is less than 3"),
        ({"exclusiveMaximum": 3}, 3, "", "is not less than 3"),
        ({"multipleOf": 2}, 3, "", "is not a multiple of 2"),
        (
            {"additionalProperties": False, "properties": {"a": {}}},
            {"a": 1, "b": 2},
            "/b",
            "is not allowed here",
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            5,
            "",
            "is none of the kinds that are allowed here",
        ),
        (
            {"oneOf": [{"type": "string", "maxLength": 1}, {"type": "null"}]},
            "secret",
            "",
            "has 6 characters, at most 1",
        ),
        (False, 5, "", 'breaks the rule "false"'),
    ],
)
def test_a_problem_names_place_and_rule_and_never_the_value(
    schema: Any, value: Any, pointer: str, message: str
) -> None:
    assert told(schema, value) == [(pointer, message)]


def test_the_list_of_problems_is_bounded() -> None:
    assert len(told({"items": {"type": "string"}}, [1] * 1000)) == MAX_PROBLEMS


def test_a_checker_serves_many_threads_at_once() -> None:
    checker = body_checker({"type": "object", "required": ["a"], "properties": {"a": {"pattern": "^a+$"}}})
    wrong: list[object] = []

    def work() -> None:
        for _ in range(200):
            wrong.extend(checker.problems({"a": "aaa"}))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("^\\u00e9$", "é", "e"),
        ("^\\u{1F600}$", "\U0001f600", "x"),
        ("^\\uD83D\\uDE00$", "\U0001f600", "x"),
        ("^\\p{Letter}+$", "äßç", "a1"),
        ("^\\p{Script=Greek}+$", "αβ", "ab"),
        ("^\\p{Lu}", "Ä", "ä"),
        ("^a$", "a", "a\n"),
        ("^\\d+$", "12", "١٢"),
        ("^\\s$", "\u00a0", "x"),
        ("^[\\s]$", "\u2003", "x"),
        ("^\\S+$", "ab", "a\u00a0b"),
        ("^\\cA$", "\x01", "A"),
        ("^a\\/b$", "a/b", "ab"),
        ("^(?<year>\\d{4})$", "2024", "24"),
        ("^[[]$", "[", "]"),
        ("^[^\\]]$", "[", "]"),
        ("\\\\d", "\\d", "5"),
        ("^\\[a\\]$", "[a]", "a"),
        ("b", "abc", "ac"),
        ("^.{1,3}$", "ab", "abcd"),
    ],
)
def test_patterns_are_read_as_ecma_262_writes_them(pattern: str, matching: str, other: str) -> None:
    assert matcher(pattern)(matching)
    assert not matcher(pattern)(other)


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(a)\\1", "(?<n>a)\\k<n>", "(", "a{1001}", "x" * 3000]
)
def test_a_pattern_that_cannot_run_in_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedPattern):
        matcher(pattern)


def test_an_escaped_backslash_before_a_digit_is_no_back_reference() -> None:
    assert matcher("^\\\\1$")("\\1")


leaf = st.sampled_from(
    [
        {},
        {"type": "string"},
        {"type": ["integer", "null"]},
        {"minimum": 2},
        {"maxLength": 2},
        {"enum": [1, "a", None]},
        {"const": [1]},
        {"pattern": "^a"},
        {"uniqueItems": True},
        {"minItems": 1},
        {"required": ["a"]},
        {"multipleOf": 2},
        True,
        False,
    ]
)
schemas: st.SearchStrategy[Any] = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
                "additionalProperties": inner,
            }
        ),
        st.fixed_dictionaries(
            {
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner),
                "additionalProperties": inner,
            }
        ),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"if": inner, "then": inner, "else": inner}),
        st.fixed_dictionaries({"propertyNames": inner}),
        st.fixed_dictionaries({"contains": inner}),
    ),
    max_leaves=6,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 4) | st.sampled_from(["", "a", "ab", "abc"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "ab", "c"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(schemas, values)
def test_the_verdict_is_jsonschemas_own(schema: Any, value: Any) -> None:
    problems = body_checker(schema).problems(value)

    assert (problems == []) is Draft202012Validator(schema).is_valid(value), json.dumps([schema, value])
