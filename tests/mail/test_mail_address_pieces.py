"""Address fields of flows: structure comes from the author, and no value can add a recipient."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import AddressError, FlowpostError, HeaderError
from runner.mail.address import from_pieces
from runner.model import Fixed, Given, Pieces

F, G = Fixed, Given
NASTY = [
    "Doe, John",
    'x" <evil@x.example>, "y',
    "x> , <evil@x.example",
    "evil@x.example,",
    "evil@x.example, b@x.example",
    "<evil@x.example>",
    "group: evil@x.example;",
    '(comment) \\ \\" ;:[]@',
    "=?utf-8?q?evil=40x=2Eexample=2C?=",
    "名前、<evil@x.example>",
    " ",
]


def addresses(pieces: Pieces) -> list[tuple[str, str]]:
    return [(address.display_name, address.addr_spec) for address in from_pieces(pieces, "to")]


@pytest.mark.parametrize("name", NASTY)
def test_a_value_before_angle_brackets_is_one_name_and_nothing_else(name: str) -> None:
    assert addresses((G(name), F(" <"), G("bob@x.example"), F(">"))) == [(name, "bob@x.example")]


@pytest.mark.parametrize("name", NASTY)
def test_a_value_between_the_authors_quotes_is_one_name(name: str) -> None:
    assert addresses((F('"'), G(name), F('" <bob@x.example>, c@x.example'))) == [
        (name, "bob@x.example"),
        ("", "c@x.example"),
    ]


@pytest.mark.parametrize("value", NASTY)
def test_a_value_between_angle_brackets_is_one_address_or_an_error(value: str) -> None:
    with pytest.raises(AddressError):
        from_pieces((F("Bob <"), G(value), F(">")), "to")


@pytest.mark.parametrize("value", NASTY)
def test_a_value_before_the_authors_domain_stays_in_that_domain(value: str) -> None:
    try:
        found = addresses((G(value), F("@example.com")))
    except AddressError:
        return
    assert len(found) == 1
    assert found[0][1].endswith('"@example.com')


def test_a_local_part_is_quoted_only_where_it_must_be() -> None:
    assert addresses((G("bob"), F("@x.example, "), G("bob smith"), F("@x.example"))) == [
        ("", "bob@x.example"),
        ("", '"bob smith"@x.example'),
    ]


@pytest.mark.parametrize("domain", ["x.example, evil@x.example", "x.example>", "x@y.example", "", "x y"])
def test_a_value_after_the_at_is_a_domain_or_an_error(domain: str) -> None:
    with pytest.raises(AddressError):
        from_pieces((F("info@"), G(domain)), "to")


def test_a_string_that_stands_alone_is_one_address() -> None:
    assert addresses((G("Doe, John <john@x.example>"),)) == [("Doe, John", "john@x.example")]
    assert addresses((G(" john@x.example "),)) == [("", "john@x.example")]


@pytest.mark.parametrize(
    "value", ["a@x.example, b@x.example", "A <a@x.example>, B <b@x.example>", "g:a@x.example,b@x.example;"]
)
def test_a_string_that_holds_several_is_refused_with_the_filter_named(value: str) -> None:
    with pytest.raises(AddressError) as caught:
        from_pieces((G(value),), "to")

    assert "addresses" in (caught.value.hint or "")
    assert caught.value.message.startswith("Invalid address in to:")


def test_the_addresses_filter_lets_a_string_expand() -> None:
    assert addresses((G("a@x.example, B <b@x.example>", expand=True), F(", c@x.example"))) == [
        ("", "a@x.example"),
        ("B", "b@x.example"),
        ("", "c@x.example"),
    ]


def test_a_list_expands_to_its_addresses() -> None:
    value = [
        "a@x.example",
        "Doe, B <b@x.example>",
        {"name": "C, D", "email": "c@x.example"},
        {"address": "d@x.example"},
    ]

    assert addresses((G(value),)) == [
        ("", "a@x.example"),
        ("Doe, B", "b@x.example"),
        ("C, D", "c@x.example"),
        ("", "d@x.example"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        ["a@x.example, b@x.example"],
        [["a@x.example"]],
        [5],
        {"name": "x"},
        5,
        True,
        {"email": "a@x.example, b@x.example"},
    ],
)
def test_a_list_or_mapping_that_holds_something_else_is_refused(value: object) -> None:
    with pytest.raises(AddressError):
        from_pieces((G(value),), "to")


@pytest.mark.parametrize(
    "pieces",
    [(F("x <"), G(["a@x.example"]), F(">")), (G(["a"]), F("@x.example")), (G({}), F(" <a@x.example>"))],
)
def test_a_list_cannot_stand_in_the_place_of_one(pieces: Pieces) -> None:
    with pytest.raises(AddressError):
        from_pieces(pieces, "to")


@pytest.mark.parametrize("empty", ["", "  ", None, []])
def test_an_empty_value_that_stands_alone_is_nobody(empty: object) -> None:
    assert addresses((G(empty),)) == []
    assert addresses((G(empty), F(", b@x.example"))) == [("", "b@x.example")]


def test_an_empty_value_between_angle_brackets_is_an_error() -> None:
    with pytest.raises(AddressError):
        from_pieces((F("Bob <"), G(""), F(">")), "to")


def test_a_name_and_an_address_side_by_side_ask_for_angle_brackets() -> None:
    with pytest.raises(AddressError) as caught:
        from_pieces((G("Bob"), F(" "), G("bob@x.example")), "to")

    assert "Name <user@example.com>" in (caught.value.hint or "")


def test_names_of_several_values_are_joined_as_written() -> None:
    assert addresses((G("Ann"), F(" "), G(""), F(" "), G("von  Ü"), F(" (x) <a@x.example>\n"))) == [
        ("Ann von  Ü", "a@x.example")
    ]


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\r\nBcc: e@x.example"])
@pytest.mark.parametrize("place", ["name", "quoted", "spec", "local", "alone", "list"])
def test_line_ends_and_nul_are_refused_in_every_place(char: str, place: str) -> None:
    value = f"a{char}b@x.example"
    pieces: dict[str, Pieces] = {
        "name": (G(value), F(" <a@x.example>")),
        "quoted": (F('"'), G(value), F('" <a@x.example>')),
        "spec": (F("x <"), G(value), F(">")),
        "local": (G(value), F("@x.example")),
        "alone": (G(value),),
        "list": (G([value]),),
    }
    with pytest.raises(HeaderError) as caught:
        from_pieces(pieces[place], "to")

    assert caught.value.code == "EHEADER"


@settings(max_examples=300, deadline=None)
@given(st.text(), st.text())
def test_no_text_whatever_adds_or_changes_a_recipient(name: str, value: str) -> None:
    fixed = (G(name), F(" <bob@x.example>, "), G(value), F(", Z <"), G("z@x.example"), F(">"))
    try:
        found = from_pieces(fixed, "to")
    except FlowpostError:
        return
    assert (found[0].display_name, found[0].addr_spec) == (name, "bob@x.example")
    assert found[-1].addr_spec == "z@x.example"
    assert len(found) == (3 if value.strip() else 2)
