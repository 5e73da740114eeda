"""Naughty and injecting strings in every field: refused by a known error, or arrived unchanged, and nothing else."""

from __future__ import annotations

import html as markup
from contextlib import suppress

import pytest
import rawmail
from mails import BOB, mail, stdlib, written

from runner.errors import AddressError, FlowpostError, HeaderError
from runner.mail.address import Address, from_pieces
from runner.mail.compose import Composed
from runner.mail.message import Mail, Unsubscribe
from runner.model import Attachment, Fixed, Given
from tests.conftest import corpus, needs_corpora

OWN = [
    "a\r\nBcc: evil@x.example",
    "a\n.\r\nMAIL FROM:<evil@x.example>\r\n",
    "body\r.\r\nRSET\r\n",
    "a\x00b",
    "a\u2028Bcc: evil@x.example",
    "=?utf-8?q?a=0ABcc:_evil=40x.example?=",
    '"Doe" <evil@x.example>, x',
    "x> , <evil@x.example",
    "Doe, evil@x.example",
    "@evil.example:a@good.example",
    "-oQ/tmp -X/tmp/x@x.example",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "é" * 998,
    "x" * 998,
    " ",
    "𝕳𝖊𝖑𝖑𝖔 ‮rtl 👨‍👩‍👧",
]
STRINGS = [
    *OWN,
    *(str(case["input"]) for name in ("blns", "injection") for case in corpus(f"strings/{name}.jsonl")),
]
FORBIDDEN = ("\r", "\n", "\0")


def fields(text: str) -> dict[str, Mail]:
    """A message for every place that a value can come to. Address fields are read as a flow reads them."""
    return {
        "subject": mail(subject=text[:998]),
        "text": mail(text=text),
        "html": mail(html=f'<p title="{markup.escape(text)}">{markup.escape(text)}</p>', text=text),
        "header": mail(headers=(("X-Value", text), ("X-Last", "z"))),
        "header name": mail(headers=((text, "v"),)),
        "file name": mail(attachments=(Attachment(text, "application/pdf", b"x"),)),
        "content type": mail(attachments=(Attachment("a", text, b"x"),)),
        "content id": mail(html="<p>", attachments=(Attachment("a", "image/png", b"x", cid=text),)),
        "name": mail(to=(Address(text, "bob@example.com"), Address("", "c@example.com"))),
        "unsubscribe": mail(unsubscribe=Unsubscribe(f"https://x.example/{text}", None)),
        "message id": mail(message_id=f"<{text}@x.example>"),
    }


def tried(meant: Mail) -> tuple[Composed, rawmail.Entity] | FlowpostError:
    try:
        return written(meant)
    except FlowpostError as error:
        return error


@pytest.mark.parametrize("text", STRINGS)
def test_a_string_in_any_field_is_refused_or_arrives_and_adds_nothing(text: str) -> None:
    for place, meant in fields(text).items():
        result = tried(meant)
        if isinstance(result, FlowpostError):
            assert result.code in ("EHEADER", "ERESERVED", "EATTACHMENT", "EADDRESS"), place
            assert result.message.isprintable()
            if place in ("subject", "header", "name"):
                assert any(char in text for char in FORBIDDEN), place
            assert place not in ("text", "html")
            continue
        composed, found = result
        assert composed.envelope.recipients == tuple(address.wire for address in meant.to)
        names = {name for name, _ in found.headers}
        assert names - {name for name, _ in meant.headers} <= {
            "Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type",
            "Content-Transfer-Encoding", "List-Unsubscribe",
        }, place  # fmt: skip


@pytest.mark.parametrize("text", STRINGS)
def test_a_string_in_an_address_field_is_refused_or_one_recipient(text: str) -> None:
    shapes = {
        "name": (Given(text), Fixed(" <bob@example.com>, c@example.com")),
        "quoted": (Fixed('"'), Given(text), Fixed('" <bob@example.com>, c@example.com')),
        "between": (Fixed("Bob <"), Given(text), Fixed(">, c@example.com")),
        "local": (Given(text), Fixed("@example.com, c@example.com")),
        "domain": (Fixed("bob@"), Given(text), Fixed(", c@example.com")),
        "alone": (Given(text), Fixed(", c@example.com")),
        "list": (Given([text]), Fixed(", c@example.com")),
        "mapping": (Given({"name": text, "email": "bob@example.com"}), Fixed(", c@example.com")),
    }
    for place, pieces in shapes.items():
        to: tuple[Address, ...] = ()
        with suppress(AddressError, HeaderError):
            to = from_pieces(pieces, "to")
        if not to:
            if place in ("name", "quoted", "mapping"):
                assert any(char in text for char in FORBIDDEN), place
            continue
        composed, _ = written(mail(to=to))
        assert len(composed.envelope.recipients) <= 2
        assert composed.envelope.recipients[-1] == "c@example.com"
        if place in ("name", "quoted", "mapping"):
            assert (to[0].display_name, composed.envelope.recipients[0]) == (text, "bob@example.com")
        if place == "local":
            assert composed.envelope.recipients[0].endswith("@example.com")


@pytest.mark.parametrize("text", [text for text in STRINGS if not any(char in text for char in FORBIDDEN)])
def test_the_standard_library_sees_the_same_headers_and_recipients(text: str) -> None:
    meant = mail(subject=text[:998], headers=(("X-Value", text),), bcc=(Address("", "secret@example.com"),))
    found = stdlib(written(meant)[0])

    assert found.keys() == [
        "Date", "From", "To", "Subject", "Message-ID", "X-Value", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    ]  # fmt: skip
    assert [address.addr_spec for address in found["to"].addresses] == [BOB.addr_spec]


@needs_corpora
def test_the_corpus_is_whole() -> None:
    assert len(STRINGS) == len(OWN) + 308
