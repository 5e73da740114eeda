"""The house's own data classes mean what those of the standard library mean."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from runner import record

MAKERS = [dataclasses.dataclass, record.dataclass]


def told(make: Any, **options: bool) -> Any:
    """A class with a field of every kind."""

    @make(**options)
    class Told:
        """A class."""

        rules: ClassVar[int] = 7
        name: str
        count: int = 1
        parts: list[str] = field(default_factory=list)
        shown: str = field(default="x", repr=False)
        told: str = field(default="y", compare=False)
        fixed: str = field(default="z", init=False)
        made: list[str] = field(default_factory=list, init=False)
        late: int = field(init=False)
        named: int = field(default=3, kw_only=True)

        def __post_init__(self) -> None:
            object.__setattr__(self, "late", self.count + 1)

    return Told


OPTIONS = [
    {},
    {"slots": True},
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "kw_only": True},
    {"slots": True, "eq": False},
    {"slots": True, "repr": False},
    {"frozen": True, "slots": True, "order": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
def test_instances_are_made_shown_and_changed_as_those_of_the_standard_library(
    options: dict[str, bool],
) -> None:
    theirs, ours = ([_seen(told(make, **options))] for make in MAKERS)

    assert ours == theirs


def _seen(made: Any) -> dict[str, Any]:
    one, other = made(name="a"), made(name="a", count=2, parts=["p"], named=4)
    return {
        "repr": repr(one).rpartition(" at 0x")[0] or (repr(one), repr(other)),
        "same": one == made(name="a", told="else"),
        "other": one == other,
        "foreign": one == "a",
        "values": [dataclasses.asdict(one), dataclasses.asdict(other)],
        "replaced": dataclasses.asdict(_replaceable(other)),
        "slots": sorted(getattr(made, "__slots__", ())),
        "match": made.__match_args__,
        "class": (made.rules, made.__doc__, made.__qualname__, made.__hash__ is None),
        "copied": dataclasses.asdict(copy.deepcopy(other)),
        "refused": [_refusal(lambda: setattr(one, "name", "b")), _refusal(lambda: delattr(other, "name"))],
        "given": [_refusal(lambda: made()), _refusal(lambda: made(name="a", fixed="z"))],
    }


def _replaceable(value: Any) -> Any:
    return dataclasses.replace(value, name="c")


def _refusal(act: Any) -> Any:
    try:
        act()
    except (FrozenInstanceError, TypeError) as error:
        return type(error), str(error).rpartition("__init__()")[2]
    return None


@record.dataclass(frozen=True, slots=True)
class Point:
    """At the module's level, where pickle finds it."""

    x: int
    y: int = 2


@record.dataclass(frozen=True, slots=True)
class Named(Point):
    """Adds a field to those of its base."""

    name: str = ""


@record.dataclass
class Own:
    """Keeps what it defines itself."""

    x: int

    def __repr__(self) -> str:
        return "own"

    def __eq__(self, other: object) -> bool:
        return True


def test_equal_frozen_values_are_one_key() -> None:
    assert {Point(1), Point(1, 2), Point(2)} == {Point(1), Point(2)}


def test_a_changeable_value_is_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(told(record.dataclass)(name="a"))


def test_a_frozen_value_with_slots_survives_pickle() -> None:
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)


def test_a_class_inherits_the_fields_of_another() -> None:
    assert Named(1, name="n") == Named(1, 2, "n")
    assert repr(Named(1)) == "Named(x=1, y=2, name='')"
    assert Named(1) != Point(1)


def test_methods_of_the_class_itself_are_kept() -> None:
    assert repr(Own(1)) == "own"
    assert Own(1) == Own(2)


def test_a_value_that_holds_itself_is_shown() -> None:
    one = told(record.dataclass)(name="a")
    one.name = one

    assert "Told(name=..., count=1" in repr(one)


def test_the_first_instance_puts_the_true_init_in_place() -> None:
    made = told(record.dataclass, frozen=True, slots=True)
    before = made.__init__
    made(name="a")

    assert made.__init__ is not before
    assert made.__init__.__code__.co_varnames[:3] == ("_self", "name", "count")
