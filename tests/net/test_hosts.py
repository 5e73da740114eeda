"""One reading of a host, whatever it is dressed up as."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.net.host import is_localhost, parse_host, shown

LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f.0.0.1", "0X7F.0.0.0X1", "0177.0.0.1", "0177.00.01",
    "2130706433", "017700000001", "0x7f000001", "127.000.000.001", "127.0.0.1.", "①②⑦.0.0.1", "127。0。0。1",
    "①②⑦。⓪．０｡1", "１２７.0.0.1", "0x0000007f.0x00000000.0x00000000.0x00000001", "127.0x1", "00000000177.1",
]  # fmt: skip

REFUSED = [
    "", ".", "..", "a..b", "a b", "a\tb", "a\nb", "a\x00b", "a/b", "a\\b", "a@b", "a?b", "a#b", "a:80",
    "a%2eb", "%31%32%37%2e%30%2e%30%2e%31", "q177.0.0.1", "o177.0.0.1", "0o177.0.0.1", "0x41414141a9fea9fe",
    "256.0.0.1", "1.2.3.4.5", "1.16777216", "1.2.65536", "1.2.3.256", "4294967296",
    "08.1.1.1", "1..1", "0xg.1",
    "[::1", "::1]", "[127.0.0.1]", "[]", "[::1]x", "::g", "a" * 64, "a." * 127 + "aa", "a" * 5000,
    "٣.0.0.1",
    "ex\u2100mple.com", "\u00ad", "xn--\u00e4", "\ud800", "a\u3002\u3002b", "'", "a,b", "a;b", "$(x)",
]  # fmt: skip


@pytest.mark.parametrize("text", LOOPBACK)
def test_loopback_is_recognised_however_it_is_written(text: str) -> None:
    assert parse_host(text) == ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_two_readers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_host(text)


def test_an_empty_hexadecimal_part_is_zero_as_for_browsers() -> None:
    assert parse_host("1.2.3.0x") == ipaddress.ip_address("1.2.3.0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("exa_mple.com", "exa_mple.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("ⓔⓧⓐⓜⓟⓛⓔ.ⓒⓞⓜ", "example.com"),
        ("localhost。", "localhost"),
        ("1e100.net", "1e100.net"),
        ("127.0.0.1.nip.io", "127.0.0.1.nip.io"),
        ("0x7f.example", "0x7f.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_a_name_becomes_lower_case_ascii(text: str, expected: str) -> None:
    assert parse_host(text) == expected


@pytest.mark.parametrize("text", ["[::1]", "::1", "[0:0:0:0:0:0:0:1]", "[0000::1]"])
def test_an_ipv6_literal_is_read_with_and_without_brackets(text: str) -> None:
    assert parse_host(text) == ipaddress.ip_address("::1")


@given(st.integers(0, 2**32 - 1), st.data())
def test_every_spelling_of_an_ipv4_address_means_that_address(value: int, data: st.DataObject) -> None:
    """Written like inet_aton reads it, in one to four parts of any base."""
    count = data.draw(st.integers(1, 4))
    rest = value & ((1 << 8 * (5 - count)) - 1)
    parts = [(value >> (8 * (3 - place))) & 255 for place in range(count - 1)] + [rest]
    spellings = [
        data.draw(st.sampled_from([str(part), hex(part), f"0{part:o}", f"0x{part:012X}"])) for part in parts
    ]

    assert parse_host(".".join(spellings)) == ipaddress.ip_address(value)


@given(st.text(max_size=300))
def test_any_text_is_an_address_a_clean_name_or_a_value_error(text: str) -> None:
    try:
        host = parse_host(text)
    except ValueError:
        return
    if isinstance(host, str):
        assert host.isascii()
        assert host == host.lower()
        assert parse_host(host) == host


@pytest.mark.parametrize("name", ["localhost", "a.localhost"])
def test_localhost_and_what_is_below_it_is_loopback_by_definition(name: str) -> None:
    assert is_localhost(name)


def test_a_host_in_a_message_is_printable_and_short() -> None:
    assert shown("a\x1b[31m\n" + "b" * 200) == "a\\x1b[31m\\x0a" + "b" * 93 + "…"
