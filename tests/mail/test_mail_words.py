"""Header text: raw, folded or encoded, and always the same text again."""

from __future__ import annotations

import pytest
import rawmail
from hypothesis import given, settings
from hypothesis import strategies as st
from mails import lines, mail, stdlib, whole, written

from runner.errors import FlowpostError
from runner.mail.address import Address
from runner.mail.compose import compose
from runner.mail.words import chunks, encoded, percent, text_header
from runner.model import Attachment

TEXTS = [
    "",
    "plain",
    "Grüße",
    " lead",
    "trail ",
    "two  spaces",
    "a\tb",
    "a\x0bb\x1c\x85\u2028",
    "=?utf-8?q?a=0ABcc:_evil=40x.example?=",
    "=?utf-8?b?YQ0KQmNjOiBldmlsQHguZXhhbXBsZQ==?=",
    "half =? an encoded word",
    "_under=score?",
    "word " * 60,
    ("word " * 60).strip(),
    ("two  spaces and " * 20).strip(),
    "x" * 990,
    "é" * 998,
    "😀" * 300,
    "👨‍👩‍👧‍👦" * 20,
    "a" * 66 + " " + "b" * 66,
    "a" * 900 + " b",
    "日本語" * 100,
    "mixed ascii and 日本語 " * 10,
    "\u0301 combining",
    "\ufeff",
    ".",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["Subject", "X", "X-" + "n" * 60, "X-" + "n" * 74])
def test_every_text_is_read_back_as_it_was(text: str, name: str) -> None:
    for prose in (False, True):
        found = rawmail.entity(text_header(name, text, prose=prose).encode("ascii") + b"\r\n")

        assert rawmail.text(found.one(name)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_subject_is_read_back_by_the_standard_library(text: str) -> None:
    subject = text[:998]
    found = str(stdlib(compose(mail(subject=subject)))["subject"])

    assert found == subject


@pytest.mark.parametrize("text", TEXTS)
def test_lines_of_a_subject_have_at_most_78_octets(text: str) -> None:
    assert max(map(len, text_header("Subject", text, prose=True).split("\r\n"))) <= 78


def test_a_long_word_in_a_custom_header_stays_raw_for_machines() -> None:
    json = '{"unique_args":{"a":"' + "b" * 800 + '"}}'

    assert text_header("X-SMTPAPI", json) == f"X-SMTPAPI: {json}\r\n"


@pytest.mark.parametrize("length", [*range(50, 90), *range(970, 1010)])
@pytest.mark.parametrize("char", ["a", "é", "😀", "日", "a ", "é "])
def test_headers_hold_at_every_boundary(length: int, char: str) -> None:
    text = ((char * length)[:length]).strip()
    for name in ("X-A", "Subject"):
        found = rawmail.entity(text_header(name, text, prose=name == "Subject").encode("ascii") + b"\r\n")

        assert rawmail.text(found.one(name)) == text


@pytest.mark.parametrize("first", [12, 13, 24, 40, 63])
@pytest.mark.parametrize("text", ["é" * 200, "日" * 200, "a😀" * 100, "a" * 62 + "é", "a" * 63])
def test_an_encoded_word_never_splits_a_character(first: int, text: str) -> None:
    words = encoded(text, first)

    assert len(words[0]) - 12 <= first
    assert max(map(len, words)) <= 75
    assert rawmail.text(" ".join(words)) == text


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_a_display_name_is_read_back_as_it_was(text: str) -> None:
    written(
        mail(
            to=(
                Address(text, "bob@example.com"),
                Address("Z", "z@example.com"),
                Address(text, "c@example.com"),
            )
        )
    )


@pytest.mark.parametrize(
    "text", ["Grüße", 'Doe, "J" \\', "a.b@c <d>", "x" * 200, "(c)", "é" * 20, "John Q. Public"]
)
def test_the_standard_library_sees_the_same_recipients(text: str) -> None:
    meant = mail(to=tuple(Address(text, f"user{number}@example.com") for number in range(9)))
    found = stdlib(compose(meant))["to"].addresses

    assert [(box.display_name, box.addr_spec) for box in found] == [(text, a.addr_spec) for a in meant.to]


@pytest.mark.parametrize(
    "spec",
    [
        '"a b"@x.example',
        '"a\\"b"@x.example',
        '"a@b, c"@x.example',
        '"<>"@x.example',
        "x" * 230 + "@x.example",
    ],
)
def test_a_quoted_local_part_stays_one_recipient(spec: str) -> None:
    composed, _ = written(mail(to=(Address("N", spec), Address("", spec))))

    assert composed.envelope.recipients == (spec,)


ANY = (
    st.text(max_size=200)
    | st.text(alphabet=st.characters(), max_size=60)
    | st.text(alphabet='=? _éa<>@,;:"\\()\t', max_size=200)
)


@settings(max_examples=250, deadline=None)
@given(ANY, ANY, ANY, ANY, ANY)
def test_any_text_in_any_field_is_refused_or_arrives(a: str, b: str, c: str, d: str, e: str) -> None:
    meant = mail(
        subject=a,
        to=(Address(b, "bob@example.com"), Address("", "c@example.com")),
        reply_to=Address(c, "r@example.com"),
        text=d,
        html=e,
        headers=(("X-A", c), ("X-B", d)),
        attachments=(Attachment(e or "x", "application/pdf", d.encode("utf-8", "surrogatepass")),),
    )
    try:
        composed, found = written(meant)
    except FlowpostError:
        assert any(char in "".join((a, b, c, d, e)) for char in "\r\n\0") or not e.strip()
        return
    assert composed.envelope.recipients == ("bob@example.com", "c@example.com")
    assert found.leaves()[0].content().decode() == whole(lines(d))


@settings(max_examples=150, deadline=None)
@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=30))
def test_any_address_that_is_accepted_is_written_and_read(local: str, domain: str) -> None:
    from runner.mail.addrspec import NotAnAddress, canonical

    try:
        spec = canonical(local, domain)
    except NotAnAddress:
        return
    composed, _ = written(mail(to=(Address("x", spec),)))

    assert len(composed.envelope.recipients) == 1


def by_character(text: str, first: int, room: int) -> list[str]:
    """Chunks, made by looking at one character after the other."""
    found, chunk, longest = [], "", first
    for char in text:
        piece = percent(char)
        if len(chunk) + len(piece) > longest and (chunk or not found):
            found.append(chunk)
            chunk, longest = "", room
        chunk += piece
    return [*found, chunk]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="a8%_é日😀\0", max_size=20), st.integers(-2, 14), st.integers(0, 14))
def test_a_chunk_ends_before_the_character_that_does_not_fit(text: str, first: int, room: int) -> None:
    assert chunks(percent(text), "%", first, room) == by_character(text, first, room)
