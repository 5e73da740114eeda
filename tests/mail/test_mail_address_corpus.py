"""The public address corpora: every strong case, and no harm in the others."""

from __future__ import annotations

import pytest

from runner.errors import AddressError, FlowpostError
from runner.mail.address import Address, from_pieces, parse_list
from runner.model import Given
from tests.conftest import corpus, needs_corpora

SPECS = corpus("addresses/addr-spec.jsonl")
LISTS = corpus("addresses/address-lists.jsonl")


def tried(text: str) -> list[Address] | FlowpostError:
    try:
        return parse_list(text)
    except FlowpostError as error:
        return error


def named(cases: list[dict[str, object]], expected: str) -> list[object]:
    return [pytest.param(case, id=str(case["id"])) for case in cases if case["expected"] == expected]


@needs_corpora
@pytest.mark.parametrize("case", named(SPECS, "accept"))
def test_an_address_that_must_be_accepted_is_one_address(case: dict[str, object]) -> None:
    found = parse_list(str(case["input"]))

    assert len(found) == 1
    if case.get("normalized"):
        assert (found[0].display_name or None, found[0].addr_spec, found[0].needs_smtputf8) == (
            case["display_name"],
            case["normalized"],
            case["smtputf8"],
        )
        assert found[0].wire.endswith(f"@{case['ascii_domain']}")


@needs_corpora
@pytest.mark.parametrize("case", named(SPECS, "reject"))
def test_an_address_that_must_be_refused_is_refused(case: dict[str, object]) -> None:
    with pytest.raises(FlowpostError) as caught:
        parse_list(str(case["input"]))

    assert caught.value.code in ("EADDRESS", "EHEADER")


@needs_corpora
@pytest.mark.parametrize("case", named(SPECS, "either"))
def test_an_address_on_which_oracles_differ_is_never_two(case: dict[str, object]) -> None:
    found = tried(str(case["input"]))

    assert isinstance(found, FlowpostError) or len(found) == 1


@needs_corpora
@pytest.mark.parametrize("case", [pytest.param(case, id=str(case["id"])) for case in SPECS])
def test_a_value_in_an_address_field_is_judged_alike(case: dict[str, object]) -> None:
    try:
        found = from_pieces((Given(case["input"]),), "to")
    except FlowpostError:
        assert case["expected"] != "accept"
    else:
        assert case["expected"] != "reject"
        assert len(found) == 1


@needs_corpora
@pytest.mark.parametrize("case", named(LISTS, "parse"))
def test_a_list_has_exactly_its_mailboxes(case: dict[str, object]) -> None:
    found = [[address.display_name, address.addr_spec] for address in parse_list(str(case["input"]))]

    assert found == case["mailboxes"]


@needs_corpora
@pytest.mark.parametrize("case", named(LISTS, "reject_or_subset"))
def test_a_doubtful_list_names_nobody_else(case: dict[str, object]) -> None:
    found = tried(str(case["input"]))

    if isinstance(found, FlowpostError):
        assert isinstance(found, AddressError)
        return
    allowed = [address for boxes in (case["mailboxes"], case.get("mailboxes_v10") or []) for address in boxes]  # type: ignore[attr-defined]
    assert [a.addr_spec for a in found if a.addr_spec not in [spec for _, spec in allowed]] == []


@needs_corpora
def test_the_scoreboard_is_whole() -> None:
    strong = [case for case in SPECS + LISTS if case["expected"] in ("accept", "reject", "parse")]

    assert len(SPECS) + len(LISTS) == 452
    assert len(strong) > 200
