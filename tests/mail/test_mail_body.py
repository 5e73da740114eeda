"""Transfer encodings at every boundary, read back by the strict reader."""

from __future__ import annotations

import base64

import pytest
import rawmail
from hypothesis import given, settings
from hypothesis import strategies as st
from mails import lines

from runner.mail.body import base64_lines, quoted_printable, text_body


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="a é😀=.\t\nF\r", max_size=400))
def test_every_body_arrives_in_every_encoding(text: str) -> None:
    data = lines(text).encode()

    assert rawmail.decoded("quoted-printable", quoted_printable(data)) == data
    assert rawmail.decoded("base64", base64_lines(data)) == data
    encoded = text_body(text)
    assert rawmail.decoded(encoded.encoding, encoded.data) == data


@pytest.mark.parametrize("length", [*range(66, 82), *range(146, 158), *range(985, 1003)])
@pytest.mark.parametrize("tail", ["", " ", "é", "=", "😀", ".", "\t\nx", "\n.", "\nFrom x"])
def test_quoted_printable_holds_at_every_boundary(length: int, tail: str) -> None:
    data = lines("a" * length + tail).encode()

    assert rawmail.decoded("quoted-printable", quoted_printable(data)) == data


@pytest.mark.parametrize("length", [0, 1, 2, 3, 56, 57, 58, 113, 114, 115])
def test_base64_holds_at_every_boundary(length: int) -> None:
    data = bytes(range(256))[:length]

    assert base64_lines(data) == base64.encodebytes(data).replace(b"\n", b"\r\n").removesuffix(b"\r\n")


def test_the_shorter_encoding_is_taken() -> None:
    assert text_body("plain\n").encoding == "7bit"
    assert text_body("mostly plain, with é in it").encoding == "quoted-printable"
    assert text_body("これは日本語の本文です").encoding == "base64"
    assert text_body("a" * 999).encoding == "quoted-printable"
