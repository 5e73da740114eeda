"""Cells of CSV are text; where the flow's body schema wants a number, a boolean or null, they become one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runner.rows.limits import MAX_DIGITS

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INFINITE = (float("inf"), float("-inf"))
_MAX_REFERENCES = 16
_KINDS: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
}
_Schema = Mapping[str, Any]


def coercer(schema: Mapping[str, Any] | bool | None) -> Callable[[dict[str, str]], dict[str, Any]]:
    """What turns a CSV row into the body that ``schema`` (JSON Schema of the flow's ``body``) describes.

    A cell of a column of type integer, number, boolean or null becomes such a value when it is written exactly as
    JSON writes it (booleans also ``TRUE`` and ``True``), and is left out when it is empty. Everything else stays
    text: ``042`` is no integer, so the schema complains and no postcode loses its zero. Columns that may be text,
    or that the schema gives no type, are untouched. The row is not changed; a new one is returned.
    """
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    typed: list[tuple[str, Callable[[str], Any]]] = []
    if isinstance(schema, Mapping) and isinstance(properties, Mapping):
        for name, column in properties.items():
            types = _types(column, schema, _MAX_REFERENCES)
            if types and "string" not in types:
                typed.append((name, _reader(types)))

    def coerce(body: dict[str, str]) -> dict[str, Any]:
        row: dict[str, Any] = body.copy()
        for name, read in typed:
            cell = row.get(name)
            if cell:
                row[name] = read(cell)
            elif cell == "":
                del row[name]
        return row

    return coerce


def _reader(types: frozenset[str]) -> Callable[[str], Any]:
    readings = [_READINGS[kind] for kind in ("null", "boolean", "integer", "number") if kind in types]

    def read(cell: str) -> Any:
        for reading in readings:
            value = reading(cell)
            if value is not cell:
                return value
        return cell

    return readings[0] if len(readings) == 1 else read


def _null(cell: str) -> Any:
    return None if cell == "null" else cell


def _boolean(cell: str) -> Any:
    return _BOOLEANS.get(cell, cell)


def _integer(cell: str) -> Any:
    return int(cell) if len(cell) <= MAX_DIGITS and _INTEGER.fullmatch(cell) else cell


def _number(cell: str) -> Any:
    if len(cell) > MAX_DIGITS or not _NUMBER.fullmatch(cell):
        return cell
    value = int(cell) if _INTEGER.fullmatch(cell) else float(cell)
    return cell if value in _INFINITE else value


_READINGS: dict[str, Callable[[str], Any]] = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
}


def _types(column: Any, schema: _Schema, left: int) -> frozenset[str]:
    """The types that a column may have; empty when the schema does not say."""
    if not isinstance(column, Mapping) or left == 0:
        return frozenset()
    if isinstance(kind := column.get("type"), str):
        return frozenset([kind])
    if isinstance(kind, list | tuple):
        return frozenset(word for word in kind if isinstance(word, str))
    if "const" in column:
        return _types_of([column["const"]])
    if isinstance(values := column.get("enum"), list | tuple):
        return _types_of(values)
    if isinstance(reference := column.get("$ref"), str):
        return _types(_target(reference, schema), schema, left - 1)
    for word in ("anyOf", "oneOf"):
        if isinstance(branches := column.get(word), list | tuple) and branches:
            sets = [_types(branch, schema, left - 1) for branch in branches[:_MAX_REFERENCES]]
            return frozenset().union(*sets) if all(sets) else frozenset()
    for branch in column.get("allOf") or ():
        if types := _types(branch, schema, left - 1):
            return types
    return frozenset()


def _types_of(values: Iterable[Any]) -> frozenset[str]:
    return frozenset(_KINDS.get(type(value), "object") for value in values)


def _target(reference: str, schema: _Schema) -> Any:
    if not reference.startswith("#/"):
        return None
    found: Any = schema
    for step in reference[2:].split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found
