"""The operators of an expression, each paid for by the size of its result before the result is made."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from jinja2.runtime import Undefined
from markupsafe import escape

from runner.template.budget import Refused, spend, spend_text
from runner.template.printf import printf
from runner.template.values import SCALARS, Html, bounded, describe, to_html, to_text, weigh

_NUMBERS = (int, float, bool)
_MOST_REPEATS = 1000
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def _plainly(value: Any) -> Any:
    # only exact types from here on: a class of its own could bring an operator of its own
    if isinstance(value, Undefined):
        str(value)
        return ""
    if isinstance(value, str) and type(value) not in (str, Html):
        return to_text(value)
    return value


def add(left: Any, right: Any) -> Any:
    """``left + right``."""
    if type(left) is int and type(right) is int:
        return bounded(left + right)
    left, right = _plainly(left), _plainly(right)
    if isinstance(left, str) and isinstance(right, str):
        spend_text(len(left) + len(right), not (left.isascii() and right.isascii()))
        if type(left) is Html or type(right) is Html:
            return Html(escape(left) + escape(right))
        return left + right
    if isinstance(left, list | tuple | bytes) and type(left) is type(right):
        spend(1, 8 * (len(left) + len(right)))
    return _apply(operator.add, "+", left, right)


def subtract(left: Any, right: Any) -> Any:
    """``left - right``."""
    return _apply(operator.sub, "-", left, right)


def multiply(left: Any, right: Any) -> Any:
    """``left * right``; a text or list times a number repeats it."""
    left, right = _plainly(left), _plainly(right)
    if isinstance(left, int) and not isinstance(right, int | float):
        left, right = right, left
    if isinstance(right, int):
        if isinstance(left, str | bytes | list | tuple) and right > _MOST_REPEATS:
            raise Refused(f"a text or list is repeated at most {_MOST_REPEATS} times")
        if isinstance(left, str):
            spend_text(len(left) * max(right, 0), not left.isascii())
        elif isinstance(left, bytes | list | tuple):
            spend(1, 8 * len(left) * max(right, 0))
        elif isinstance(left, int):
            _bits(left.bit_length() + right.bit_length())
    return _apply(operator.mul, "*", left, right)


def power(left: Any, right: Any) -> Any:
    """``left ** right``."""
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        _bits(left.bit_length() * right)
    return _apply(operator.pow, "**", left, right)


def divide(left: Any, right: Any) -> Any:
    """``left / right``."""
    return _apply(operator.truediv, "/", left, right)


def floor_divide(left: Any, right: Any) -> Any:
    """``left // right``."""
    return _apply(operator.floordiv, "//", left, right)


def modulo(left: Any, right: Any) -> Any:
    """``left % right``: of numbers, or the old way to format a text."""
    left = _plainly(left)
    if isinstance(left, str):
        return printf(left, right)
    if isinstance(left, bytes):
        raise Refused("bytes cannot be formatted")
    return _apply(operator.mod, "%", left, right)


def negate(value: Any) -> Any:
    """``-value``."""
    return subtract(0, value) if type(value) in _NUMBERS else _unary(operator.neg, "-", value)


def posit(value: Any) -> Any:
    """``+value``."""
    return _unary(operator.pos, "+", value)


def concat(values: tuple[Any, ...]) -> str:
    """``a ~ b``: the texts of the values, in a row."""
    if any(type(value) is Html for value in values):
        parts = [to_html(value) for value in values]
        spend_text(sum(map(len, parts)))
        return Html("".join(parts))
    parts = [to_text(value) for value in values]
    spend_text(sum(map(len, parts)), not all(map(str.isascii, parts)))
    return "".join(parts)


def compare(left: Any, *rest: Any) -> Any:
    """``a < b <= c``: ``rest`` is operator and operand in turn."""
    result: Any = True
    for name, right in zip(rest[::2], rest[1::2], strict=True):
        result = _compare(name, left, right)
        if not result:
            return result
        left = right
    return result


def _compare(name: str, left: Any, right: Any) -> bool:
    if name == "in":
        return contains(right, left)
    if name == "notin":
        return not contains(right, left)
    # two lists of lists that are the same list over and over take for ever to compare: walk them at a price
    if type(left) not in SCALARS and type(right) not in SCALARS:
        weigh(left)
        weigh(right)
    elif type(left) is str and type(right) is str:
        spend_text(min(len(left), len(right)), False)
    try:
        return bool(_COMPARE[name](left, right))
    except TypeError:
        raise Refused(f"{describe(left)} and {describe(right)} cannot be compared") from None


def contains(whole: Any, part: Any) -> bool:
    """``part in whole``."""
    whole = _plainly(whole)
    if isinstance(part, Undefined):
        str(part)
    if isinstance(whole, str | bytes):
        if not isinstance(part, str | bytes):
            raise Refused(f"{describe(part)} cannot be in {describe(whole)}")
        spend(1 + (len(whole) >> 6))
    elif isinstance(whole, Mapping):
        hashable(part)
    elif isinstance(whole, list | tuple):
        spend(1 + len(whole))
        if type(part) not in SCALARS:
            spend(weigh(part) * len(whole))
    elif isinstance(whole, range):
        # Python looks for anything but a whole number one by one
        return isinstance(part, int) and part in whole
    else:
        raise Refused(f"nothing can be in {describe(whole)}")
    try:
        return part in whole
    except TypeError:
        raise Refused(f"{describe(part)} cannot be in {describe(whole)}") from None


def hashable(key: Any) -> Any:
    """A key of a mapping: nothing that is slow to hash."""
    if isinstance(key, Undefined):
        str(key)
    if type(key) in SCALARS:
        return key
    if isinstance(key, str):
        return to_text(key)
    if isinstance(key, tuple):
        weigh(key)
        return key
    raise Refused(f"{describe(key)} cannot be a key")


def _bits(bits: int) -> None:
    if bits > 8192:
        raise Refused("a number grows beyond 8192 bits")


def _apply(function: Callable[[Any, Any], Any], sign: str, left: Any, right: Any) -> Any:
    left, right = _plainly(left), _plainly(right)
    try:
        result = function(left, right)
    except TypeError:
        raise Refused(
            f"{describe(left)} {sign} {describe(right)} is not possible", "use ~ to put texts in a row"
        ) from None
    except ZeroDivisionError:
        raise Refused("a number is divided by zero") from None
    except (OverflowError, ValueError) as error:
        raise Refused(f"the result of {sign} is too large") from error
    return bounded(result) if type(result) is int else result


def _unary(function: Callable[[Any], Any], sign: str, value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)
    try:
        return function(value)
    except TypeError:
        raise Refused(f"{sign} is not possible with {describe(value)}") from None
