"""Reading replies: whole ones come out whole however they arrive; everything else ends the reading, in
bounds.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.smtp.reply import MAX_LINE, MAX_REPLY, Reply, ReplyReader


def read(data: bytes) -> list[Reply]:
    reader = ReplyReader()
    replies = reader.feed(data)
    assert reader.garbage is None
    return replies


def test_a_reply_of_several_lines_is_one_reply() -> None:
    assert read(b"250-one\r\n250-two\r\n250 three\r\n") == [Reply(250, (b"one", b"two", b"three"))]


def test_several_replies_in_one_packet_are_kept_apart() -> None:
    assert [reply.code for reply in read(b"250 ok\r\n250-a\r\n250 b\r\n354 go\r\n")] == [250, 250, 354]


def test_a_code_alone_is_a_reply() -> None:
    assert read(b"250\r\n") == [Reply(250, (b"",))]


def test_a_line_end_without_cr_is_taken() -> None:
    assert read(b"220 hi\n") == [Reply(220, (b"hi",))]


@given(st.lists(st.integers(1, 12), max_size=40))
def test_the_packets_in_which_it_arrives_do_not_matter(sizes: list[int]) -> None:
    data = b"220 hello\r\n250-first\r\n250-second\r\n250 third\r\n354 \xff\r\n"
    reader = ReplyReader()
    replies: list[Reply] = []
    rest = data
    for size in sizes:
        replies += reader.feed(rest[:size])
        rest = rest[size:]
    replies += reader.feed(rest)

    assert replies == read(data)
    assert not reader.unfinished


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"25\r\n",
        b"+25 ok\r\n",
        b" 250 ok\r\n",
        b"2500 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"250_ok\r\n",
        b"\xef\xbb\xbf250 ok\r\n",
        "２５０ ok\r\n".encode(),
        b"250-ok\r\n251 ok\r\n",
        b"250-ok\r\nok\r\n",
        b"\r\n",
        b"\x00\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01\n",
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    reader = ReplyReader()

    assert reader.feed(data) == []
    assert reader.garbage
    assert reader.feed(b"250 ok\r\n") == [], "nothing is read after garbage"


def test_a_reply_before_the_garbage_counts() -> None:
    reader = ReplyReader()

    assert reader.feed(b"250 accepted\r\n\xff\xff\r\n") == [Reply(250, (b"accepted",))]
    assert reader.garbage


def test_a_line_without_end_is_refused_once_it_is_too_long() -> None:
    reader = ReplyReader()
    reader.feed(b"250 " + b"x" * MAX_LINE)

    assert reader.garbage == "a line of the reply has no end"


def test_lines_without_end_are_refused_once_they_are_too_many() -> None:
    reader = ReplyReader()
    for _ in range(MAX_REPLY // 5):
        reader.feed(b"250-x\r\n")

    assert reader.garbage == "the reply has no end"


def test_many_short_replies_are_not_taken_for_one_long_one() -> None:
    reader = ReplyReader()

    assert sum(len(reader.feed(b"250 ok\r\n")) for _ in range(MAX_REPLY)) == MAX_REPLY


@given(st.binary(max_size=300))
def test_no_input_does_anything_but_reply_or_refuse(data: bytes) -> None:
    assert all(200 <= reply.code < 600 for reply in ReplyReader().feed(data))
