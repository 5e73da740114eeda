"""What names a value has, as far as is known before a run: for finding typing mistakes in templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_MAX_DEPTH = 24
_MAX_SHAPES = 5000
_LEAVES = frozenset({"string", "number", "integer", "boolean", "null"})

Rule = Literal["known", "listed", "forbidden"]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The names in a value, and the shape behind each.

    ``names`` None: nothing is known. ``closed``: there are no other names than these. ``items`` is the shape
    of each item when the value is a list. ``rule`` is why a closed one is closed: all its names are ``known``, a
    schema has ``listed`` them and lets others come all the same, or it has ``forbidden`` others.
    """

    names: Mapping[str, Shape] | None = None
    closed: bool = False
    items: Shape | None = None
    rule: Rule = "known"

    @classmethod
    def of(cls, names: Mapping[str, Shape], *, closed: bool = True) -> Shape:
        """A mapping with these names, and no others if ``closed``."""
        return cls(dict(names), closed)


ANY = Shape()
"""A value of which nothing is known: any name may be there."""
LEAF = Shape({}, closed=True)
"""A text, number or the like: it has no names."""


def shape_of_schema(schema: object) -> Shape:
    """The shape of the values that a JSON Schema (2020-12) describes.

    An object whose ``properties`` are written out is closed, since a field that they lack is most likely a
    mistake; ``additionalProperties`` or ``unevaluatedProperties`` that is true or a schema, or
    ``patternProperties``, opens it. References inside the document are followed, others are not known.
    """
    return _Reader(schema).shape()


@dataclass(slots=True)
class _Found:
    """What some schemas that hold together say: ``neutral`` is what says nothing about names."""

    names: dict[str, Shape]
    opened: bool = False
    neutral: bool = True
    leaf: bool = False
    forbidden: bool = False
    items: Shape | None = None

    def finish(self) -> Shape:
        rule: Rule = "forbidden" if self.forbidden else "listed"
        if self.opened:
            return Shape(self.names, False, self.items, rule)
        if self.names or not self.neutral:
            return Shape(self.names, True, self.items, rule)
        if self.leaf:
            return Shape({}, True, self.items, "forbidden")
        return Shape(None, False, self.items)


class _Reader:
    def __init__(self, root: object) -> None:
        self.root = root
        self.count = 0

    def shape(self) -> Shape:
        return self._shape(self.root, 0, ())

    def _shape(self, schema: object, depth: int, refs: tuple[str, ...]) -> Shape:
        self.count += 1
        if depth > _MAX_DEPTH or self.count > _MAX_SHAPES:
            return ANY
        return self._read(schema, depth, refs).finish()

    def _read(self, schema: object, depth: int, refs: tuple[str, ...]) -> _Found:
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self.count > _MAX_SHAPES:
            return _Found({}, opened=schema is not False)
        self.count += 1
        found = self._own(schema, depth, refs)
        reference = schema.get("$ref", schema.get("$dynamicRef"))
        if isinstance(reference, str):
            # a schema that refers to itself (a tree) is followed a few rounds, then anything may come
            target = self._resolve(reference)
            known = target is not None and refs.count(reference) < 3
            other = self._read(target, depth + 1, (*refs, reference)) if known else _Found({}, opened=True)
            _both(found, other)
        for key in ("allOf", "anyOf", "oneOf"):
            branches = schema.get(key)
            if isinstance(branches, list) and branches:
                read = [self._read(branch, depth + 1, refs) for branch in branches]
                for branch in read if key == "allOf" else [_either(read)]:
                    _both(found, branch)
        alternatives = [schema[key] for key in ("then", "else") if key in schema]
        dependent = schema.get("dependentSchemas")
        if isinstance(dependent, Mapping):
            alternatives.extend(dependent.values())
        for branch in alternatives:
            other = self._read(branch, depth + 1, refs)
            other.neutral = other.neutral or not other.names
            other.forbidden = False  # it forbids under a condition, and the event has it or not
            _both(found, other)
        return found

    def _own(self, schema: Mapping[str, Any], depth: int, refs: tuple[str, ...]) -> _Found:
        found = _Found({})
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            found.neutral = not properties
            for name, inner in properties.items():
                found.names[str(name)] = self._shape(inner, depth + 1, refs)
        required = schema.get("required")
        if isinstance(required, list):
            for name in required:
                found.names.setdefault(str(name), ANY)
            found.neutral = found.neutral and not isinstance(properties, Mapping)
        for key in ("additionalProperties", "unevaluatedProperties"):
            if key in schema:
                if schema[key] is False:
                    found.neutral = False
                    found.forbidden = True
                else:
                    found.opened = True
        found.opened = found.opened or bool(schema.get("patternProperties"))
        types = schema.get("type")
        types = [types] if isinstance(types, str) else types
        if isinstance(types, list) and types and all(kind in _LEAVES for kind in types):
            found.leaf = True
        items = schema.get("items")
        if items is not None and "prefixItems" not in schema:
            found.items = self._shape(items, depth + 1, refs)
        return found

    def _resolve(self, reference: str) -> object | None:
        if not reference.startswith("#"):
            return None
        target: object = self.root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            else:
                return None
        return target if reference == "#" or reference.startswith("#/") else None


def _both(found: _Found, other: _Found) -> None:
    """Add what also holds."""
    for name, shape in other.names.items():
        found.names[name] = _meet(found.names[name], shape) if name in found.names else shape
    found.opened = found.opened or other.opened
    found.neutral = found.neutral and other.neutral
    found.leaf = found.leaf or other.leaf
    found.forbidden = found.forbidden or other.forbidden
    found.items = other.items if found.items is None else found.items


def _either(branches: list[_Found]) -> _Found:
    """What holds when one of the branches does: any of their names may be there."""
    names: dict[str, Shape] = {}
    for branch in branches:
        for name, shape in branch.names.items():
            names[name] = _join(names[name], shape) if name in names else shape
    return _Found(
        names,
        opened=any(branch.opened for branch in branches),
        neutral=all(branch.neutral for branch in branches),
        leaf=all(branch.leaf for branch in branches),
        forbidden=all(branch.forbidden for branch in branches),
        items=branches[0].items if len(branches) == 1 else None,
    )


def _meet(left: Shape, right: Shape) -> Shape:
    if left.names is None:
        return right if right.names is not None else left
    if right.names is None:
        return left
    rule: Rule = "forbidden" if "forbidden" in (left.rule, right.rule) else left.rule
    names = {**left.names, **right.names}
    return Shape(names, left.closed or right.closed, left.items or right.items, rule)


def _join(left: Shape, right: Shape) -> Shape:
    if left.names is None or right.names is None:
        return ANY
    rule = left.rule if left.rule == right.rule else "listed"
    return Shape({**left.names, **right.names}, left.closed and right.closed, rule=rule)
