"""Beginning and end of a render: from scope to context, and from the generated parts to the field's value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

from jinja2 import nodes
from jinja2.runtime import Undefined

from runner.errors import TemplateError
from runner.template.access import GLOBALS
from runner.template.budget import Refused, begin
from runner.template.engine import Scope, Unit
from runner.template.grammar import lone
from runner.template.kinds import Kind
from runner.template.output import address, collect, url
from runner.template.straight import Alone, NotStraight, Straight
from runner.template.values import SCALARS, Html, plain, to_text

_NATIVE = (Kind.TEXT, Kind.URL, Kind.EXPRESSION)


def is_native(kind: Kind, tree: nodes.Template) -> bool:
    """Whether the template is one expression that keeps its native type."""
    return kind in _NATIVE and lone(tree) is not None


def starter(unit: Unit) -> Callable[[Mapping[str, object]], Scope]:
    """The function that makes a render's context."""
    environment, name, blocks = unit.environment, unit.name, unit.blocks
    new = Scope.__new__

    def start(scope: Mapping[str, object]) -> Scope:
        begin()
        context = new(Scope)
        # what the constructor does, at once
        context.__dict__ = {
            "parent": {**GLOBALS, **scope},
            "vars": {},
            "environment": environment,
            "exported_vars": set(),
            "name": name,
            "blocks": {block: [code] for block, code in blocks.items()} if blocks else {},
            "unit": unit,
        }
        return context

    return start


def texts(unit: Unit) -> frozenset[str]:
    """The author's texts in a template and the files it names: what its parts are made of beside values."""
    found: set[str] = set()
    todo = [unit]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if id(one) not in seen:
            seen.add(id(one))
            todo.extend(other for other in one.library.values() if other is not None)
            found.update(_constants(one.root_render_func.__code__))
            for block in one.blocks.values():
                found.update(_constants(block.__code__))
    return frozenset(found)


def _constants(code: CodeType) -> Iterator[str]:
    for value in code.co_consts:
        if isinstance(value, str):
            yield value
        elif isinstance(value, CodeType):
            yield from _constants(value)


def finisher(unit: Unit, after: Callable[[str], str] | None) -> Callable[[Iterable[Any], int], Any]:
    """The function that makes the field's value of the parts, within a limit of characters."""
    if unit.native:
        return _taken if _is_path(lone(unit.tree)) else _computed
    if unit.kind in (Kind.ADDRESS, Kind.PATH):
        return address
    if unit.kind is Kind.URL:
        return url
    if after is not None:
        return lambda parts, limit: within(_followed(after, collect(parts, limit)), limit)
    return collect


def is_joined(unit: Unit, after: Callable[[str], str] | None) -> bool:
    """Whether the field's value is its parts and nothing but them."""
    return finisher(unit, after) is collect


def is_joined_or_taken(unit: Unit, after: Callable[[str], str] | None) -> bool:
    """Whether the field's value is its parts, or the addresses that they name, or one value that it takes."""
    return finisher(unit, after) in (collect, address, _taken)


Quick = Callable[[Mapping[str, object], int], Any]
"""Another way to a field's value, from a scope and within a limit; None where it has to be the longer one."""


def shortcut(unit: Unit, finish: Callable[[Iterable[Any], int], Any]) -> tuple[Quick | None, Quick | None]:
    """The short ways to the value and to the parts of a template that holds nothing but the simple."""
    try:
        if finish is _taken:
            found = lone(unit.tree)
            return (None if found is None else Alone(found).value), None
        if finish is collect:
            straight = Straight(unit.tree, escaped=unit.kind is Kind.HTML, null_is_empty=unit.null_is_empty)
            return straight.text, straight.parts
        if finish is address:
            straight = Straight(unit.tree)
            return (None if straight.tests else straight.pieces), None
    except NotStraight:
        pass
    return None, None


def _followed(after: Callable[[str], str], text: str) -> str:
    try:
        return after(text)
    except TemplateError as error:
        # as a refusal it is given the file and field that it came from
        raise Refused(error.message, error.hint) from error


def _is_path(node: nodes.Node | None) -> bool:
    while isinstance(node, nodes.Getattr) or (
        isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const)
    ):
        node = node.node
    return isinstance(node, nodes.Name)


def _taken(parts: Iterable[Any], limit: int) -> Any:
    """A value straight from the scope: data already, and not built here."""
    for value in parts:
        if type(value) in SCALARS or isinstance(value, dict | list):
            return within(value, limit)
    return _computed((value,), limit)


def _computed(parts: Iterable[Any], limit: int) -> Any:
    """A value that the template may have built: counted and made plain."""
    for value in parts:
        if isinstance(value, Undefined):
            return within(str(value), limit)
        if type(value) is Html:
            return within(to_text(value), limit)
        return within(plain(value), limit)
    return ""


def within(value: Any, limit: int) -> Any:
    """The value, unless it is a text or bytes longer than ``limit``."""
    if isinstance(value, str | bytes) and len(value) > limit:
        raise Refused(f"the result has more than {limit} characters")
    return value
