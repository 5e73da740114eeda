"""Octets from anybody become a value: JSON (RFC 8259), or a form's fields. Bounded; the ambiguous is refused.

No message holds a value. Keys are shown: the sender needs them to find the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from runner.triggers.base import BadBody

MAX_DEPTH = 64
MAX_DIGITS = 100
MAX_FIELDS = 1000

_HALF = re.compile(r"[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(data: bytes) -> object:
    """The value of a JSON text in UTF-8; raises BadBody.

    Refused besides what is not JSON: a key that is there twice (two readers would see two bodies), more than
    64 levels, numbers of more than 100 digits or beyond a double, and half a surrogate pair (no database takes it).
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadBody(f"the body is not JSON: octet {error.start + 1} is not UTF-8") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        what = "it is empty" if not text.strip() else f"{where}: {error.msg.lower()}"
        raise BadBody(f"the body is not JSON: {what}") from None
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    if _ESCAPED_HALF.search(data):
        _check_pairs(value)
    return value


def parse_form(data: bytes) -> dict[str, object]:
    """The fields of ``application/x-www-form-urlencoded`` as texts; one that comes again is a list. BadBody."""
    try:
        text = data.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS, separator="&"
        )
    except UnicodeDecodeError:
        raise BadBody("the body is not a form: it holds what is not percent-encoded UTF-8") from None
    except ValueError:
        raise BadBody(f"the body is not a form of at most {MAX_FIELDS:,} fields") from None
    if len(pairs) == 1 and pairs[0][1] == "" and pairs[0][0].lstrip().startswith(("{", "[")):
        # What curl -d makes of JSON: to take it for a form would start a run with a body that nobody meant.
        raise BadBody("the body looks like JSON and is sent as a form: set content-type: application/json")
    return gather(pairs)


def parse_multipart(data: bytes, boundary: str) -> dict[str, object]:
    """The fields of ``multipart/form-data`` (RFC 7578) as texts; raises BadBody, also for a file."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    fields = _Fields()
    try:
        parser = MultipartParser(boundary.encode("latin-1"), fields.callbacks(), max_size=max(len(data), 1))  # type: ignore[arg-type]
        parser.write(data)
        parser.finalize()
    except (FormParserError, ValueError):
        raise BadBody("the body is not multipart/form-data") from None
    if not fields.ended:
        raise BadBody("the body is not multipart/form-data: it ends too early")
    return gather(fields.pairs)


def gather(pairs: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Fields by name: a text, or the list of texts of a name that is there more than once."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif isinstance(known := fields[name], list):
            known.append(value)
        else:
            fields[name] = [known, value]
    return fields


class _Fields:
    """What a multipart parser calls back."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.ended = False
        self._disposition = ""
        self._name = self._header = self._value = b""
        self._data = bytearray()

    def callbacks(self) -> dict[str, Any]:
        """By the parser's names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._more_header,
            "on_header_value": self._more_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = ""
        self._header = self._value = b""
        self._data = bytearray()

    def _more_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _more_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = _utf8(self._value)
        self._header = self._value = b""

    def _headers_end(self) -> None:
        from python_multipart.multipart import parse_options_header

        kind, options = parse_options_header(self._disposition.encode().decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise BadBody("a part of the form has no name")
        if b"filename" in options:
            raise BadBody("the form holds a file: only fields are taken")
        if len(self.pairs) >= MAX_FIELDS:
            raise BadBody(f"the form has more than {MAX_FIELDS:,} fields")
        self._name = options[b"name"]

    def _part_end(self) -> None:
        self.pairs.append((_utf8(self._name), _utf8(bytes(self._data))))

    def _end(self) -> None:
        self.ended = True


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadBody("the form holds what is not UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadBody(f"the body holds the key {json.dumps(twice[:60])} twice")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise BadBody(f"the body holds a number of more than {MAX_DIGITS} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if len(text) > MAX_DIGITS or value in (float("inf"), float("-inf")):
        raise BadBody("the body holds a number that is too long or too large")
    return value


def _constant(name: str) -> NoReturn:
    raise BadBody(f"the body is not JSON: {name} is no number of JSON")


def _too_deep() -> BadBody:
    return BadBody(f"the body is nested more than {MAX_DEPTH} levels deep")


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
            below += [part for part in inner if isinstance(part, dict | list)]
        if not below:
            return
        level = below
    raise _too_deep()


def _check_pairs(value: object) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and _HALF.search(item):
            raise BadBody("the body holds half of a surrogate pair")
