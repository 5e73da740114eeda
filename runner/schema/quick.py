"""A short way to "valid" for the schemas that rows of data usually have.

Compiles what it knows well to plain comparisons. The answer True is certain; anything else, and every schema that it
does not know whole, is left to the checker that explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]

_IGNORED = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
)
_OBJECT = frozenset({"type", "required", "properties", "additionalProperties"})
_LEAF = frozenset({"type", "format", "minLength", "maxLength", "enum", "const", "minimum", "maximum"})


def quick(schema: object) -> Test | None:
    """A test that is True only for values that ``schema`` allows; None for a schema it does not know whole."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return None
    if not schema.keys() <= _OBJECT | _IGNORED:
        return None
    required = schema.get("required", [])
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties", True)
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return None
    if not isinstance(properties, Mapping) or not isinstance(extra, bool):
        return None
    tests: list[tuple[str, Test]] = []
    for name, part in properties.items():
        test = _leaf(part)
        if test is None:
            return None
        tests.append((name, test))
    needed = frozenset(required)
    known = frozenset(properties)

    def valid(value: Any) -> bool:
        if type(value) is not dict or not needed <= value.keys() or not (extra or value.keys() <= known):
            return False
        for name, test in tests:  # noqa: SIM110
            if name in value and not test(value[name]):
                return False
        return True

    return valid


def _leaf(schema: object) -> Test | None:
    if schema is True or schema == {}:
        return lambda value: True
    if not isinstance(schema, Mapping) or not schema.keys() <= _LEAF | _IGNORED:
        return None
    match schema.get("type"):
        case "string":
            return _text(schema)
        case "boolean" if schema.keys() <= {"type"} | _IGNORED:
            return lambda value: type(value) is bool
        case "integer" if schema.keys() <= {"type", "minimum", "maximum"} | _IGNORED:
            return _number(schema, (int,))
        case "number" if schema.keys() <= {"type", "minimum", "maximum"} | _IGNORED:
            return _number(schema, (int, float))
    return None


def _number(schema: Mapping[str, Any], kinds: tuple[type, ...]) -> Test | None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if any(bound is not None and type(bound) not in (int, float) for bound in (low, high)):
        return None

    def valid(value: Any) -> bool:
        # A float that is whole is an integer too: that is for the other checker to say.
        return type(value) in kinds and (low is None or value >= low) and (high is None or value <= high)

    return valid


def _text(schema: Mapping[str, Any]) -> Test | None:
    from runner.schema.formats import FORMATS, UNASSERTED

    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if type(low) is not int or (high is not None and type(high) is not int):
        return None
    if "const" in schema or "minimum" in schema or "maximum" in schema:
        return None
    test: Test | None = None
    if "format" in schema:
        name = schema["format"]
        if name in FORMATS:
            test = FORMATS[name][0]
        elif name not in UNASSERTED:
            return None
    allowed = None
    if "enum" in schema:
        if not isinstance(schema["enum"], list) or not all(isinstance(each, str) for each in schema["enum"]):
            return None
        allowed = frozenset(schema["enum"])

    def valid(value: Any) -> bool:
        return (
            type(value) is str
            and len(value) >= low
            and (high is None or len(value) <= high)
            and (allowed is None or value in allowed)
            and (test is None or test(value))
        )

    return valid
