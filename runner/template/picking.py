"""Filters that name another filter or a test: ``map``, ``select``, ``reject`` and their like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runner.template.budget import Refused, spend
from runner.template.listfilters import getter
from runner.template.methods import items
from runner.template.values import to_text

Table = Mapping[str, Callable[..., Any]]


def mapper(filters: Table) -> Callable[..., list[Any]]:
    """``| map("upper")`` and ``| map(attribute="email")``, with the filters of that table."""

    def map_(values: Any, *args: Any, attribute: Any = None, default: Any = None, **kwargs: Any) -> list[Any]:
        if attribute is not None:
            get = getter(attribute, default)
            return [get(value) for value in items(values)]
        function = _named(args, filters, "filter")
        result = []
        for value in items(values):
            spend(5, 64)
            result.append(function(value, *args[1:], **kwargs))
        return result

    return map_


def chooser(tests: Table, keep: bool, by_attribute: bool) -> Callable[..., list[Any]]:
    """``| select``, ``| reject``, ``| selectattr`` and ``| rejectattr``, with the tests of that table."""

    def choose(values: Any, *args: Any) -> list[Any]:
        get = getter(None)
        if by_attribute:
            if not args:
                raise Refused("the name of an attribute is wanted here")
            get, args = getter(args[0]), args[1:]
        test = _named(args, tests, "test") if args else bool
        rest = args[1:]
        result = []
        for value in items(values):
            spend(5)
            if bool(test(get(value), *rest)) is keep:
                result.append(value)
        return result

    return choose


def _named(args: tuple[Any, ...], known: Table, what: str) -> Callable[..., Any]:
    if not args or not isinstance(args[0], str) or args[0] not in known:
        raise Refused(
            f'"{to_text(args[0])[:60]}" is no {what}' if args else f"the name of a {what} is wanted here"
        )
    return known[to_text(args[0])]
