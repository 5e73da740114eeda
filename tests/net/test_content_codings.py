"""Compressed bodies, cut anywhere, and the ways of abusing them."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.net.coding import Inflater


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


def in_pieces(coding: str, data: bytes, size: int) -> bytes:
    inflater = Inflater(coding)
    found = b"".join(
        piece for start in range(0, len(data), size) for piece in inflater.feed(data[start : start + size])
    )
    inflater.finish()
    return found


@pytest.mark.parametrize(
    ("coding", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("", bytes)]
)
@given(st.binary(max_size=3000), st.integers(1, 500))
def test_a_body_is_the_same_wherever_it_is_cut(coding: str, squeeze: type, data: bytes, size: int) -> None:
    assert in_pieces(coding, squeeze(data), size) == data


@given(st.binary(min_size=1, max_size=3000))
def test_deflate_without_its_zlib_header_is_read_too(data: bytes) -> None:
    assert in_pieces("deflate", raw_deflate(data), 4000) == data


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(1, 100))
def test_gzip_members_follow_each_other(parts: list[bytes], size: int) -> None:
    assert in_pieces("gzip", b"".join(map(gzip.compress, parts)), size) == b"".join(parts)


def test_padding_behind_gzip_means_nothing() -> None:
    assert in_pieces("gzip", gzip.compress(b"hello") + b"\0" * 100, 7) == b"hello"


def test_pieces_stay_small_however_much_comes_out() -> None:
    pieces = [len(piece) for piece in Inflater("gzip").feed(gzip.compress(b"\0" * 10_000_000))]

    assert sum(pieces) == 10_000_000
    assert max(pieces) <= 64 * 1024


def test_thousands_of_empty_members_do_not_stop_the_loop() -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match="too many parts"):
        list(Inflater("gzip").feed(gzip.compress(b"") * 50_000))

    assert time.monotonic() - started < 5


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=300))
def test_damaged_data_is_a_value_error_and_nothing_else(coding: str, data: bytes) -> None:
    inflater = Inflater(coding)
    try:
        list(inflater.feed(data))
        inflater.finish()
    except ValueError:
        return
