"""Filters of lists. They return lists, never generators: what a template holds can be counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log2
from typing import Any

from jinja2.runtime import Undefined

from runner.template.access import item
from runner.template.budget import Refused, spend
from runner.template.methods import items, join
from runner.template.operators import add, compare, hashable
from runner.template.values import Group, Missing, describe, to_text, weigh

_MAX_SLICES = 10_000


def getter(path: Any, default: Any = None, fold: bool = False) -> Callable[[Any], Any]:
    """A function that follows ``"a.b.0"`` into an item; ``fold`` lowers the case of what it finds."""
    steps: list[int | str] = []
    if path is not None:
        if isinstance(path, int):
            steps = [path]
        else:
            text = to_text(path)
            if len(text) > 500:
                raise Refused("the name of an attribute is too long")
            steps = [int(step) if step.isdigit() else step for step in text.split(".")]

    def get(value: Any) -> Any:
        spend(1 + len(steps))
        for step in steps:
            value = item(value, step)
        if default is not None and isinstance(value, Undefined):
            return default
        if fold and isinstance(value, str):
            text = to_text(value)
            spend(len(text) >> 5, 0 if len(text) < 64 else 4 * len(text))
            return text.lower()
        return value

    return get


def listed(values: Any) -> list[Any]:
    """``| list``."""
    return items(values)


def length(values: Any) -> int:
    """``| length``."""
    if isinstance(values, Undefined):
        return len(values)
    if not isinstance(values, str | bytes | list | tuple | range | Mapping):
        raise Refused(f"{describe(values)} has no length")
    return len(values)


def first(values: Any) -> Any:
    """``| first``."""
    if isinstance(values, list | tuple | range | str) and len(values):
        return values[0]
    found = items(values)
    return found[0] if found else Missing("the list has no first item, it is empty")


def last(values: Any) -> Any:
    """``| last``."""
    if isinstance(values, list | tuple | range | str) and len(values):
        return values[-1]
    found = items(values)
    return found[-1] if found else Missing("the list has no last item, it is empty")


def reverse(values: Any) -> Any:
    """``| reverse``: a text stays a text."""
    if isinstance(values, str):
        text = to_text(values)
        spend(len(text) >> 5, 4 * len(text))
        return text[::-1]
    return items(values)[::-1]


def joined(values: Any, d: Any = "", attribute: Any = None) -> str:
    """The filter ``join(", ")``."""
    found = items(values)
    if attribute is not None:
        get = getter(attribute)
        found = [get(value) for value in found]
    return join(found, d)


def _sorted(values: list[Any], key: Callable[[Any], Any], reverse: bool) -> list[Any]:
    keys = [key(value) for value in values]
    for found in keys:
        if isinstance(found, Undefined):
            str(found)
    spend(int((sum(map(weigh, keys)) + len(keys)) * log2(len(keys) + 2)), 16 * len(keys))
    try:
        order = sorted(range(len(keys)), key=keys.__getitem__, reverse=bool(reverse))
    except TypeError:
        raise Refused("values of different types cannot be sorted") from None
    return [values[index] for index in order]


def sort(
    values: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    """The filter ``sort(attribute="name")``; several attributes are separated by commas."""
    paths = to_text(attribute).split(",") if isinstance(attribute, str) else [attribute]
    if len(paths) > 10:
        raise Refused("a list is sorted by at most 10 attributes")
    getters = [getter(path, fold=not case_sensitive) for path in paths]
    found = items(values)
    if len(getters) == 1:
        return _sorted(found, getters[0], reverse)
    return _sorted(found, lambda value: tuple(get(value) for get in getters), reverse)


def dictsort(value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False) -> list[Any]:
    """``| dictsort``: the pairs of a mapping, in order."""
    if by not in ("key", "value"):
        raise Refused('a mapping is sorted by "key" or "value"')
    get = getter(0 if by == "key" else 1, fold=not case_sensitive)
    return _sorted(pairs(value), get, reverse)


def pairs(value: Any) -> list[tuple[Any, Any]]:
    """``| items``: the pairs of a mapping, also of one that has a key "items"."""
    if isinstance(value, Undefined):
        str(value)
        return []
    if not isinstance(value, Mapping):
        raise Refused(f"{describe(value)} has no keys")
    spend(len(value), 72 * len(value))
    return list(value.items())


def _key(value: Any) -> Any:
    if isinstance(value, list | tuple | Mapping):
        raise Refused(f"{describe(value)} cannot be told apart", "name an attribute of the items")
    return hashable(value)


def unique(values: Any, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
    """``| unique``."""
    get = getter(attribute, fold=not case_sensitive)
    found: dict[Any, Any] = {}
    for value in items(values):
        spend(1, 100)
        found.setdefault(_key(get(value)), value)
    return list(found.values())


def _extreme(values: Any, name: str, case_sensitive: bool, attribute: Any) -> Any:
    get = getter(attribute, fold=not case_sensitive)
    found = items(values)
    if not found:
        return Missing("the list is empty")
    best, best_key = found[0], get(found[0])
    for value in found[1:]:
        key = get(value)
        if compare(key, name, best_key):
            best, best_key = value, key
    return best


def smallest(values: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    """``| min``."""
    return _extreme(values, "lt", case_sensitive, attribute)


def largest(values: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    """``| max``."""
    return _extreme(values, "gt", case_sensitive, attribute)


def total(values: Any, attribute: Any = None, start: Any = 0) -> Any:
    """The filter ``sum(attribute="price")``."""
    get = getter(attribute)
    result = start
    for value in items(values):
        result = add(result, get(value))
    return result


def groupby(values: Any, attribute: Any, default: Any = None, case_sensitive: bool = False) -> list[Any]:
    """The filter ``groupby("city")``: mappings with ``grouper`` and ``list``, which also unpack as a pair."""
    get = getter(attribute, default, fold=not case_sensitive)
    shown = getter(attribute, default)
    found = _sorted(items(values), get, False)
    groups: list[tuple[Any, Group]] = []
    for value in found:
        key = get(value)
        spend(2, 64)
        if not groups or not compare(groups[-1][0], "eq", key):
            groups.append((key, Group((shown(value), []))))
        groups[-1][1][1].append(value)
    return [group for _, group in groups]


def batch(values: Any, linecount: Any, fill_with: Any = None) -> list[list[Any]]:
    """The filter ``batch(3)``: rows of three."""
    size = _count(linecount, 1_000_000)
    found = items(values)
    spend(len(found), 80 * (len(found) // size + 1))
    rows = [found[start : start + size] for start in range(0, len(found), size)]
    if fill_with is not None and rows:
        missing = size - len(rows[-1])
        spend(missing, 8 * missing)
        rows[-1] = rows[-1] + [fill_with] * missing
    return rows


def slices(value: Any, slices: Any, fill_with: Any = None) -> list[list[Any]]:
    """The filter ``slice(3)``: three columns."""
    count = _count(slices, _MAX_SLICES)
    found = items(value)
    spend(count, 80 * count)
    per, longer = divmod(len(found), count)
    columns, start = [], 0
    for number in range(count):
        end = start + per + (number < longer)
        column = found[start:end]
        if fill_with is not None and number >= longer and longer:
            column.append(fill_with)
        columns.append(column)
        start = end
    return columns


def _count(number: Any, most: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise Refused(f"a number from 1 to {most} is wanted here")
    return number
