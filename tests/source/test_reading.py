"""What ``read`` takes, and what it refuses."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.diagnostic import Diagnostic, Invalid
from runner.source import MAX_BYTES, MAX_DEPTH, MAX_VALUES, read
from runner.source.limits import MAX_CHARACTERS


def value(text: str | bytes) -> object:
    return read(text if isinstance(text, bytes) else text.encode(), "file.yaml").value


def finding(text: str | bytes) -> Diagnostic:
    with pytest.raises(Invalid) as caught:
        value(text)
    return caught.value.diagnostics[0]


def test_a_value_may_begin_with_a_template() -> None:
    text = "to: <<trigger.body.name>> <<<trigger.body.email>>>\nlist: [<<a>>, << b >>]\n"

    assert value(text) == {
        "to": "<<trigger.body.name>> <<<trigger.body.email>>>",
        "list": ["<<a>>", "<< b >>"],
    }


def test_a_key_that_only_begins_like_the_merge_key_is_a_key() -> None:
    assert value('<<name>>: 1\n"<<": 2\n') == {"<<name>>": 1, "<<": 2}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("False", False),
        ("0o17", 15),
        ("0xff", 255),
        ("-12", -12),
        ("+1", 1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("tRue", "tRue"),
        ("22:22", "22:22"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("0x", "0x"),
        ("0o8", "0o8"),
        ("2001-12-14", "2001-12-14"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("١٢", "١٢"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!float 5", 5),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(written: str, meant: object) -> None:
    found = value(f"a: {written}\n")

    assert found == {"a": meant}
    assert type(found["a"]) is type(meant)  # type: ignore[index]


def test_keys_are_text_as_they_are_written() -> None:
    assert value("1: a\ntrue: b\non: c\n0x1: d\n") == {"1": "a", "true": "b", "on": "c", "0x1": "d"}


def test_of_merged_mappings_the_earlier_wins_and_written_keys_win_over_all() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: {z: 4, <<: *b}\n"

    found = value(text)

    assert found["c"] == {"x": 1, "y": 1, "z": 3}  # type: ignore[index]
    assert found["d"] == {"y": 2, "z": 4}  # type: ignore[index]


def test_merging_merged_mappings_reaches_the_first() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}\n"

    assert value(text)["c"] == {"x": 1, "y": 2}  # type: ignore[index]


def test_an_anchor_on_a_key_or_a_scalar_can_be_used() -> None:
    assert value("&k name: &v Ann\nother: [*k, *v]\n") == {"name": "Ann", "other": ["name", "Ann"]}
    assert value("a: &k name\n*k : 1\n") == {"a": "name", "name": 1}


def test_the_mark_of_an_encoding_is_dropped_and_lines_count_the_same() -> None:
    document = read(b"\xef\xbb\xbfa: 1\r\nb: [1,\r\n  x]\r\n", "file.yaml")

    assert document.value == {"a": 1, "b": [1, "x"]}
    assert document.at(("b", 1)).line == 3


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        pytest.param("a: 1\na: 2\n", (2, 1), 'the key "a" is there twice', id="duplicate key"),
        pytest.param("a: {b: 1, c: {x: 1, x: 2}}\n", (1, 21), 'the key "x" is there twice', id="in braces"),
        pytest.param("1: a\n'1': b\n", (2, 1), 'the key "1" is there twice', id="as text"),
        pytest.param(
            "a: &a {}\n<<: *a\n<<: *a\n", (3, 1), 'the key "<<" is there twice', id="two merge keys"
        ),
        pytest.param("a: 1\n---\nb: 2\n", (2, 1), "a second document", id="two documents"),
        pytest.param("a: 1\n...\nb: 2\n", (3, 1), "", id="after the end"),
        pytest.param("", (1, 1), "the file is empty", id="empty"),
        pytest.param("# a\n", (1, 1), "nothing but comments", id="comments"),
        pytest.param("a: !!python/name:os.system x\n", (1, 4), '"!!python/name:os.system"', id="python tag"),
        pytest.param("a: !secret x\n", (1, 4), 'the tag "!secret"', id="own tag"),
        pytest.param("a: !!binary eA==\n", (1, 4), 'the tag "!!binary"', id="binary"),
        pytest.param("a: !!timestamp 2001-01-01\n", (1, 4), 'the tag "!!timestamp"', id="timestamp"),
        pytest.param("!!set {a, b}\n", (1, 1), 'the tag "!!set"', id="set"),
        pytest.param("!!int x: 1\n", (1, 1), 'the tag "!!int"', id="tag on a key"),
        pytest.param("a: !!int x\n", (1, 10), '"x" is not what the tag "!!int" says', id="untrue tag"),
        pytest.param("? [a]\n: 1\n", (1, 3), "a key must be text", id="list as key"),
        pytest.param("a: &a [1]\n*a : 1\n", (2, 1), "a key must be text", id="alias of a list as key"),
        pytest.param(": 1\n", (1, 1), "a key is missing", id="no key"),
        pytest.param("a: &a [*a]\n", (1, 8), "inside", id="alias in itself"),
        pytest.param("a: *b\n", (1, 4), 'no "&b"', id="unknown alias"),
        pytest.param("a: &a 1\nb: &a 2\n", (2, 4), 'the anchor "&a" is there twice', id="anchor twice"),
        pytest.param("<<: 5\n", (1, 5), "takes a mapping", id="merge of a number"),
        pytest.param("<<: [{a: 1}, 5]\n", (1, 14), "takes a mapping", id="merge of a list with a number"),
        pytest.param("a: \x07\n", (1, 4), "U+0007", id="control character"),
        pytest.param("a: b\ufeffc\n", (1, 5), "U+FEFF", id="mark inside"),
        pytest.param("a: 1\nb: \x00\n", (2, 4), "a NUL character", id="nul"),
        pytest.param(b"a: 1\nb: \xff\n", (2, 4), "byte 0xff is not UTF-8", id="not utf-8"),
        pytest.param("a: ü\n".encode()[:-2], (1, 4), "is not UTF-8", id="cut inside a character"),
        pytest.param("a: ü\n".encode("latin-1"), (1, 4), "is not UTF-8", id="latin-1"),
        pytest.param("a: b\n".encode("utf-16"), (1, 1), "UTF-16", id="utf-16"),
        pytest.param(f"a: {'9' * 5000}\n", (1, 4), "too large for a number", id="long number"),
        pytest.param("a: 1e999\n", (1, 4), "too large for a number", id="huge number"),
        pytest.param("a:\n\tb: 1\n", (2, 1), "a tab", id="tab"),
        pytest.param("a:\n  b: 1\n \tc: 2\n", (3, 2), "a tab", id="tab after a space"),
        pytest.param("a: [\n\tb]\n", (2, 1), "a tab", id="tab in brackets"),
        pytest.param('a: "b\nc"\n', (2, 1), "not indented deeper", id="quoted text at the margin"),
        pytest.param(
            "a: ># x\n  b\n", (1, 4), "the text begins on the next line", id="comment glued to a header"
        ),
        pytest.param('a: "\\d"\n', (1, 5), '"\\d" is not an escape', id="escape"),
        pytest.param('a: "x\n', (1, 4), "never closed", id="quote"),
        pytest.param("a: {b: [1\n", (1, 8), "never closed", id="bracket"),
        pytest.param("a: [1}\n", (1, 6), '"}" where "," or "]" belongs', id="wrong bracket"),
        pytest.param("a: `b`\n", (1, 4), 'cannot begin with "`"', id="backtick"),
        pytest.param("a: %b\n", (1, 4), 'cannot begin with "%"', id="percent"),
        pytest.param("a: *\n", (1, 4), "an alias", id="star"),
        pytest.param("a: & b\n", (1, 4), "an anchor", id="ampersand"),
        pytest.param("a: b: c\n", (1, 5), 'cannot hold ": "', id="colon"),
        pytest.param("a: x\n  b: 1\n", (2, 3), "indented deeper", id="deeper"),
        pytest.param("a:b\nc: 1\n", (1, 1), 'a space is missing after ":"', id="glued"),
        pytest.param("a: - b\n", (1, 4), "a list item", id="dash"),
        pytest.param("a: {{ b }}\n", (1, 4), "a template needs quotes", id="curly"),
        pytest.param(
            "- {to: <<a[0]>>}\n", (1, 8), "a template inside { } or [ ] needs quotes", id="in braces 2"
        ),
        pytest.param("{a: <<x | default({})>>}\n", (1, 5), "needs quotes", id="braces in a template"),
        pytest.param("=======\n<<<<<<< HEAD\n", (1, 1), "git conflict", id="conflict"),
        pytest.param("a:\n>>>>>>> main\nb: '<<<<<<<'\n", (2, 1), "git conflict", id="half a conflict"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_place(
    text: str | bytes, place: tuple[int, int], words: str
) -> None:
    found = finding(text)

    assert words in found.message
    assert (found.line, found.column) == place
    assert found.code == ("duplicate" if "twice" in words and "key" in words else "yaml")


def test_every_duplicate_key_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        value("a: 1\na: 2\nb: {c: 1, c: 2}\na: 3\n")

    assert [(found.line, found.column) for found in caught.value.diagnostics] == [(2, 1), (3, 11), (4, 1)]


def test_an_empty_file_may_be_an_empty_mapping() -> None:
    assert read(b"# nothing\n", "flowpost.yaml", allow_empty=True).value == {}


def test_marks_of_a_conflict_inside_a_text_are_text() -> None:
    assert value("a: |\n  <<<<<<< HEAD\n  =======\n") == {"a": "<<<<<<< HEAD\n=======\n"}


def test_exactly_the_allowed_depth_is_read_and_one_more_is_not() -> None:
    assert value("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "levels" in finding("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).message
    assert "levels" in finding("- " * (MAX_DEPTH + 1) + "x\n").message


def test_aliases_add_to_the_depth() -> None:
    half = MAX_DEPTH // 2
    deep = "[" * half + "]" * half

    assert value(f"a: &a {deep}\nb: {'[' * (half - 1)}*a{']' * (half - 1)}\n")
    assert "levels" in finding(f"a: &a {deep}\nb: {'[' * half}*a{']' * half}\n").message


def test_aliases_count_as_often_as_they_are_used() -> None:
    text = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
    for number in range(1, 8):
        text += f"a{number}: &a{number} [{', '.join(['*a' + str(number - 1 or '')] * 9)}]\n"

    assert f"{MAX_VALUES:,} values" in finding(text).message


def test_a_long_text_behind_many_aliases_counts_too() -> None:
    times = MAX_CHARACTERS // 900_000 + 2
    text = f"a: &a {'x' * 900_000}\nb: [{', '.join(['*a'] * times)}]\n"

    assert "values" in finding(text).message


def test_merging_counts_too() -> None:
    keys = ", ".join(f"k{number}: 1" for number in range(1000))
    text = f"a: &a {{{keys}}}\nb: [{', '.join(['{<<: *a}'] * 100)}]\n"

    assert "values" in finding(text).message


def test_a_file_of_exactly_the_allowed_size_is_read_and_one_byte_more_is_not() -> None:
    text = "a: " + "x" * (MAX_BYTES - 4) + "\n"

    assert len(text) == MAX_BYTES
    assert value(text)
    assert "1,048,577 bytes" in finding(text + "\n").message


@pytest.mark.parametrize(
    "text", ["[" * 30_000, "{" * 30_000, "- " * 400_000, "? " * 400_000, "a: {" * 250_000, "[&a " * 200_000]
)
def test_deep_nesting_does_not_end_the_process(text: str) -> None:
    code = (
        "import sys\nfrom runner.source import read\nfrom runner.diagnostic import Invalid\n"
        "try:\n    read(sys.stdin.buffer.read(), 'f')\nexcept Invalid as exc:\n    print(exc)\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], input=text.encode(), capture_output=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"f:1:")
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("sign", ["[", "{a: ", "- "])
def test_whoever_stops_deep_nesting_says_how_deep_is_allowed(sign: str) -> None:
    """Newer versions of libyaml stop at a thousand levels, before there is an event to count."""
    assert [finding(sign * levels).message for levels in (65, 900, 30_000)] == [
        "more than 64 levels of nesting"
    ] * 3


@pytest.mark.parametrize("seed", range(60))
def test_a_file_that_is_half_written_is_read_or_refused_and_nothing_else(seed: int) -> None:
    """An editor writes, the watcher reads: whatever is there at that moment."""
    whole = (
        b"name: welcome\nnodes:\n  - id: hello\n    smtp: &a\n      to: <<x>> <<<y>>>\n"
        b'      body: |\n        Hello "there"\n      list: [1, {a: "b"}]\n    <<: *a\n'
    )
    chance = random.Random(seed)
    data = bytearray(whole[: chance.randrange(len(whole))])
    if data and chance.random() < 0.5:
        data[chance.randrange(len(data))] = chance.randrange(256)
    try:
        read(bytes(data), "flow.yaml")
    except Invalid as exc:
        refused = exc
    else:
        return
    assert all(found.line >= 1 for found in refused.diagnostics)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**9), 10**9)
        | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=4)
        ),
        max_leaves=15,
    )
)
def test_json_is_read_as_json_reads_it(tree: object) -> None:
    import json

    text = json.dumps(tree, ensure_ascii=False)
    if "\ufeff" in text or any(ord(character) in range(0xFFFE, 0x10000) for character in text):
        return

    assert value(text) == tree
