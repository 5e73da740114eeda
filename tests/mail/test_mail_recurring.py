"""Lines that are encoded once stand in every message as if the whole text had been encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.mail.body import Encoded, text_body
from runner.mail.recurring import Recurring, has_lines
from runner.mail.verify import Known

AUTHORS = [
    " and\nthis is a line that is long enough to be kept\nthe end",
    "\nFrom here on\n.\nthese lines, too, are kept in the end \n",
    "x\n" + "=" * 50 + "\n" + "y" * 200 + " \n\n\n",
    "\nGrüße sind nicht in ASCII geschrieben, und Öl auch nicht\n",
    "\n" + "日本語" * 30 + "\n日本",
    "\na control character \x01 in a line that would be kept\n",
    "\n" + "z" * 1200 + "\n",
    "short\n",
    "a CR \r and lines that are long enough to be kept otherwise\n\n",
    "\n--=_boundary, or what looks like one, is kept as well\n--=_\n",
]
VALUES = [
    "",
    "a",
    "é",
    "\n",
    "\r",
    "\0",
    "\0\n",
    "\n\0\n",
    "x" * 1200,
    "From ",
    "\nFrom x",
    ".",
    " ",
    "ü" * 100,
    "\ud800",
    "=00\n",
]
texts = st.one_of(st.sampled_from(AUTHORS), st.sampled_from(VALUES), st.text(max_size=30))


def same(parts: list[str]) -> Encoded:
    found, expected = Recurring(AUTHORS).encoded(parts), text_body("".join(parts))

    assert (found.encoding, found.data) == (expected.encoding, expected.data)
    return found


@pytest.mark.parametrize("author", range(len(AUTHORS)))
def test_each_authors_text_beside_each_value_is_encoded_as_a_whole(author: int) -> None:
    for before in VALUES:
        for after in VALUES:
            same([before, AUTHORS[author], after])
            same([AUTHORS[author], before, AUTHORS[author], AUTHORS[0], after])


@given(parts=st.lists(texts, max_size=12))
def test_any_parts_are_encoded_as_a_whole(parts: list[str]) -> None:
    same(parts)


def test_lines_that_come_again_are_known_to_the_last_look() -> None:
    found = same(["Ann", AUTHORS[0], "Bob"])

    assert [bytes(lines) for lines in found.known] == [
        b"\r\nthis is a line that is long enough to be kept\r\n"
    ]
    assert all(type(lines) is Known for lines in found.known)


def test_a_value_that_is_not_ascii_leaves_the_kept_lines_in_quoted_printable() -> None:
    found = same(["Zoë", AUTHORS[0], "Bob"])

    assert found.encoding == "quoted-printable"
    assert len(found.known) == 1


@pytest.mark.parametrize(
    "text", ["", "a", "a\n", "a\nb\n", "\r\n" + "x" * 50 + "\n", "\n" + "x" * 50 + "\0\n"]
)
def test_what_holds_no_whole_lines_worth_keeping_is_not_kept(text: str) -> None:
    assert not has_lines(text)
