"""From a validator's error about a body to what its sender may read: place and rule, never the value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from runner.schema.explain import grouped
from runner.schema.words import kind_of, kinds, quoted

ValidationError = Any
"""jsonschema's, whose stubs make every field possibly unset."""


class Problem(NamedTuple):
    """What is wrong with a value: a JSON pointer (RFC 6901), and a sentence that never holds the value."""

    pointer: str
    message: str


def explain(error: ValidationError) -> Iterator[Problem]:
    """What ``error`` means, as one problem or more."""
    yield from _problems(error, ())


def _problems(error: ValidationError, base: tuple[str | int, ...]) -> Iterator[Problem]:
    path = (*base, *error.path)
    rule, value = error.validator, error.validator_value
    if rule == "required":
        key = next(key for key in value if error.message.startswith(repr(key)))
        yield Problem(pointer((*path, key)), f"{quoted(key)} is missing")
    elif rule == "dependentRequired":
        yield Problem(pointer(path), "lacks a field that another field needs")
    elif rule in ("anyOf", "oneOf") and error.context:
        branches = grouped(error.context)
        meant = min(branches.values(), key=_distance)
        if len(branches) > 1 and all(not e.path and e.validator in ("type", "const", "enum") for e in meant):
            yield Problem(pointer(path), "is none of the kinds that are allowed here")
        else:
            for inner in meant:
                yield from _problems(inner, path)
    else:
        yield Problem(pointer(path), _message(error))


def _distance(errors: list[ValidationError]) -> tuple[bool, int]:
    return any(not error.path and error.validator == "type" for error in errors), len(errors)


def _message(error: ValidationError) -> str:
    rule, value = error.validator, error.validator_value
    match rule:
        case "type":
            names = [value] if isinstance(value, str) else value
            return f"is {kind_of(error.instance)}, expected {kinds(names)}"
        case "format":
            from runner.schema.formats import FORMATS

            return f"is not {FORMATS[value][1]}"
        case "enum":
            listed = ", ".join(str(item) for item in value[:20])
            return f"is not one of {listed[:300]}"
        case "const":
            return f"is not {quoted(value)}"
        case "pattern":
            return f"does not match the pattern {quoted(value)}"
        case "minLength" | "maxLength":
            return f"has {len(error.instance):,} characters, {_bound(rule)} {value:,}"
        case "minItems" | "maxItems":
            return f"has {len(error.instance):,} entries, {_bound(rule)} {value:,}"
        case "minProperties" | "maxProperties":
            return f"has {len(error.instance):,} fields, {_bound(rule)} {value:,}"
        case "minimum" | "maximum":
            return f"is {'less' if rule == 'minimum' else 'more'} than {value}"
        case "exclusiveMinimum" | "exclusiveMaximum":
            return f"is not {'more' if rule == 'exclusiveMinimum' else 'less'} than {value}"
        case "multipleOf":
            return f"is not a multiple of {value}"
        case "uniqueItems":
            return "holds an entry twice"
        case "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems":
            return "is not allowed here"
    return f"breaks the rule {quoted(rule or 'false')}"


def _bound(rule: str) -> str:
    return "at least" if rule.startswith("min") else "at most"


def pointer(path: Sequence[str | int]) -> str:
    """``path`` as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
