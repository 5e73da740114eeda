"""Where things stand: values, keys, and places inside texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.diagnostic import Position
from runner.source import Document, read
from runner.source.document import Pointer

FLOW = """\
name: welcome
base: &base {x: 1, y: two}
nodes:
  - id: a
    smtp:
      to: [ann@example.com, "bob@example.com"]
      empty:
      <<: *base
      y: own
"""


def document(text: str) -> Document:
    return read(text.encode(), "flow.yaml")


def texts(value: object, pointer: Pointer = ()) -> list[tuple[Pointer, str]]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in texts(item, (*pointer, key))]
    if isinstance(value, list):
        return [found for number, item in enumerate(value) for found in texts(item, (*pointer, number))]
    return [(pointer, value)] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("pointer", "key", "line", "column"),
    [
        ((), False, 1, 1),
        (("name",), False, 1, 7),
        (("name",), True, 1, 1),
        (("nodes", 0), False, 4, 5),
        (("nodes", 0, "smtp", "to"), False, 6, 11),
        (("nodes", 0, "smtp", "to", 1), False, 6, 29),
        (("nodes", 0, "smtp", "empty"), False, 7, 7),
        (("nodes", 0, "smtp", "x"), False, 2, 17),
        (("nodes", 0, "smtp", "x"), True, 2, 14),
        (("nodes", 0, "smtp", "y"), False, 9, 10),
        (("nodes", 0, "smtp", "nothing"), False, 6, 7),
        (("nodes", 7, "smtp"), False, 4, 3),
    ],
)
def test_a_value_and_its_key_are_found(pointer: Pointer, key: bool, line: int, column: int) -> None:
    assert document(FLOW).at(pointer, key=key) == Position(line, column)


@pytest.mark.parametrize(
    "text",
    [
        "a: plain @here text\n",
        "a: plain\n  goes on\n\n  and @here\n",
        "a:   'single ''quoted'' @here'\n",
        "a: 'single\n\n  over ''lines'' @here'\n",
        'a: "double \\"quoted\\" \\u00e9\\x41\\n @here"\n',
        'a: "double \\\n   joined \\\n   @here"\n',
        'a: "folded\n\n  twice @here"\n',
        "a: |\n  one\n    two\n\n  three @here\n",
        "a: |2-\n    deep @here\n",
        "- - |\n   one\n   @here\n",
        "a: >\n  one\n  two @here\n\n\n  three\n",
        "a: >\n  one\n\n  two\n    more\n   @here kept\n  back\n",
        "a: >-\n\n  one\n    more\n\n    more\n\n  last @here\n",
        "a: >+1\n  one\n @here\n\n",
        "{a: [x, 'y @here']}\n",
        "a: &anchor |\n  @here\n",
        "a: !!str |\n  @here\n",
        "a: |  # a comment\n  x\n  @here\n",
        "a: \U0001f600 @here\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_place_inside_a_text_is_found_in_the_file(text: str, newline: str) -> None:
    written = text.replace("\n", newline)
    found = document(written)
    [(pointer, value)] = [(pointer, value) for pointer, value in texts(found.value) if "@here" in value]
    before = value[: value.index("@here")]

    place = found.locate(pointer, before.count("\n") + 1, len(before) - before.rfind("\n"))

    lines = written.split(newline)
    assert lines[place.line - 1][place.column - 1 :].startswith("@here")


@given(
    st.lists(st.text("ab <>:#'\"|", max_size=8), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(0, 8),
)
def test_every_character_of_a_literal_block_is_found(lines: list[str], number: int, column: int) -> None:
    body = [line.rstrip() or "x" for line in lines]
    body[0] = f"x{body[0]}"
    number = min(number, len(body) - 1)
    column = min(column, len(body[number]) - 1)
    found = document("a:\n  b: |\n" + "".join(f"    {line}\n" for line in body))
    assert found.value["a"]["b"] == "".join(f"{line}\n" for line in body)

    assert found.locate(("a", "b"), number + 1, column + 1) == Position(number + 3, column + 5)


def test_a_place_outside_the_text_is_brought_back_into_it() -> None:
    found = document("a: |\n  one\n  two\nb: x\n")

    assert found.locate(("a",), 99, 99).line <= 4
    assert found.locate(("a",), 0, 0) == Position(2, 3)
    assert found.locate(("b",), 1, 99).line == 4


def test_what_is_no_text_has_only_its_own_place() -> None:
    found = document("a: [1, 2]\n")

    assert found.locate(("a",), 3, 3) == Position(1, 4)
    assert found.locate(("a", 1), 1, 1) == Position(1, 8)


def test_a_scalar_can_be_quoted_as_it_was_written() -> None:
    found = document("a: 0x1F\nb: 'it''s'\nc: [1]\n")

    assert found.written(("a",)) == "0x1F"
    assert found.written(("b",)) == "'it''s'"
    assert found.written(("c",)) == ""
