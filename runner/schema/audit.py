"""Is a flow's ``body`` a schema that will do what its author means? Everything that speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from runner.errors import ConfigurationError
from runner.schema.verdict import METASCHEMA, is_plainly_valid
from runner.schema.words import kind_of, kinds, nearest, quoted

if TYPE_CHECKING:
    from runner.schema.body import Checker

ValidationError = Any
"""jsonschema's, whose stubs make every field possibly unset."""

MAX_FINDINGS = 50

_ONE = frozenset(
    [
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    ]
)
_MANY = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
_NAMED = frozenset(["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"])
_PLAIN = frozenset(
    [
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$dynamicRef",
        "$id",
        "$ref",
        "$schema",
        "$vocabulary",
        "const",
        "contentEncoding",
        "contentMediaType",
        "default",
        "dependentRequired",
        "deprecated",
        "description",
        "enum",
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "readOnly",
        "required",
        "title",
        "type",
        "uniqueItems",
        "writeOnly",
    ]
)
_KEYWORDS = sorted(_ONE | _MANY | _NAMED | _PLAIN)
_KNOWN = frozenset(_KEYWORDS)


class SchemaFinding(NamedTuple):
    """A mistake in a schema at ``pointer``, or at its key; a warning is about what does nothing."""

    pointer: tuple[str | int, ...]
    message: str
    severity: Literal["error", "warning"] = "error"
    hint: str = ""
    key: bool = False


def schema_findings(schema: Mapping[str, Any] | bool) -> list[SchemaFinding]:
    """What is wrong with ``schema`` (2020-12), at most MAX_FINDINGS; warnings for what has no effect."""
    if isinstance(schema, bool):
        return []
    dialect = schema.get("$schema", METASCHEMA)
    if not isinstance(dialect, str) or dialect.rstrip("#") != METASCHEMA:
        return [SchemaFinding(("$schema",), f"the body is checked by {METASCHEMA}", hint="delete the line")]
    found = []
    if not is_plainly_valid(METASCHEMA, schema):
        found = [_explained(error) for error in islice(_metaschema().iter_errors(schema), MAX_FINDINGS)]
    if not found:
        found = list(islice(_inspect(schema), MAX_FINDINGS)) or list(_endless(schema))
    return list(dict.fromkeys(found))


@cache
def _metaschema() -> Any:
    from jsonschema import Draft202012Validator

    from runner.schema.body import registry

    return Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=registry())


def _explained(error: ValidationError) -> SchemaFinding:
    while error.context:
        error = min(error.context, key=lambda inner: (not inner.path, inner.validator == "type"))
    pointer = tuple(error.absolute_path)
    name = quoted(pointer[-1]) if pointer else "the body"
    value = error.validator_value
    match error.validator:
        case "type":
            names = [value] if isinstance(value, str) else value
            shown = kinds(names).replace("a mapping or true or false", "a schema")
            message = f"{name} is {kind_of(error.instance)}, expected {shown}"
        case "enum":
            close = nearest(str(error.instance), [str(item) for item in value])
            message = f"{quoted(error.instance)} is not one of {', '.join(map(str, value))}"
            return SchemaFinding(pointer, message, hint=f"did you mean {quoted(close)}?" if close else "")
        case "minimum":
            message = f"{error.instance} is less than {value} for {name}"
        case "uniqueItems":
            message = f"{name} holds an entry twice"
        case "minItems":
            message = f"{name} is empty"
        case "pattern":
            message = f"{quoted(error.instance)} is not what {name} may be"
        case rule:
            message = f"{name} breaks the rule {quoted(rule)} of JSON Schema"
    return SchemaFinding(pointer, message)


def _subschemas(
    schema: Mapping[str, Any], pointer: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Every mapping in ``schema`` that is a schema itself, with its place."""
    waiting: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [(pointer, schema)]
    while waiting:
        place, current = waiting.pop()
        yield place, current
        for keyword, value in current.items():
            inner: list[tuple[tuple[str | int, ...], Any]] = []
            if keyword in _ONE:
                inner = [((*place, keyword), value)]
            elif keyword in _MANY:
                inner = [((*place, keyword, number), item) for number, item in enumerate(value)]
            elif keyword in _NAMED:
                inner = [((*place, keyword, name), item) for name, item in value.items()]
            waiting.extend((where, item) for where, item in inner if isinstance(item, dict))


def _inspect(schema: Mapping[str, Any]) -> Iterator[SchemaFinding]:
    from runner.schema.pattern import UnsupportedPattern, matcher

    places = list(_subschemas(schema))
    has_unevaluated = any("unevaluatedProperties" in current for _, current in places)
    own_ids = any("$id" in current for place, current in places if place)
    for place, current in places:
        for keyword in current.keys() - _KNOWN:
            if not keyword.startswith("x-") and (close := nearest(keyword, _KEYWORDS)):
                message = f"{quoted(keyword)} is no keyword of JSON Schema and does nothing"
                yield SchemaFinding(
                    (*place, keyword), f"{message}; did you mean {quoted(close)}?", "warning", key=True
                )
        yield from _format(place, current)
        named = current.get("patternProperties", {})
        patterns = [((*place, "patternProperties", text), text, True) for text in named]
        if "pattern" in current:
            patterns.append(((*place, "pattern"), current["pattern"], False))
        for where, text, key in patterns:
            try:
                matcher(text)
            except UnsupportedPattern as exc:
                message = f"{quoted(text)} is not a pattern that can be used: {exc}"
                yield SchemaFinding(where, message, key=key)
        if named and has_unevaluated:
            # The validator would match these by a backtracking engine, out of our reach.
            message = '"patternProperties" and "unevaluatedProperties" do not go together here'
            yield SchemaFinding((*place, "patternProperties"), message, key=True)
        if not own_ids:
            yield from _reference(schema, place, current)


def _format(place: tuple[str | int, ...], current: Mapping[str, Any]) -> Iterator[SchemaFinding]:
    from runner.schema.formats import FORMATS, UNASSERTED

    name = current.get("format")
    if name is None or name in FORMATS or name in UNASSERTED:
        return
    close = nearest(name, list(FORMATS))
    hint = f"did you mean {quoted(close)}?" if close else f"checked are {', '.join(FORMATS)}"
    yield SchemaFinding((*place, "format"), f"{quoted(name)} is no format that is checked", "warning", hint)


def _reference(
    schema: Mapping[str, Any], place: tuple[str | int, ...], current: Mapping[str, Any]
) -> Iterator[SchemaFinding]:
    for keyword in ("$ref", "$dynamicRef"):
        if keyword not in current:
            continue
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012

        from runner.schema.body import registry

        reference = current[keyword]
        resource = DRAFT202012.create_resource(schema)
        base = str(schema.get("$id", ""))
        try:
            target = registry().with_resource(base, resource).resolver(base).lookup(reference).contents
        except (Unresolvable, ValueError):
            hint = "" if reference.startswith("#") else "nothing is fetched: put the schema into $defs"
            yield SchemaFinding(
                (*place, keyword), f"there is no {quoted(reference)} in this schema", hint=hint
            )
            continue
        if not isinstance(target, dict | bool):
            yield SchemaFinding((*place, keyword), f"{quoted(reference)} is not a schema")


def _endless(schema: Mapping[str, Any]) -> Iterator[SchemaFinding]:
    """Try a value of each kind: a schema that refers to itself without going deeper never ends."""
    from runner.schema.body import unaudited_checker

    if not any("$ref" in current or "$dynamicRef" in current for _, current in _subschemas(schema)):
        return
    checker = unaudited_checker(schema)
    samples: tuple[object, ...] = ({}, [], "", 0, None)
    for sample in samples:
        stuck = [found for found in checker.problems(sample) if "cannot be checked" in found.message]
        if stuck:
            endless = "nested" in stuck[0].message
            message = (
                "refers to itself without end" if endless else "takes too long to check even a small value"
            )
            yield SchemaFinding((), f"the body {message}")
            return


def body_checker(schema: Mapping[str, Any] | bool) -> Checker:
    """A checker for values that ``schema`` (JSON Schema 2020-12) describes.

    Raises ConfigurationError when the schema is wrong; ``schema_findings`` tells everything that is.
    """
    from runner.schema.body import unaudited_checker

    for finding in schema_findings(schema):
        if finding.severity == "error":
            place = "/".join(map(str, finding.pointer))
            raise ConfigurationError(f"the body schema is wrong at /{place}: {finding.message}")
    return unaudited_checker(schema)
