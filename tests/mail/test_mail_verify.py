"""The last look: octets or an envelope that differ from what was meant do not leave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mails import BOB, SENDER, mail

from runner.errors import FlowpostError
from runner.mail.address import Address
from runner.mail.compose import compose
from runner.mail.message import Unsubscribe
from runner.mail.verify import Known, NotAsMeant, verified, verify
from runner.model import Attachment

FULL = mail(
    to=(Address("Doe, J", "bob@example.com"), Address("Zoë " * 20, "z@example.com")),
    cc=(Address("", '"a b"@example.com'),),
    bcc=(Address("", "secret@example.com"),),
    reply_to=SENDER,
    subject="Grüße " * 20,
    html="<p>é",
    priority="high",
    headers=(("X-A", "1"), ("X-B", "é")),
    attachments=(
        Attachment("a.pdf", "application/pdf", b"x"),
        Attachment("l.png", "image/png", b"x", cid="l"),
    ),
    unsubscribe=Unsubscribe("https://x.example/u", None, one_click=True),
)

TAMPERED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("a foreign header", lambda d: d.replace(b"MIME-Version", b"Bcc: evil@x.example\r\nMIME-Version", 1)),
    ("a foreign header at the front", lambda d: b"Bcc: evil@x.example\r\n" + d),
    ("a foreign header at the end", lambda d: d.replace(b"\r\n\r\n", b"\r\nBcc: evil@x.example\r\n\r\n", 1)),
    ("a header less", lambda d: d.replace(b"X-A: 1\r\n", b"", 1)),
    ("headers in another order", lambda d: d.replace(b"X-A: 1\r\nX-B", b"X-B: 1\r\nX-A", 1)),
    ("another custom value", lambda d: d.replace(b"X-A: 1", b"X-A: 2", 1)),
    ("another recipient in To", lambda d: d.replace(b"<bob@example.com>", b"<eve@example.com>", 1)),
    (
        "one recipient more in To",
        lambda d: d.replace(b"<bob@example.com>,", b"<bob@example.com>, e@x.example,", 1),
    ),
    (
        "one recipient more at the end",
        lambda d: d.replace(b'"a b"@example.com', b'"a b"@example.com, e@x.example', 1),
    ),
    ("one recipient less", lambda d: d.replace(b'"Doe, J" <bob@example.com>,\r\n ', b"", 1)),
    ("quotes lost", lambda d: d.replace(b'"Doe, J" <', b"Doe, J <", 1)),
    ("another sender", lambda d: d.replace(b"From: Acme <news@", b"From: Acme <eve@", 1)),
    ("another subject", lambda d: d.replace(b"Subject: =?utf-8?", b"Subject: x =?utf-8?", 1)),
    ("a bare LF", lambda d: d.replace(b"X-A: 1", b"X-A: 1\nX", 1)),
    ("a bare CR", lambda d: d.replace(b"X-A: 1", b"X-A: 1\rX", 1)),
    ("a NUL", lambda d: d.replace(b"X-A: 1", b"X-A: 1\0", 1)),
    ("a long line", lambda d: d[:-2] + b"x" * 999 + b"\r\n"),
    ("eight bits in the headers", lambda d: d.replace(b"X-A: 1", b"X-A: \xc3\xa9", 1)),
    ("eight bits in the body", lambda d: d[:-2] + b"\xc3\xa9\r\n"),
    ("no end of line", lambda d: d[:-2]),
    ("no blank line", lambda d: d.replace(b"\r\n\r\n", b"\r\n")),
    ("an early end of the parts", lambda d: d.replace(b"\r\nContent-Disposition: inline", _closing(d), 1)),
    ("a part less", lambda d: d.replace(b"\r\n--" + _boundary(d) + b"\r\n", b"\r\n", 1)),
    ("text after the parts", lambda d: d + b"more\r\n"),
    (
        "a header within the boundary",
        lambda d: d.replace(_boundary(d), _boundary(d) + b"\r\nBcc: evil@x.example"),
    ),
    ("a boundary lost", lambda d: d.replace(b' boundary="', b' bound="', 1)),
]


def _boundary(data: bytes) -> bytes:
    return data.split(b'boundary="', 1)[1].split(b'"', 1)[0]


def _closing(data: bytes) -> bytes:
    return b"\r\n--" + _boundary(data) + b"--\r\n"


@pytest.mark.parametrize(("_what", "change"), TAMPERED, ids=[what for what, _ in TAMPERED])
def test_octets_that_differ_do_not_leave(_what: str, change: Callable[[bytes], bytes]) -> None:
    composed = compose(FULL)
    changed = change(composed.data)

    assert changed != composed.data
    with pytest.raises(NotAsMeant) as caught:
        verify(composed.envelope, changed, FULL)
    assert isinstance(caught.value, FlowpostError)
    assert caught.value.code == "EINTERNAL"


@pytest.mark.parametrize(
    "fields",
    [
        {"sender": "eve@x.example"},
        {"recipients": ("bob@example.com",)},
        {"recipients": (*compose(FULL).envelope.recipients, "eve@x.example")},
        {"recipients": (*compose(FULL).envelope.recipients[1:], "eve@x.example")},
        {"recipients": (*compose(FULL).envelope.recipients, "bob@example.com")},
        {"recipients": ()},
    ],
)
def test_an_envelope_that_differs_does_not_leave(fields: dict[str, object]) -> None:
    composed = compose(FULL)

    with pytest.raises(NotAsMeant):
        verify(composed.envelope._replace(**fields), composed.data, FULL)


@pytest.mark.parametrize("length", range(990, 1008))
@pytest.mark.parametrize("before", [0, 1, 500, 997, 998])
def test_a_line_has_at_most_998_octets(length: int, before: int) -> None:
    meant = mail(text="x")
    composed = compose(meant)
    data = composed.data + b"a" * before + b"\r\n" + b"b" * length + b"\r\nc\r\n"

    if length <= 998:
        verify(composed.envelope, data, meant)
    else:
        with pytest.raises(NotAsMeant, match="998"):
            verify(composed.envelope, data, meant)


def test_what_compose_writes_passes() -> None:
    for meant in (FULL, mail(), mail(to=(), bcc=(BOB,)), mail(html="<p>"), FULL._replace(redirect_to=SENDER)):
        composed = compose(meant)

        verify(composed.envelope, composed.data, meant)


@pytest.mark.parametrize(
    "ends", [b"\r", b"\n", b"\r\r\n", b"\r\n\n", b"\n\r", b"\n\r\n\r", b"\r\n\r", b"\0\r\n"]
)
@pytest.mark.parametrize("place", [b"Subject: ", b"x@y.example\r\n", b"last line"])
def test_a_cr_or_lf_alone_does_not_leave_wherever_it_stands(place: bytes, ends: bytes) -> None:
    meant = mail(text="a text\nlast line", headers=(("X-To", "x@y.example"),))
    composed = compose(meant)
    changed = composed.data.replace(place, place + ends, 1)

    assert changed != composed.data
    with pytest.raises(NotAsMeant, match="bare"):
        verify(composed.envelope, changed, meant)


LINES = b"\r\none line\r\nanother line\r\n"


def halves(data: bytes) -> list[bytes]:
    """A message of one text, parted where known lines may stand."""
    at = data.index(b"\r\n\r\n") + 4
    return [data[:at] + b"before", b"after\r\n"]


def test_known_lines_stand_between_what_is_looked_through() -> None:
    meant = mail(text="x")
    composed = compose(meant)

    data, dotted = verified(composed.envelope, halves(composed.data), [Known(LINES)], meant)

    assert data.endswith(b"\r\n\r\nbefore" + LINES + b"after\r\n")
    assert dotted is False


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"one line\r\n",
        b"\r\none line",
        b"\r\na\nb\r\n",
        b"\r\na\rb\r\n",
        b"\r\na\0b\r\n",
        b"\r\n\xc3\xa9\r\n",
        b"\r\n" + b"x" * 999 + b"\r\n",
    ],
)
def test_lines_that_may_not_leave_cannot_be_known(octets: bytes) -> None:
    with pytest.raises(NotAsMeant):
        Known(octets)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\r", b"b\r\n"),
        (b"a\n", b"b\r\n"),
        (b"a", b"\nb\r\n"),
        (b"a", b"b"),
        (b"a\0", b"b\r\n"),
        (b"a", b"x" * 999 + b"\r\n"),
        (b"\xc3\xa9", b"b\r\n"),
    ],
)
def test_what_stands_beside_known_lines_is_looked_through(before: bytes, after: bytes) -> None:
    meant = mail(text="x")
    composed = compose(meant)
    first, _ = halves(composed.data)

    with pytest.raises(NotAsMeant):
        verified(composed.envelope, [first + before, after], [Known(LINES)], meant)


def test_octets_that_only_say_that_they_are_known_are_refused() -> None:
    meant = mail(text="x")
    composed = compose(meant)
    forged: list[Known] = [LINES]  # type: ignore[list-item]

    with pytest.raises(NotAsMeant):
        verified(composed.envelope, halves(composed.data), forged, meant)
    with pytest.raises(NotAsMeant):
        verified(composed.envelope, [composed.data], [Known(LINES)], meant)


@pytest.mark.parametrize("known", [[], [Known(LINES), Known(LINES)]], ids=["none", "two"])
def test_a_gap_that_no_known_lines_fill_is_refused(known: list[Known]) -> None:
    meant = mail(text="x")
    composed = compose(meant)

    with pytest.raises(NotAsMeant):
        verified(composed.envelope, halves(composed.data), known, meant)


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_known_lines_cannot_hide_a_header(at: int) -> None:
    """Wherever in the head they stand: a header among them would never be read."""
    meant = mail(text="x")
    composed = compose(meant)
    assert at < 400
    head = composed.data.index(b"\r\n\r\n") + 2
    cut = min(at, head)

    with pytest.raises(NotAsMeant):
        verified(
            composed.envelope,
            [composed.data[:cut], composed.data[cut:]],
            [Known(b"\r\nBcc: evil@x.example\r\n")],
            meant,
        )


def test_known_lines_that_hold_a_delimiter_are_counted() -> None:
    meant = mail(html="<p>")
    composed = compose(meant)
    boundary = _boundary(composed.data)
    at = composed.data.index(b"\r\n\r\nhi") + 4
    between = [composed.data[:at], composed.data[at:]]

    verified(composed.envelope, between, [Known(LINES)], meant)
    with pytest.raises(NotAsMeant):
        verified(composed.envelope, between, [Known(b"\r\n--" + boundary + b"\r\n")], meant)


@pytest.mark.parametrize("place", ["before", "after"])
def test_known_lines_around_all_parts_are_refused(place: str) -> None:
    meant = mail(html="<p>")
    composed = compose(meant)
    at = composed.data.index(b"\r\n\r\n") + 4 if place == "before" else len(composed.data)

    with pytest.raises(NotAsMeant):
        verified(composed.envelope, [composed.data[:at], composed.data[at:]], [Known(LINES)], meant)


def test_a_line_that_begins_with_a_dot_is_told() -> None:
    for text, expected in (("a.\n", False), (".a\n", True), ("a\n.\n", True)):
        assert compose(mail(text=text)).dotted is expected
        assert compose(mail(text=text, html="<p>")).dotted is expected
    meant = mail(text="x")
    composed = compose(meant)
    assert verified(composed.envelope, halves(composed.data), [Known(b"\r\n.\r\n")], meant)[1]


def test_another_message_id_than_was_meant_does_not_leave() -> None:
    composed = compose(FULL)

    with pytest.raises(NotAsMeant):
        verify(composed.envelope, composed.data.replace(b"<m1@acme", b"<m2@acme", 1), FULL)
