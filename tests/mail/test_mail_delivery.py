"""Delivery modes, identity, attachments' helpers."""

from __future__ import annotations

import base64

import pytest
import rawmail
from mails import BOB, mail, written

from runner.errors import (
    AddressError,
    AttachmentError,
    BlockedError,
    ConfigurationError,
    HeaderError,
    LimitError,
)
from runner.mail.address import Address
from runner.mail.attach import base_name, check_cid, clean_filename, decode_base64, guess_content_type
from runner.mail.compose import compose
from runner.mail.delivery import apply_delivery, matches
from runner.mail.identity import message_id
from runner.model import Delivery

MANY = mail(
    to=(BOB, Address("Zoë", "zoë@exämple.example")),
    cc=(Address("", "c@customer.example"),),
    bcc=(Address("", "b@customer.example"),),
)


@pytest.mark.parametrize("mode", ["live", "capture"])
def test_live_and_capture_change_nothing(mode: str) -> None:
    assert apply_delivery(Delivery(mode=mode), MANY) == MANY


def test_redirect_sends_everything_to_one_address_and_says_whom_it_was_for() -> None:
    composed, found = written(apply_delivery(Delivery(mode="redirect", to="QA <qa@acme.example>"), MANY))

    assert composed.envelope.recipients == ("qa@acme.example",)
    assert rawmail.text(found.one("X-Flowpost-Redirected-From")) == (
        "bob@example.com, zoë@xn--exmple-cua.example, c@customer.example, b@customer.example"
    )
    assert [spec for _, spec in rawmail.mailboxes(found.one("To"))] == [
        "bob@example.com",
        "zoë@xn--exmple-cua.example",
    ]


def test_redirect_of_a_hundred_recipients_is_folded() -> None:
    meant = mail(to=tuple(Address("", f"somebody{number}@customer.example") for number in range(100)))
    composed, found = written(apply_delivery(Delivery(mode="redirect", to="qa@acme.example"), meant))

    assert found.one("X-Flowpost-Redirected-From").count("@") == 100
    assert max(map(len, composed.data.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("to", [None, "", "nobody", "a@x.example, b@x.example"])
def test_redirect_to_nobody_stops_everything(to: str | None) -> None:
    with pytest.raises((ConfigurationError, AddressError)):
        apply_delivery(Delivery(mode="redirect", to=to), MANY)


@pytest.mark.parametrize("mode", ["", "Live", "off", "allow-list", "live "])
def test_a_mode_that_is_not_understood_stops_everything(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="is not one of live, redirect, allowlist, capture"):
        apply_delivery(Delivery(mode=mode), MANY)


@pytest.mark.parametrize(
    ("address", "pattern", "expected"),
    [
        ("bob@acme.example", "*@acme.example", True),
        ("bob@ACME.example", "*@Acme.Example", True),
        ("bob@sub.acme.example", "*@acme.example", False),
        ("bob@notacme.example", "*@acme.example", False),
        ("bob@acme.example.evil.example", "*@acme.example", False),
        ("Bob@acme.example", "bob@acme.example", True),
        ("eve@acme.example", "bob@acme.example", False),
        ("bob@exämple.example", "*@xn--exmple-cua.example", True),
        ("bob@xn--exmple-cua.example", "*@EXÄMPLE.example", True),
        ('"x@acme.example"@evil.example', "*@acme.example", False),
    ],
)
def test_a_pattern_matches_a_whole_domain_or_one_address(address: str, pattern: str, expected: bool) -> None:
    assert matches(Address("", address), pattern) is expected


def test_the_allowlist_refuses_everybody_else_by_name() -> None:
    with pytest.raises(BlockedError) as caught:
        apply_delivery(Delivery(mode="allowlist", allow=("*@example.com", "c@customer.example")), MANY)

    assert caught.value.code == "EBLOCKED"
    assert "zoë@exämple.example, b@customer.example" in caught.value.message
    assert "bob@example.com" not in caught.value.message


def test_the_allowlist_lets_its_own_through() -> None:
    allow = ("*@example.com", "*@customer.example", "*@exämple.example")

    assert apply_delivery(Delivery(mode="allowlist", allow=allow), MANY) == MANY


@pytest.mark.parametrize("allow", [(), ("*",), ("acme.example",), ("@acme.example",)])
def test_an_allowlist_that_says_nothing_lets_nobody_through(allow: tuple[str, ...]) -> None:
    with pytest.raises((BlockedError, AddressError)):
        apply_delivery(Delivery(mode="allowlist", allow=allow), MANY)


def test_a_message_id_depends_on_nothing_but_its_parts() -> None:
    first = message_id("acme.example", "run", "node", "1")

    assert first == message_id("acme.example", "run", "node", "1")
    assert (
        len(
            {
                first,
                message_id("acme.example", "run", "node", "2"),
                message_id("acme.example", "run", "node1", ""),
            }
        )
        == 3
    )
    assert message_id("acme.example", "ab", "c") != message_id("acme.example", "a", "bc")
    assert message_id("exämple.example", "x").endswith("@xn--exmple-cua.example>")
    assert compose(mail(message_id=first))
    with pytest.raises(AddressError):
        message_id("acme.example>\r\nBcc: x", "x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PDF", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("pdf", "application/octet-stream"),
        ("a.xyz", "application/octet-stream"),
    ],
)
def test_a_content_type_is_guessed_from_the_ending(name: str, expected: str) -> None:
    assert guess_content_type(name) == expected


def test_base64_is_read_strictly() -> None:
    data = bytes(range(256))
    text = base64.b64encode(data).decode()

    assert decode_base64(text, 256) == data
    assert decode_base64(base64.encodebytes(data).decode(), 256) == data
    assert decode_base64("data:image/png;base64," + text, 256) == data
    assert decode_base64("", 0) == b""


@pytest.mark.parametrize(
    "text", ["a", "ab", "abc", "ab==c", "a-_b", "=", "YWJj!", "YQ", "YQ=", "Y=Q=", "é", "YWI=YWI="]
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(AttachmentError):
        decode_base64(text, 1000)


def test_base64_is_bounded_before_it_is_decoded() -> None:
    with pytest.raises(LimitError):
        decode_base64("AAAA" * 10, 29)
    assert len(decode_base64("AAAA" * 10, 30)) == 30


def test_a_file_name_is_a_label_and_a_path_has_a_last_part() -> None:
    assert clean_filename("Q1/Q2 report.pdf") == "Q1/Q2 report.pdf"
    assert base_name("a/b\\c.pdf") == "c.pdf"
    for bad in ("", "  ", "a" * 1025):
        with pytest.raises(AttachmentError):
            clean_filename(bad)
    with pytest.raises(HeaderError):
        clean_filename("a\r\nb")


def test_a_content_id_is_taken_with_or_without_brackets() -> None:
    assert check_cid("<logo@x.example>") == check_cid("logo@x.example") == "logo@x.example"
