"""What DATA carries: strict CRLF, stuffed dots, and a server that takes the stuffing off has what was
meant.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import MessageError
from runner.smtp.octets import MAX_LINE, stuffed

LINES = st.lists(st.binary(max_size=30).map(lambda line: re.sub(rb"[\r\n\0]", b".", line)), max_size=12)


@given(LINES)
def test_a_server_that_takes_the_dots_off_has_the_message(lines: list[bytes]) -> None:
    data = b"".join(line + b"\r\n" for line in lines)

    wire = stuffed(data) + b".\r\n"

    assert wire.find(b"\r\n.\r\n") in (-1, len(wire) - 5), "the message ends where it should"
    assert re.sub(rb"(?m)^\.", b"", wire[:-3]) == data


def test_a_missing_last_line_end_is_added() -> None:
    assert stuffed(b"a\r\nb") == b"a\r\nb\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"a\r\r\n",
        b"a\r\n\n",
        b"a\n\r\n",
        b"x\n.\r\nMAIL FROM:<e@e>\r\n",
        b"x\r.\r\n",
        b"\n",
        b"\r",
    ],
)
def test_a_line_end_that_is_not_crlf_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError, match="CRLF"):
        stuffed(data)


def test_a_nul_is_refused() -> None:
    with pytest.raises(MessageError, match="NUL"):
        stuffed(b"a\0b\r\n")


def test_a_line_may_have_998_octets_and_not_one_more() -> None:
    stuffed(b"x" * MAX_LINE + b"\r\n")
    with pytest.raises(MessageError, match="998"):
        stuffed(b"x" * (MAX_LINE + 1) + b"\r\n")
