"""The tests that follow ``is``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2.runtime import Macro, Undefined

from runner.template.budget import Refused
from runner.template.operators import compare, modulo
from runner.template.values import Html, describe


def _number(value: Any) -> int:
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, int):
        raise Refused(f"a whole number is wanted here, not {describe(value)}")
    return value


def _known(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def known(value: Any) -> bool:
        if isinstance(value, Undefined):
            str(value)
        return test(value)

    return known


def _compared(name: str) -> Callable[[Any, Any], Any]:
    return lambda left, right: compare(left, name, right)


TESTS: dict[str, Callable[..., Any]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "odd": lambda value: _number(value) % 2 == 1,
    "even": lambda value: _number(value) % 2 == 0,
    "divisibleby": lambda value, by: modulo(_number(value), _number(by)) == 0,
    "none": _known(lambda value: value is None),
    "true": _known(lambda value: value is True),
    "false": _known(lambda value: value is False),
    "boolean": _known(lambda value: isinstance(value, bool)),
    "integer": _known(lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": _known(lambda value: isinstance(value, float)),
    "number": _known(lambda value: isinstance(value, int | float)),
    "string": _known(lambda value: isinstance(value, str)),
    "mapping": _known(lambda value: isinstance(value, Mapping)),
    "sequence": _known(lambda value: isinstance(value, str | bytes | list | tuple | range | Mapping)),
    "iterable": _known(lambda value: isinstance(value, str | bytes | list | tuple | range | Mapping)),
    "callable": _known(lambda value: isinstance(value, Macro)),
    "lower": _known(lambda value: isinstance(value, str) and value.islower()),
    "upper": _known(lambda value: isinstance(value, str) and value.isupper()),
    "escaped": _known(lambda value: type(value) is Html),
    "sameas": lambda value, other: value is other,
    "test": lambda name: isinstance(name, str) and name in TESTS,
    "in": lambda part, whole: compare(part, "in", whole),
    **{
        name: _compared(jinja)
        for names, jinja in (
            (("eq", "==", "equalto"), "eq"),
            (("ne", "!="), "ne"),
            (("lt", "<", "lessthan"), "lt"),
            (("le", "<="), "lteq"),
            (("gt", ">", "greaterthan"), "gt"),
            (("ge", ">="), "gteq"),
        )
        for name in names
    },
}
