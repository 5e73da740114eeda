"""``"%s of %d" % (a, b)``, ``| format`` and ``"{} of {}".format(a, b)``, with widths bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from string import Formatter
from typing import Any

from runner.template.budget import Refused, spend, spend_text
from runner.template.values import Html, bounded, describe, to_html, to_text

_DIRECTIVE = re.compile(r"%(?:\(([^()]*)\))?([-#0 +]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.|$)", re.DOTALL)
_MAX_WIDTH = 1000
_NUMBER = re.compile(r"\d+")
_MAX_SPEC = 64
_FIELD = re.compile(r"([^.\[\]]{0,60})((?:\.[^.\[\]]{1,60}|\[[^\]]{1,60}\]){0,10})")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([^\]]+)\]")


def printf(template: str, values: Any) -> str:
    """``template % values``, the result ``Html`` when the template is."""
    html = type(template) is Html
    text = to_text(template)
    mapping = values if isinstance(values, Mapping) else None
    queue = list(values) if isinstance(values, tuple) else [values]
    queue.reverse()
    spend_text(len(text))

    def replace(match: re.Match[str]) -> str:
        key, flags, width, precision, letter = match.groups()
        if letter == "%":
            return "%"
        if "*" in (width, precision) or _wide(width) or _wide(precision or ""):
            raise Refused(f"a width in a format is at most {_MAX_WIDTH}")
        if key is not None:
            if mapping is None or key not in mapping:
                raise Refused(f'the format wants a value named "{key[:60]}"')
            value = mapping[key]
        elif not queue:
            raise Refused("the format wants more values than it is given")
        else:
            value = queue.pop()
        directive = f"%{flags}{width}{'.' + precision if precision is not None else ''}{letter}"
        return _directive(directive, letter, value, html)

    parts = _joined(_DIRECTIVE, replace, text)
    if queue and mapping is None:
        raise Refused("the format is given more values than it wants")
    return Html(parts) if html else parts


def _joined(pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str], text: str) -> str:
    def paid(match: re.Match[str]) -> str:
        part = replace(match)
        spend(30, 64 + 4 * len(part))
        return part

    return pattern.sub(paid, text)


def _directive(directive: str, letter: str, value: Any, html: bool) -> str:
    if letter in "sra":
        text = to_html(value) if html else to_text(value)
        spend_text(len(text))
        return (directive[:-1] + "s") % str.__str__(text)
    if letter not in "diouxXeEfFgGc":
        raise Refused(f'"%{letter}" is not a format')
    if not isinstance(value, int | float) and not (
        letter == "c" and isinstance(value, str) and len(value) == 1
    ):
        raise Refused(f'"%{letter}" wants a number, not {describe(value)}')
    if isinstance(value, int):
        bounded(value)
    try:
        return directive % value
    except (ValueError, OverflowError, TypeError):
        raise Refused(f'the value does not fit "%{letter}"') from None


def _wide(width: str) -> bool:
    return len(width) > 4 or (width.isdigit() and int(width) > _MAX_WIDTH)


def braces(template: str, args: Sequence[Any], kwargs: Mapping[str, Any], lookup: Any) -> str:
    """``template.format(*args, **kwargs)``; ``lookup(value, name, is_attribute)`` follows its dots."""
    html = type(template) is Html
    text = to_text(template)
    spend_text(len(text))
    try:
        result = _Braces(lookup, html).vformat(text, args, kwargs)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError):
        raise Refused("the format does not fit the values") from None
    return Html(result) if html else result


class _Braces(Formatter):
    def __init__(self, lookup: Any, html: bool) -> None:
        self.lookup = lookup
        self.html = html

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        match = _FIELD.fullmatch(field_name)
        if match is None:
            raise Refused(f'"{field_name[:60]}" is not a name in a format')
        first: int | str = int(match[1]) if match[1].isdigit() else match[1]
        value = self.get_value(first, args, kwargs)
        for attribute, index in _STEP.findall(match[2]):
            value = self.lookup(
                value, attribute or (int(index) if index.isdigit() else index), bool(attribute)
            )
        return value, first

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        return value if conversion is None else to_text(value)

    def format_field(self, value: Any, format_spec: str) -> str:
        if len(format_spec) > _MAX_SPEC or any(_wide(found) for found in _NUMBER.findall(format_spec)):
            raise Refused(f"a width in a format is at most {_MAX_WIDTH}")
        if isinstance(value, int):
            bounded(value)
        known = isinstance(value, int | float | date | time)
        text = format(value if known else to_text(value), format_spec)
        spend(60, 64 + 4 * len(text))
        return to_html(text) if self.html and type(value) is not Html else text
