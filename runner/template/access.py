"""How an expression reaches into a value: ``a.b``, ``a[b]``, ``a.b()``, ``a()``, and what a loop runs over.

A mapping's keys come first and are all it has; nothing here ever asks Python for an attribute that is not
listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2.environment import TemplateModule
from jinja2.runtime import BlockReference, LoopContext, Macro, Undefined
from jinja2.utils import Namespace

from runner.template.budget import Refused, deeper, shallower, spend
from runner.template.methods import ATTRIBUTES, METHODS, items
from runner.template.nearest import nearest
from runner.template.operators import hashable
from runner.template.printf import braces
from runner.template.values import Group, Html, Missing, Unknown, describe, to_text, weigh

LOOP_NAMES = frozenset(
    {
        "depth",
        "depth0",
        "first",
        "index",
        "index0",
        "last",
        "length",
        "nextitem",
        "previtem",
        "revindex",
        "revindex0",
    }
)
LOOP_METHODS = frozenset({"cycle", "changed"})
_AT_ONCE = 20_000


def attribute(obj: Any, name: str) -> Any:
    """``obj.name``: a key of a mapping, or one of the few attributes that are listed; else ``Missing``."""
    if type(obj) is dict:
        try:
            return obj[name]
        except KeyError:
            return Missing(None, obj, name)
    if isinstance(obj, Undefined):
        obj._fail_with_undefined_error()
    if isinstance(obj, Mapping):
        return obj[name] if name in obj else Missing(None, obj, name)
    if isinstance(obj, LoopContext):
        if name in LOOP_NAMES:
            return getattr(obj, name)
    elif isinstance(obj, Namespace):
        found = object.__getattribute__(obj, "_Namespace__attrs")
        if name in found:
            return found[name]
    elif isinstance(obj, TemplateModule):
        if not name.startswith("_") and name in vars(obj):
            return vars(obj)[name]
    elif isinstance(obj, BlockReference):
        if name == "super":
            return obj.super
    elif isinstance(obj, Group):
        if name in ("grouper", "list"):
            return obj[0 if name == "grouper" else 1]
    else:
        for types, names in ATTRIBUTES:
            if isinstance(obj, types):
                return getattr(obj, name) if name in names else Missing(None, obj, name)
    return Missing(None, obj, name)


def inner(obj: Any, name: str, other: str) -> Any:
    """``obj.name.other``, at once where both are keys."""
    if type(obj) is dict:
        found = obj.get(name)
        if type(found) is dict and other in found:
            return found[other]
    return attribute(attribute(obj, name), other)


def item(obj: Any, key: Any) -> Any:
    """``obj[key]``; else ``Missing``."""
    if type(obj) is dict and type(key) is str:
        return obj[key] if key in obj else Missing(None, obj, key)
    if isinstance(obj, Undefined):
        obj._fail_with_undefined_error()
    if isinstance(key, Undefined):
        str(key)
    if isinstance(obj, Mapping):
        key = hashable(key)
        return obj[key] if key in obj else Missing(None, obj, str(key)[:60])
    if isinstance(obj, list | tuple | range | str | bytes) and isinstance(key, int):
        try:
            return obj[key]
        except (IndexError, OverflowError):
            return Missing(f"{describe(obj)} has no item {str(key)[:20]}", obj, None)
    return attribute(obj, to_text(key)) if isinstance(key, str) else Missing(None, obj, to_text(key)[:60])


def slicing(obj: Any, start: Any, stop: Any, step: Any) -> Any:
    """``obj[start:stop:step]``."""
    if isinstance(obj, Undefined):
        obj._fail_with_undefined_error()
    if not isinstance(obj, list | tuple | range | str | bytes):
        raise Refused(f"{describe(obj)} has no parts to slice")
    spend(1, len(obj) * (4 if isinstance(obj, str) else 8) if type(obj) is not range else 0)
    try:
        return obj[start:stop:step]
    except (TypeError, ValueError):
        raise Refused("a slice is made of whole numbers, and its step is not 0") from None


def invoke(obj: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """``obj.name(*args, **kwargs)``: a method that is listed, or a macro found under that name."""
    if isinstance(obj, Undefined):
        obj._fail_with_undefined_error()
    if isinstance(obj, LoopContext):
        if name in LOOP_METHODS:
            for arg in args:
                weigh(arg)
            return getattr(obj, name)(*args)
    elif isinstance(obj, Mapping):
        if name in obj:
            raise Refused(
                f'"{name}" is a key of the mapping here, and cannot be called',
                f"leave the brackets away, or use | {name}" if name == "items" else None,
            )
    elif isinstance(obj, Namespace | TemplateModule | BlockReference):
        return call(attribute(obj, name), *args, **kwargs)
    if isinstance(obj, str) and name == "format":
        return _format(obj, args, kwargs)
    for types, table in METHODS:
        if isinstance(obj, types):
            if name in table:
                return _apply(table[name], obj, name, args, kwargs)
            if isinstance(obj, Mapping):
                raise Unknown("", name, obj)
            close = nearest(name, table)
            break
    else:
        close = None
    raise Refused(
        f'{describe(obj)} has no method "{name[:60]}"', f'did you mean "{close}"?' if close else None
    )


def _apply(
    method: Callable[..., Any], obj: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    for arg in args:
        if isinstance(arg, Undefined):
            str(arg)
    if type(obj) is not Html or name == "replace":
        subject = to_text(obj) if isinstance(obj, str) and type(obj) not in (str, Html) else obj
        return _checked(method, name, subject, args, kwargs)
    if name == "join":
        return _checked(method, name, obj, args, kwargs)
    result = _checked(method, name, to_text(obj), args, kwargs)
    return Html(result) if name in ("strip", "lstrip", "rstrip") else result


def _checked(
    method: Callable[..., Any], name: str, subject: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        return method(subject, *args, **kwargs)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused(f'".{name}()" cannot be called like this') from error


def _format(obj: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    def lookup(value: Any, key: Any, is_attribute: bool) -> Any:
        found = attribute(value, key) if is_attribute else item(value, key)
        if isinstance(found, Undefined):
            str(found)
        return found

    if type(obj) is Html:
        return braces(obj, args, kwargs, lookup)
    return braces(to_text(obj), args, kwargs, lookup)


def call(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """``obj(*args, **kwargs)``: a macro, a recursive loop, ``super`` or one of the global functions."""
    if isinstance(obj, Macro | BlockReference):
        deeper()
        try:
            return obj(*args, **kwargs)
        except TypeError as error:
            if str(error).startswith("macro "):
                raise Refused(str(error).replace("'", '"')) from error
            raise
        finally:
            shallower()
    if isinstance(obj, LoopContext):
        deeper()
        try:
            return obj(items(args[0]) if len(args) == 1 else ())
        except TypeError as error:
            raise Refused('only a loop that ends in "recursive" can be called') from error
        finally:
            shallower()
    if isinstance(obj, Undefined):
        obj._fail_with_undefined_error()
    for function in GLOBALS.values():
        if obj is function:
            return (
                _checked(function, function.__name__, args[0], args[1:], kwargs)
                if args
                else function(**kwargs)
            )
    raise Refused(f"{describe(obj)} cannot be called")


def bounded_range(*args: Any) -> range:
    """``range(stop)`` and ``range(start, stop, step)``; who runs over it pays for its length."""
    if not args or not all(isinstance(arg, int) for arg in args):
        raise Refused("range takes whole numbers")
    return range(*args)


def new_mapping(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """``dict(mapping, key=value)``."""
    found: dict[str, Any] = {}
    for arg in args:
        if not isinstance(arg, Mapping):
            raise Refused(f"a mapping is wanted here, not {describe(arg)}")
        spend(len(arg), 100 * len(arg))
        found.update(arg)
    found.update(kwargs)
    return found


def namespace(*args: Any, **kwargs: Any) -> Namespace:
    """``namespace(key=value)``: the one value that statements can change."""
    return Namespace(new_mapping(*args, **kwargs))


bounded_range.__name__, new_mapping.__name__ = "range", "dict"
GLOBALS: dict[str, Callable[..., Any]] = {"range": bounded_range, "dict": new_mapping, "namespace": namespace}
"""The names that exist besides the scope."""


def looped(values: Any, steps: int, space: int) -> Any:
    """What a loop runs over, paid for: ``steps`` and ``space`` are the cost of one turn."""
    if isinstance(values, Undefined):
        return iter(values)
    if type(values) is range:
        try:
            size = len(values)
        except OverflowError:
            raise Refused("the range is too long") from None
    else:
        if type(values) is not list:
            values = items(values)
        size = len(values)
    if size * steps <= _AT_ONCE:
        spend(size * steps, size * space)
        return values
    return _in_parts(values, size, steps, space)


def _in_parts(values: Any, size: int, steps: int, space: int) -> Iterator[Any]:
    part = max(1, _AT_ONCE // 2 // steps)
    for start in range(0, size, part):
        turns = min(part, size - start)
        spend(turns * steps, turns * space)
        yield from values[start : start + part]


def spread(values: Any) -> Any:
    """What ``*values`` or ``**values`` hands to a call, paid for."""
    return new_mapping(values) if isinstance(values, Mapping) else items(values)


def entered(steps: int, space: int) -> None:
    """Pay for the body of a macro or for one turn of a recursive loop."""
    spend(steps, space)
