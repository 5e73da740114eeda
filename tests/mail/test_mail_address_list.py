"""``parse_list``: what is an address list, and what is none."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from runner.errors import AddressError, FlowpostError, HeaderError
from runner.mail.address import Address, from_value, parse_list, parse_one
from runner.mail.addrspec import canonical, split
from runner.model import Fixed, Given

GOOD = [
    ("a@b.example", [("", "a@b.example")]),
    ("  a@b.example , ,c@d.example,", [("", "a@b.example"), ("", "c@d.example")]),
    ("Jane Doe <jane@x.example>", [("Jane Doe", "jane@x.example")]),
    ("J. R.  Doe\t<jane@x.example>", [("J. R. Doe", "jane@x.example")]),
    ('"Doe, Jane" <jane@x.example>, b@x.example', [("Doe, Jane", "jane@x.example"), ("", "b@x.example")]),
    ('"a \\"b\\" c" <j@x.example>', [('a "b" c', "j@x.example")]),
    ("j@x.example (Jane (the boss) Doe)", [("Jane (the boss) Doe", "j@x.example")]),
    (
        "Team: a@x.example, B <b@x.example>;, c@x.example",
        [("", "a@x.example"), ("B", "b@x.example"), ("", "c@x.example")],
    ),
    ("Nobody:;", []),
    ("j@x.example <j@x.example>", [("j@x.example", "j@x.example")]),
    ('"a b"@x.example', [("", '"a b"@x.example')]),
    ('"ab"@x.example', [("", "ab@x.example")]),
    ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
    ("a@[IPv6:2001:db8::1]", [("", "a@[IPv6:2001:db8::1]")]),
    ("Zoë <zoë@exämple.example>", [("Zoë", "zoë@exämple.example")]),
    ("a@ＥＸＡＭＰＬＥ．example", [("", "a@example.example")]),
    ("a@straße.example", [("", "a@straße.example")]),
    ("J\xa0D <a@b.example>", [("J\xa0D", "a@b.example")]),
]

BAD = [
    "",
    "   ",
    ",,",
    "nobody",
    "a@",
    "@b.example",
    "a b@c.example",
    "a@b.example c@d.example",
    "a@b.example; c@d.example",
    "Doe, Jane <jane@x.example>",
    "a@b.example <c@d.example>",
    "<a@b.example",
    "a@b@c.example",
    "A <a@b.example> tail",
    "A <a@b.example> <c@d.example>",
    "A <a@b.example, c@d.example>",
    "<@relay.example:a@b.example>",
    "g: a@b.example",
    "g: h: a@b.example;;",
    "g: a@b.example; b@c.example",
    "(just a comment)",
    "(a)b(c)d@x.example",
    "a..b@x.example",
    ".a@x.example",
    "a@-x.example",
    "a@x_y.example",
    "a@192.0.2.1",
    "a@[192.0.2.256]",
    "a@[::1]",
    "a@xn--.example",
    "a@ab--cd.example",
    "a@" + "b" * 64 + ".example",
    "a@" + ".".join(["b" * 60] * 5),
    "a" * 250 + "@x.example",
    "a\u200b@x.example",
    "\u0301a@x.example",
    "a@x\u2100y.example",
    "a\x07@x.example",
    "a\ud800@x.example",
    '"a\\',
    '"=?utf-8?q?x?=" <a@b.example>',
    "\\",
    "a@b.example (" * 3,
    "[a]",
    "=?utf-8?q?evil=40x.example=2C?=@b.example",
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_a_list_is_read(text: str, expected: list[tuple[str, str]]) -> None:
    found = [(address.display_name, address.addr_spec) for address in parse_list(text)]

    assert found == expected


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_list_is_refused_in_the_voice_of_the_house(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_list(text)

    assert caught.value.message.startswith("Invalid address")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "text", ["a@b.example\n", "a@b.example\r\nRCPT TO:<e@x>", "a\x00@b.example", "(\r)a@b.example"]
)
def test_line_ends_and_nul_are_their_own_error(text: str) -> None:
    with pytest.raises(HeaderError, match="Header value contains forbidden characters"):
        parse_list(text)


@pytest.mark.parametrize("text", ['"open@x.example', "Name <open@x.example", "open@x.example (note"])
def test_one_address_that_is_left_open_is_forgiven(text: str) -> None:
    assert parse_one(text).addr_spec == "open@x.example"


@pytest.mark.parametrize(
    "text",
    ['"open@x.example, b@x.example', "N <a@x.example, b@x.example", "a@x.example (b@x.example, c@x.example"],
)
def test_nothing_is_forgiven_where_somebody_could_be_lost(text: str) -> None:
    with pytest.raises(AddressError):
        parse_list(text)


@pytest.mark.parametrize("text", ["", "a@x.example, b@x.example", "Nobody:;"])
def test_parse_one_wants_exactly_one(text: str) -> None:
    with pytest.raises(AddressError):
        parse_one(text)


def test_the_wire_form_has_an_ascii_domain() -> None:
    address = parse_one("Zoë <zoë@exämple.example>")

    assert (address.wire, address.local, address.domain, address.needs_smtputf8) == (
        "zoë@xn--exmple-cua.example",
        "zoë",
        "exämple.example",
        True,
    )


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_the_readable_form_is_read_back_as_the_same_addresses(
    text: str, expected: list[tuple[str, str]]
) -> None:
    found = parse_list(text)

    assert parse_list(", ".join(map(str, found)) or "none:;") == found


@pytest.mark.parametrize("text", [text for text, _ in GOOD if ":" not in text or "[" in text])
def test_a_canonical_address_stays_as_it_is(text: str) -> None:
    for address in parse_list(text):
        assert canonical(*split(address.addr_spec)) == address.addr_spec


@pytest.mark.parametrize(
    "seed",
    [
        "user@example.com, ", "Some Name <user@example.com>, ", '"Q, N" <u@e.example>,', "(", ")", '"', "<", ">", "@",
        ",", ":", ";", "\\", "[", "a", " ", "a ", "(a)", "a@b.example (", "g:a@b.example;,", "<<", '"\\"', "a.", "a-",
        "ü@x.example,", "a@ü.example,", "a@x.--.example,", "a <", " <a@b.example", '"a\\b"<a@b.example>,',
        "(x)a@b.example,", "\t", "=?", "a:", "-", "'", "ａ",
    ],
)  # fmt: skip
def test_a_megabyte_of_anything_takes_no_second(seed: str) -> None:
    text = (seed * (1_000_000 // len(seed) + 1))[:1_000_000]
    begin = time.process_time()
    with suppress(FlowpostError):
        parse_list(text)

    assert time.process_time() - begin < 5.0  # a tenth of that on an idle machine


def test_time_grows_with_the_text_and_not_with_its_square() -> None:
    """Twenty times the text: twenty times the time, and what a busy machine adds; its square would be 400 times."""

    def seconds(size: int) -> float:
        text = "Some Name <user@example.com>, " * (size // 30)
        begin = time.process_time()
        parse_list(text)
        return time.process_time() - begin

    small, large = (min(seconds(size) for _ in range(3)) for size in (100_000, 2_000_000))

    assert large < 150 * small


def test_from_value_takes_texts_lists_pieces_and_nothing() -> None:
    value = [
        "a@x.example, B <b@x.example>",
        (Fixed("C <"), Given("c@x.example"), Fixed(">")),
        Address("", "d@x.example"),
    ]

    assert [a.addr_spec for a in from_value(value, "to")] == [
        "a@x.example",
        "b@x.example",
        "c@x.example",
        "d@x.example",
    ]
    assert from_value(None, "cc") == ()
    assert from_value(" ", "cc") == ()
    assert from_value([], "cc") == ()
    with pytest.raises(AddressError, match="in cc"):
        from_value(7, "cc")
