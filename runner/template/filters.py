"""The filters that a template may use, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2.runtime import Undefined

from runner.template import listfilters, textfilters
from runner.template.access import attribute
from runner.template.conditions import TESTS
from runner.template.dates import to_date
from runner.template.methods import replace
from runner.template.picking import chooser, mapper
from runner.template.printf import printf
from runner.template.values import Html, Missing, to_html, to_json, to_text


class Expand:
    """A value that ``| addresses`` lets expand: the string in it may hold several addresses."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def default(value: Any, default_value: Any = "", boolean: Any = False) -> Any:
    """The filter ``default("none")``; with ``true`` also for what is empty."""
    if isinstance(value, Undefined) or (boolean and not value):
        return default_value
    return value


def addresses(value: Any) -> Any:
    """``| addresses``: in an address field, a comma-separated text expands to its addresses."""
    if isinstance(value, Undefined):
        str(value)
    return Expand(value)


def _same(value: Any) -> Any:
    return value


def _attr(value: Any, name: Any) -> Any:
    if not isinstance(name, str):
        return Missing(None, value, to_text(name)[:60])
    return attribute(value, to_text(name))


def _formatted(value: Any, *args: Any, **kwargs: Any) -> str:
    return printf(value if isinstance(value, str) else to_text(value), kwargs or args)


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": lambda value: abs(textfilters.number(value)),
    "addresses": _same,
    "attr": _attr,
    "batch": listfilters.batch,
    "capitalize": textfilters.cased("capitalize"),
    "center": textfilters.center,
    "count": listfilters.length,
    "d": default,
    "date": to_date,
    "default": default,
    "dictsort": listfilters.dictsort,
    "e": lambda value: Html(to_html(value)),
    "escape": lambda value: Html(to_html(value)),
    "filesizeformat": textfilters.filesizeformat,
    "first": listfilters.first,
    "float": textfilters.to_float,
    "forceescape": lambda value: Html(to_html(to_text(value))),
    "format": _formatted,
    "groupby": listfilters.groupby,
    "indent": textfilters.indent,
    "int": textfilters.to_int,
    "items": listfilters.pairs,
    "join": listfilters.joined,
    "json": to_json,
    "last": listfilters.last,
    "length": listfilters.length,
    "list": listfilters.listed,
    "lower": textfilters.cased("lower"),
    "max": listfilters.largest,
    "min": listfilters.smallest,
    "replace": lambda value, old, new, count=-1: replace(
        _subject(value), old, new, -1 if count is None else count
    ),
    "reverse": listfilters.reverse,
    "round": textfilters.rounded,
    "safe": lambda value: Html(to_text(value)),
    "slice": listfilters.slices,
    "sort": listfilters.sort,
    "string": lambda value: value if type(value) is Html else to_text(value),
    "striptags": textfilters.striptags,
    "sum": listfilters.total,
    "title": textfilters.title,
    "tojson": to_json,
    "trim": textfilters.trim,
    "truncate": textfilters.truncate,
    "unique": listfilters.unique,
    "upper": textfilters.cased("upper"),
    "urlencode": textfilters.urlencode,
    "urlize": textfilters.urlize,
    "wordcount": textfilters.wordcount,
    "wordwrap": textfilters.wordwrap,
    "xmlattr": textfilters.xmlattr,
}
FILTERS |= {
    "map": mapper(FILTERS),
    "reject": chooser(TESTS, keep=False, by_attribute=False),
    "rejectattr": chooser(TESTS, keep=False, by_attribute=True),
    "select": chooser(TESTS, keep=True, by_attribute=False),
    "selectattr": chooser(TESTS, keep=True, by_attribute=True),
}
TESTS["filter"] = lambda name: isinstance(name, str) and name in FILTERS
HTML_FILTERS = {**FILTERS, "tojson": textfilters.html_json, "json": textfilters.html_json}
ADDRESS_FILTERS = {**FILTERS, "addresses": addresses}


def _subject(value: Any) -> str:
    return value if type(value) is Html else to_text(value)
