"""``compose``: the shape of a message, read back by two readers that share nothing with it."""

from __future__ import annotations

from datetime import datetime

import pytest
import rawmail
from mails import BOB, SENDER, UTC_DATE, mail, stdlib, written

from runner.errors import AddressError, AttachmentError, HeaderError, LimitError, ReservedHeaderError
from runner.mail.address import Address
from runner.mail.compose import compose
from runner.mail.limits import MAX_ATTACHMENTS_BYTES, MAX_BODY_BYTES
from runner.mail.message import Unsubscribe
from runner.model import Attachment, Envelope

PDF = Attachment("a.pdf", "application/pdf", b"%PDF-1.7\r\n\x00\xff")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", cid="logo")
MANY = tuple(Address("", f"r{number}@example.com") for number in range(101))


def test_a_small_text_mail_is_exactly_these_octets() -> None:
    composed = compose(mail(text="Hi Bob,\nbye\n", date=UTC_DATE))

    assert composed.envelope == Envelope("news@acme.example", ("bob@example.com",))
    assert composed.data == (
        b"Date: Wed, 04 Mar 2026 05:06:07 +0000\r\n"
        b"From: Acme <news@acme.example>\r\n"
        b"To: Bob <bob@example.com>\r\n"
        b"Subject: hello\r\n"
        b"Message-ID: <m1@acme.example>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hi Bob,\r\n"
        b"bye\r\n"
    )


def test_the_same_mail_gives_the_same_octets() -> None:
    meant = mail(html="<p>hi", attachments=(PDF, LOGO))

    assert compose(meant) == compose(meant._replace())


SHAPES = [
    ({}, "text/plain"),
    ({"text": None, "html": "<p>"}, "text/html"),
    ({"text": None}, "text/plain"),
    ({"html": "<p>"}, "alternative(text/plain text/html)"),
    ({"html": "<p>", "attachments": (LOGO,)}, "alternative(text/plain related(text/html image/png))"),
    ({"text": None, "html": "<p>", "attachments": (LOGO,)}, "related(text/html image/png)"),
    ({"attachments": (PDF,)}, "mixed(text/plain application/pdf)"),
    ({"attachments": (LOGO,)}, "mixed(text/plain image/png)"),
    (
        {"html": "<p>", "attachments": (LOGO, PDF)},
        "mixed(alternative(text/plain related(text/html image/png)) application/pdf)",
    ),
]


def shape(entity: rawmail.Entity) -> str:
    if not entity.parts:
        return entity.type
    return f"{entity.type.removeprefix('multipart/')}({' '.join(shape(part) for part in entity.parts)})"


@pytest.mark.parametrize(("fields", "expected"), SHAPES)
def test_parts_nest_as_readers_expect(fields: dict[str, object], expected: str) -> None:
    _, found = written(mail(**fields))

    assert shape(found) == expected


@pytest.mark.parametrize(("fields", "_shape"), SHAPES)
def test_the_standard_library_reads_it_without_a_defect(fields: dict[str, object], _shape: str) -> None:
    meant = mail(subject="Grüße, Bob", **fields)
    found = stdlib(compose(meant))

    assert [part.defects for part in found.walk() if part.defects] == []
    assert found["subject"] == "Grüße, Bob"
    body = found.get_body(("plain",))
    if meant.text is not None:
        assert body is not None
        assert body.get_content().strip() == meant.text
    files = [part.get_content() for part in found.walk() if part.get_filename()]
    assert files == [item.data for item in sorted(meant.attachments, key=lambda item: item.cid is None)]


def test_bcc_is_in_the_envelope_and_nowhere_else() -> None:
    composed, _ = written(mail(cc=(Address("", "c@x.example"),), bcc=(Address("Secret", "b@x.example"),)))

    assert composed.envelope.recipients == ("bob@example.com", "c@x.example", "b@x.example")
    assert b"b@x.example" not in composed.data
    assert b"Secret" not in composed.data


def test_a_message_to_nobody_but_bcc_names_nobody() -> None:
    composed = compose(mail(to=(), bcc=(BOB,)))

    assert b"\r\nTo: undisclosed-recipients:;\r\n" in composed.data
    assert composed.envelope.recipients == ("bob@example.com",)


def test_a_recipient_who_is_named_twice_gets_one_copy() -> None:
    doubles = (
        Address("B", "bob@EXAMPLE.com"),
        Address("", "Bob@example.com"),
        Address("", "é@exämple.example"),
    )
    composed, _ = written(mail(cc=doubles, bcc=(Address("", "é@xn--exmple-cua.example"),)))

    assert composed.envelope.recipients == ("bob@example.com", "Bob@example.com", "é@xn--exmple-cua.example")


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        ("low", {"X-Priority": "5 (Lowest)", "X-MSMail-Priority": "Low", "Importance": "Low"}),
        ("normal", {"X-Priority": "3 (Normal)"}),
        ("high", {"X-Priority": "1 (Highest)", "X-MSMail-Priority": "High", "Importance": "High"}),
        (None, {}),
    ],
)
def test_priority_sets_the_headers_that_programs_read(priority: str | None, expected: dict[str, str]) -> None:
    _, found = written(mail(priority=priority))

    names = ("X-Priority", "X-MSMail-Priority", "Importance")
    assert {name: value for name, value in found.headers if name in names} == expected


@pytest.mark.parametrize(
    ("unsubscribe", "expected"),
    [
        (Unsubscribe("https://x.example/u?a=1&b=%20", None), ["<https://x.example/u?a=1&b=%20>"]),
        (Unsubscribe(None, "u@x.example"), ["<mailto:u@x.example>"]),
        (Unsubscribe(None, "mailto:u@x.example?subject=bye bye"), ["<mailto:u@x.example?subject=bye%20bye>"]),
        (
            Unsubscribe("https://x.example/ü> , <x", "u@x.example", one_click=True),
            [
                "<https://x.example/%C3%BC%3E%20%2C%20%3Cx>, <mailto:u@x.example>",
                "List-Unsubscribe=One-Click",
            ],
        ),
    ],
)
def test_unsubscribe_sets_the_list_headers(unsubscribe: Unsubscribe, expected: list[str]) -> None:
    _, found = written(mail(unsubscribe=unsubscribe))

    assert [value for name, value in found.headers if name.startswith("List-")] == expected


@pytest.mark.parametrize(
    "unsubscribe",
    [
        Unsubscribe(),
        Unsubscribe("javascript:alert(1)"),
        Unsubscribe("https://"),
        Unsubscribe("https://[x/"),
        Unsubscribe("http://x.example/u", None, one_click=True),
        Unsubscribe(None, "u@x.example", one_click=True),
        Unsubscribe("https://x.example/\r\nBcc: e@x.example"),
        Unsubscribe(None, "u@x.example\n"),
        Unsubscribe("https://x.example/" + "a" * 1000),
    ],
)
def test_an_unsubscribe_that_cannot_work_is_refused(unsubscribe: Unsubscribe) -> None:
    with pytest.raises(HeaderError):
        compose(mail(unsubscribe=unsubscribe))


def test_an_international_local_part_asks_for_smtputf8_and_only_then() -> None:
    plain, _ = written(mail(subject="Zoë", to=(Address("Zoë", "zoe@exämple.example"),)))
    international, _ = written(mail(to=(Address("Zoë", "zoë@exämple.example"),)))

    assert (plain.envelope.smtputf8, plain.data.isascii()) == (False, True)
    assert (international.envelope.smtputf8, international.envelope.recipients) == (
        True,
        ("zoë@xn--exmple-cua.example",),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "a\nb"},
        {"subject": "a\x00b"},
        {"to": (Address("a\rb", "a@x.example"),)},
        {"to": (Address("", "a@x.example>\r\nRCPT TO:<e@x.example"),)},
        {"headers": (("X-A", "a\r\nBcc: e@x.example"),)},
        {"headers": (("X-A\r\nBcc", "a"),)},
        {"headers": (("X A", "a"),)},
        {"headers": (("X:A", "a"),)},
        {"headers": (("Ünicode", "a"),)},
        {"headers": (("", "a"),)},
        {"headers": (("X" * 77, "a"),)},
        {"message_id": "<a@b>\r\nBcc: e@x.example"},
        {"message_id": "a@b"},
        {"attachments": (Attachment("a\nb", "text/plain", b""),)},
        {"attachments": (Attachment("a", "text/plain\r\nBcc: x", b""),)},
        {"attachments": (Attachment("a", "text/plain", b"", cid="x\r\ny"),)},
    ],
)
def test_what_could_become_a_header_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(HeaderError) as caught:
        compose(mail(**fields))

    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "spec",
    [
        "a",
        "a@",
        "a b@x.example",
        "a@x.example, b@x.example",
        "<a@x.example>",
        "a@x.example.",
        '"a"@x.example',
        "a@Ａ.example",
    ],
)
def test_an_address_that_nobody_checked_is_checked(spec: str) -> None:
    with pytest.raises(AddressError):
        compose(mail(to=(Address("", spec),)))


@pytest.mark.parametrize(
    "name", ["From", "bCC", "Subject", "Message-ID", "__proto__", "constructor", " Bcc ", "DKIM-Signature"]
)
def test_a_reserved_header_is_refused_in_any_case(name: str) -> None:
    with pytest.raises(ReservedHeaderError, match="Reserved header is not allowed"):
        compose(mail(headers=((name, "x"),)))


def test_a_header_that_a_parameter_sets_is_not_set_twice() -> None:
    with pytest.raises(ReservedHeaderError):
        compose(mail(priority="high", headers=(("x-priority", "5"),)))


@pytest.mark.parametrize(
    ("fields", "figure"),
    [
        ({"subject": "ü" * 999}, "999 characters"),
        ({"headers": (("X-A", "b"),) * 51}, "51 custom headers"),
        ({"to": MANY[:60], "bcc": MANY[60:]}, "101 recipients"),
        ({"text": "é" * (MAX_BODY_BYTES // 2 + 1)}, "10,000,002 bytes"),
        ({"html": "a" * (MAX_BODY_BYTES + 1)}, "10,000,001 bytes"),
        ({"attachments": (Attachment("a", "a/b", bytes(MAX_ATTACHMENTS_BYTES)), PDF)}, "25,000,012 bytes"),
    ],
)
def test_what_passes_a_limit_is_refused_with_both_figures(fields: dict[str, object], figure: str) -> None:
    with pytest.raises(LimitError) as caught:
        compose(mail(**fields))

    assert figure in caught.value.message
    assert "at most" in caught.value.message


def test_recipients_are_counted_as_the_envelope_will_hold_them() -> None:
    shouted = tuple(Address("", one.addr_spec.replace("example", "EXAMPLE")) for one in MANY[:60])
    composed, _ = written(mail(to=MANY[:60], cc=shouted))

    assert len(composed.envelope.recipients) == 60


def test_a_date_without_a_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="zone"):
        compose(mail(date=datetime(2026, 1, 1)))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text", ["a" * 998, "a" * 999, "a\r\nb\rc\nd", "tab\there", "end \nof\t\nline", "\x00", "\x1b[31m", "."]
)
def test_a_text_body_arrives(text: str) -> None:
    written(mail(text=text))
    written(mail(text=text, html=text))


@pytest.mark.parametrize(
    "text", ["From me\nFrom you", "x\nFrom " + "é" * 40, "From " + "a" * 71 + "é", "\nFrom"]
)
def test_no_line_begins_with_the_mark_of_a_mailbox_file(text: str) -> None:
    composed, _ = written(mail(text=text, html=text))

    body = composed.data.split(b"\r\n\r\n", 1)[1]
    assert b"\nFrom " not in body


def test_a_dot_on_a_line_of_its_own_arrives() -> None:
    for text in ("a\n.\nb", "é\n.\nb", ".", "..", "é\n" + "a" * 75 + ".\n"):
        written(mail(text=text))


def test_a_boundary_that_occurs_in_a_body_is_not_taken() -> None:
    first = compose(mail(html="<p>")).data
    boundary = rawmail.read(first).parameter("Content-Type", "boundary")

    written(mail(text=f"x\n--{boundary}\n--{boundary}--\n{boundary}.1\n", html=f"--{boundary}"))


def test_deep_html_and_bodies_of_ten_megabytes_are_written() -> None:
    html = ("<div>" * 1000 + "é" + "</div>" * 1000 + "\n") * 60
    text = "0123456789 é\n" * 60_000

    written(mail(html=html, text=text))
    assert (
        len(compose(mail(html="é" * (MAX_BODY_BYTES // 2), text="a" * MAX_BODY_BYTES)).data)
        > 2 * MAX_BODY_BYTES
    )


def test_an_attachment_of_the_largest_size_is_written() -> None:
    composed = compose(
        mail(attachments=(Attachment("big.bin", "application/octet-stream", bytes(MAX_ATTACHMENTS_BYTES)),))
    )

    assert len(composed.data) > MAX_ATTACHMENTS_BYTES * 4 // 3


def test_a_message_that_is_attached_is_not_encoded() -> None:
    inner = compose(mail(subject="inner")).data
    _, found = written(mail(attachments=(Attachment("inner.eml", "message/rfc822", inner),)))

    assert found.parts[1].one("Content-Transfer-Encoding") == "7bit"


def test_a_message_that_cannot_stand_as_it_is_is_attached_as_octets() -> None:
    _, found = written(mail(attachments=(Attachment("inner.eml", "message/rfc822", b"Subject: \xe9\n\n"),)))

    assert found.parts[1].type == "application/octet-stream"


def test_parameters_of_a_content_type_are_kept_and_written_anew() -> None:
    item = Attachment("d.csv", 'text/csv; charset="utf-8" ; header=present;name=old', b"a")
    _, found = written(mail(attachments=(item,)))

    assert found.parts[1].parameter("Content-Type", "header") == "present"
    assert found.parts[1].parameter("Content-Type", "name") == "d.csv"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text",
        "text/",
        "text/plain; x",
        "multipart/mixed",
        "Multipart/Related; boundary=a",
        "a/b c",
        "tëxt/plain",
    ],
)
def test_what_is_no_content_type_is_refused(kind: str) -> None:
    with pytest.raises(AttachmentError):
        compose(mail(attachments=(Attachment("a", kind, b""),)))


NAMES = [
    "report.pdf",
    "mit Leerzeichen.pdf",
    "résumé.pdf",
    'quote".pdf',
    "back\\slash.pdf",
    "semi;colon=1.pdf",
    "per%20cent.pdf",
    "it's*.pdf",
    " lead and trail ",
    "日本語の長い名前" * 12 + ".pdf",
    "a" * 300 + ".pdf",
    "=?utf-8?q?x?=.pdf",
    "a\tb\x7f\x01.pdf",
    "../../etc/passwd",
    "😀" * 40,
    "\ud800;filename=evil.exe",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_arrives_whole(name: str) -> None:
    composed, found = written(mail(attachments=(Attachment(name, "application/pdf", b"x"),)))

    assert max(len(line) for line in composed.data.split(b"\r\n")) <= 78
    if "\ud800" not in name:
        assert stdlib(composed).get_payload(1).get_filename() == name.strip()  # type: ignore[union-attr]
    assert found.parts[1].parameter("Content-Disposition", "filename")


@pytest.mark.parametrize("cid", ["", "a b", "a>b", "<a", "é", "a@b@c", "x" * 201])
def test_what_is_no_content_id_is_refused(cid: str) -> None:
    with pytest.raises(AttachmentError):
        compose(mail(html="<p>", attachments=(Attachment("a.png", "image/png", b"x", cid=cid),)))


def test_a_sender_alone_is_no_message() -> None:
    with pytest.raises(AddressError):
        compose(mail(to=()))
    assert SENDER.wire == "news@acme.example"
