"""Bodies of requests: a value as JSON, fields as a form, or text and bytes as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from runner.errors import HttpError

LIMIT = 10 * 10**6

Pair = tuple[str, str]


def json_body(value: object) -> bytes:
    """``value`` as JSON in UTF-8 (RFC 8259), 10 MB at most; HttpError when it is no JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise HttpError(
            "json holds a value that JSON cannot carry",
            hint="text, numbers, true, false, null, lists and mappings can be sent",
        ) from exc
    return _bounded("json", _utf8("json", text))


def form_body(fields: object) -> bytes:
    """``fields`` as application/x-www-form-urlencoded, 10 MB at most; a list repeats its field."""
    pairs = pairs_of("form", fields)
    for name, value in pairs:
        _utf8("form", name + value)
    return _bounded("form", urlencode(pairs).encode("ascii"))


def plain_body(value: object) -> bytes:
    """Text in UTF-8, or bytes as they are, 10 MB at most."""
    if isinstance(value, bytes):
        return _bounded("body", value)
    return _bounded("body", _utf8("body", text_of("body", value)))


def pairs_of(what: str, fields: object) -> tuple[Pair, ...]:
    """Names and values of ``fields``; a list gives its name once per value, and null leaves it out."""
    if not isinstance(fields, Mapping):
        raise HttpError(f"{what} is not a mapping of names to values")
    return tuple(
        (str(name), text_of(what, value))
        for name, given in fields.items()
        for value in _values(given)
        if value is not None
    )


def text_of(what: str, value: object) -> str:
    """A scalar as a person would write it in a request; HttpError for lists and mappings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise HttpError(f"{what} holds a value that is neither text nor a number nor true or false")


def _values(given: object) -> Iterable[object]:
    return given if isinstance(given, list | tuple) else (given,)


def _utf8(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise HttpError(f"{what} holds half of a surrogate pair, which is no character") from exc


def _bounded(what: str, data: bytes) -> bytes:
    if len(data) > LIMIT:
        raise HttpError(f"{what} is larger than {LIMIT} bytes")
    return data
