"""A flow's ``body``: a JSON Schema that a user wrote, checking values that anybody sent.

Neither may cost more than a bounded time: patterns run in linear time, list items are looked up and not
compared pair by pair, every check ends after ``MAX_SECONDS``, and no reference is ever fetched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, cached_property
from itertools import islice
from typing import Any

from runner.schema.problems import Problem, explain
from runner.schema.quick import quick

MAX_SECONDS = 1.0
"""How long one value may be checked."""

MAX_PROBLEMS = 20
"""Problems that are told about one value."""

_deadline: ContextVar[float] = ContextVar("deadline")
_Keyword = Callable[..., Iterator[Any] | None]


class CheckTooLong(Exception):
    """A value is not checked within MAX_SECONDS."""


class Checker:
    """Checks values against one schema; safe to share between threads."""

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        self._schema = schema
        self._quick = quick(schema)

    @cached_property
    def _validator(self) -> Any:
        # Made when somebody wants to know what is wrong: it takes a while to import.
        return _validator_class()(self._schema, registry=registry(), format_checker=_format_checker())

    def valid(self, value: object) -> bool:
        """Whether ``value`` has no problem: the cheap question, for whoever has many values. Never raises."""
        if self._quick is not None and self._quick(value):
            return True
        return not self.problems(value)

    def problems(self, value: object) -> list[Problem]:
        """What is wrong with ``value``, at most MAX_PROBLEMS; empty when it is valid. Never raises."""
        from referencing.exceptions import Unresolvable

        from runner.schema.pattern import TextTooLong

        token = _deadline.set(time.monotonic() + MAX_SECONDS)
        try:
            found = islice(self._validator.iter_errors(value), MAX_PROBLEMS)
            told = dict.fromkeys(problem for error in found for problem in explain(error))
            return list(told)[:MAX_PROBLEMS]
        except (CheckTooLong, TextTooLong):
            return [Problem("", f"cannot be checked within {MAX_SECONDS:g} s")]
        except RecursionError:
            return [Problem("", "cannot be checked: the schema or the value is nested too deep")]
        except OverflowError:
            return [Problem("", "holds a number that is too large")]
        except Unresolvable as exc:
            return [Problem("", f'cannot be checked: the schema has no "{exc.ref}"')]
        finally:
            _deadline.reset(token)


def unaudited_checker(schema: Mapping[str, Any] | bool) -> Checker:
    """A checker for a schema that ``schema_findings`` found no error in."""
    return Checker(schema)


def registry() -> Any:
    """The specification's own schemas, and nothing that would have to be fetched."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

    return REGISTRY


@cache
def _format_checker() -> Any:
    from jsonschema import FormatChecker

    from runner.schema.formats import FORMATS

    checker = FormatChecker(formats=())
    for name, (test, _) in FORMATS.items():
        checker.checks(name)(lambda value, test=test: not isinstance(value, str) or test(value))
    return checker


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    own = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    keywords = {**Draft202012Validator.VALIDATORS, **own}
    timed = {name: _timed(keyword) for name, keyword in keywords.items()}
    return extend(Draft202012Validator, timed)  # type: ignore[no-untyped-call]


def _timed(keyword: _Keyword) -> _Keyword:
    def timed(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        if time.monotonic() > _deadline.get():
            raise CheckTooLong
        return keyword(validator, value, instance, schema)

    return timed


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    from runner.schema.pattern import matcher

    if isinstance(instance, str) and not matcher(pattern)(instance):
        yield ValidationError("pattern")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from runner.schema.pattern import matcher

    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        matches = matcher(pattern)
        for key, item in instance.items():
            if matches(key):
                yield from validator.descend(item, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    from runner.schema.pattern import matcher

    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    patterns = [matcher(pattern) for pattern in schema.get("patternProperties", {})]
    extra = [key for key in instance if key not in known and not any(matches(key) for matches in patterns)]
    if inner is False:
        for key in extra:
            yield ValidationError("additionalProperties", path=(key,))
    else:
        for key in extra:
            yield from validator.descend(instance[key], inner, path=key)


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted is True and isinstance(instance, list):
        seen = {_identity(item) for item in instance}
        if len(seen) < len(instance):
            yield ValidationError("uniqueItems")


def _identity(value: Any) -> object:
    """Equal for values that JSON Schema calls equal: 1 is 1.0, and true is not 1."""
    match value:
        case bool():
            return ("boolean", value)
        case list():
            return ("array", tuple(map(_identity, value)))
        case dict():
            return ("object", frozenset((key, _identity(item)) for key, item in value.items()))
    return value
