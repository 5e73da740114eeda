"""``check``: the validator decides, the explanation must follow it wherever it goes."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from runner import schema
from runner.diagnostic import Position
from runner.schema.check import MAX_FINDINGS
from runner.schema.verdict import METASCHEMA, is_plainly_valid
from runner.source import read

FLOWS = Path(__file__).resolve().parent.parent / "flows"
STRANGE: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    "",
    "x",
    "<<x>>",
    [],
    {},
    [1],
    {"a": 1},
    [[]],
    [{}],
    ["x", None],
]


class Bare:
    """A value without a file."""

    path = "bare.yaml"

    def __init__(self, value: Any) -> None:
        self.value = value

    def at(self, pointer: tuple[str | int, ...], *, key: bool = False) -> Position:
        return Position(1, 1 + len(pointer))

    def written(self, pointer: tuple[str | int, ...]) -> str:
        return ""


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*here, key))
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += places(item, (*here, number))
    return found


def changed(value: Any, chance: random.Random) -> Any:
    """``value`` with one thing in it replaced, removed, renamed or added."""
    *way, last = chance.choice([place for place in places(value) if place])
    holder = value
    for step in way:
        holder = holder[step]
    match chance.randrange(4):
        case 0 if isinstance(holder, dict):
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[f"{last}x"] = holder.pop(last)
        case 2 if isinstance(holder[last], dict):
            key = chance.choice(
                ["smtp", "http", "set", "url", "file", "json", "form", "id", "one_click", "unheard"]
            )
            holder[last][key] = copy.deepcopy(chance.choice(STRANGE))
        case _:
            holder[last] = copy.deepcopy(chance.choice(STRANGE))
    return value


@pytest.mark.parametrize("name", sorted(path.stem for path in (FLOWS / "ok").glob("*.yaml")))
def test_whatever_is_changed_the_findings_agree_with_the_validator(name: str) -> None:
    data = (FLOWS / "ok" / f"{name}.yaml").read_bytes()
    validator = Draft202012Validator(schema.load("flow"))
    chance = random.Random(name)
    for _ in range(300):
        value = copy.deepcopy(read(data, "flow.yaml").value)
        for _ in range(chance.randrange(1, 4)):
            value = changed(value, chance) if value else value

        found = schema.check("flow", Bare(value))

        assert bool(found) != validator.is_valid(value), value
        assert is_plainly_valid("flow", value) is validator.is_valid(value), "both libraries say the same"
        for finding in found:
            assert finding.code == "schema"
            assert "breaks the rule" not in finding.message
            assert "not valid under" not in finding.message


@pytest.mark.parametrize("value", STRANGE)
@pytest.mark.parametrize("name", schema.names())
def test_any_value_in_place_of_a_document_is_explained(name: str, value: Any) -> None:
    found = schema.check(name, Bare(value))

    assert bool(found) != Draft202012Validator(schema.load(name)).is_valid(value)


def test_a_file_full_of_mistakes_gets_a_bounded_list() -> None:
    many = "nodes:\n" + "  - {id: 1, smpt: {}, when: []}\n" * 150

    assert len(schema.check("flow", read(many.encode(), "flow.yaml"))) <= MAX_FINDINGS


def test_ten_thousand_wrong_values_take_no_time() -> None:
    import time

    many = f"a: [{'{a}, ' * 10_000}]\n"
    document = read(many.encode(), "flow.yaml")
    begin = time.monotonic()

    assert schema.check("flow", document)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("name", schema.names())
@pytest.mark.parametrize("value", [10**400, -(10**30), float("nan"), float("inf"), 1.0])
def test_numbers_that_few_languages_have_end_in_findings(name: str, value: Any) -> None:
    assert schema.check(name, Bare(value))


def test_both_libraries_agree_on_what_is_a_schema() -> None:
    chance = random.Random(5)
    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    data = (FLOWS / "ok" / "a-body-with-everything-in-it.yaml").read_bytes()
    for _ in range(300):
        value = changed(copy.deepcopy(read(data, "flow.yaml").value["body"]), chance)

        assert is_plainly_valid(METASCHEMA, value) is validator.is_valid(value), value
