"""Two renderings of one message: what is shown of the difference, and when two differences are the same."""

from __future__ import annotations

import time

import pytest

from runner.plan.compare import MAX_SHOWN, MAX_WIDTH, Difference, compare_faces
from runner.plan.face import Face


def change(before: str, after: str, **values: object) -> Difference:
    found = compare_faces(Face(("Subject: x",), before, None), Face(("Subject: x",), after, None), values)
    assert found is not None
    return found


def kinds(before: str, after: str, *rows: dict[str, object]) -> int:
    """How many different changes it is for those rows."""
    return len({change(before.format(**row), after.format(**row), **row).kind for row in rows})


ROWS = ({"name": "Ann", "total": 1}, {"name": "Zoë Müller", "total": 250}, {"name": "Hi Bob", "total": 33})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("Hi {name},", "Hello {name},", id="beside the value"),
        pytest.param("Hi {name},", "Dear {name}!", id="on both sides"),
        pytest.param("Hi {name}", "Bye {name}\n\nYou owe {total}.", id="a new line with a value"),
        pytest.param("You owe {total}.\nBye", "Bye", id="a line gone"),
        pytest.param("{name}", "{name}, {name}", id="a value twice"),
    ],
)
def test_the_same_change_of_different_rows_is_one(before: str, after: str) -> None:
    assert kinds(before, after, *ROWS) == 1


def test_values_are_known_in_html_too() -> None:
    def html(name: str, escaped: str) -> bytes:
        found = compare_faces(
            Face((), None, f"<p>{escaped}</p>"), Face((), None, f"<b>Hello {escaped}</b>"), {"name": name}
        )
        assert found is not None
        return found.kind

    assert html("Ann", "Ann") == html("A & B <c>", "A &amp; B &lt;c&gt;")


def test_different_changes_are_different() -> None:
    assert change("a b", "a c").kind != change("a b", "a d").kind
    assert change("a\nb", "a").kind != change("a", "a\nb").kind


def test_the_same_words_in_another_part_are_another_change() -> None:
    text = compare_faces(Face((), "a", None), Face((), "b", None), {})
    html = compare_faces(Face((), None, "a"), Face((), None, "b"), {})

    assert text is not None
    assert html is not None
    assert text.kind != html.kind


def test_what_looks_the_same_is_no_change() -> None:
    assert compare_faces(Face(("To: a",), "x\r\ny", None), Face(("To: a",), "x\ny", None), {}) is None


def test_a_long_line_is_cut_around_its_change() -> None:
    removed, added = (
        change("a " * 5000 + "old" + " b" * 5000, "a " * 5000 + "new" + " b" * 5000).change().parts[0].lines
    )

    assert removed.startswith("-…")
    assert "old" in removed
    assert "new" in added
    assert max(len(removed), len(added)) <= MAX_WIDTH + 2


def test_a_long_diff_is_cut_and_says_how_long_it_is() -> None:
    lines = change("", "\n".join(str(number) for number in range(1000))).change().parts[0].lines

    assert len(lines) == MAX_SHOWN + 1
    assert lines[-1] == "@ … of 1,000 changed lines in all"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("a\n" * 100_000, "b\n" * 100_000, id="many lines"),
        pytest.param("a\nb\n" * 900, "b\na\nc\n" * 600, id="lines that repeat"),
        pytest.param("x " * 500_000, "y " * 500_000, id="one long line"),
        pytest.param(
            "\n".join(map(str, range(1900))), "\n".join(map(str, range(1900, 0, -1))), id="reversed"
        ),
    ],
)
def test_no_pair_of_texts_takes_long(before: str, after: str) -> None:
    start = time.process_time()
    change(before, after, name="x y z", list=["a"] * 500).change()

    assert time.process_time() - start < 10
