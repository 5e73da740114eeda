"""Values of runs as JSON and back: what JSON has no word for is wrapped, so that nothing changes its type."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from runner.model import Event, NodeResult, Status

_MARK = "$flowpost"
SECRET_HEADERS = frozenset(
    {"authorization", "cookie", "proxy-authorization", "x-api-key", "webhook-signature"}
)
"""Headers that prove who the caller is; a run never sees them, and the database never keeps them."""


def dump(value: object) -> str:
    """``value`` as JSON in ASCII, so that any text survives any database; what is no data becomes its text."""
    return json.dumps(_plain(value), separators=(",", ":"))


def load(text: str) -> Any:
    """What ``dump`` was given; tuples come back as lists."""
    return _rich(json.loads(text))


def dump_event(event: Event) -> str:
    """An event, without the headers that hold secrets."""
    headers = {name: value for name, value in event.headers.items() if name.lower() not in SECRET_HEADERS}
    return dump(
        {
            "type": event.type,
            "body": event.body,
            "time": event.time,
            "headers": headers,
            "query": dict(event.query),
        }
    )


def load_event(text: str) -> Event:
    """The event that ``dump_event`` was given."""
    return Event(**load(text))


def fingerprint(event: Event) -> str:
    """A hash of what an idempotency key stands for: the body."""
    return hashlib.sha256(json.dumps(_plain(event.body), sort_keys=True).encode()).hexdigest()


def load_result(row: Mapping[str, Any]) -> NodeResult:
    """A node's result from its row."""
    return NodeResult(
        status=Status(row["status"]),
        attempts=row["attempts"],
        output=None if row["output"] is None else load(row["output"]),
        error=None if row["error"] is None else load(row["error"]),
    )


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        # PostgreSQL takes no Infinity, and JSON has none.
        return {_MARK: "float", "value": str(value)}
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return {_MARK: "bytes", "value": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {_MARK: "datetime", "value": value.isoformat()}
    if isinstance(value, date):
        return {_MARK: "date", "value": value.isoformat()}
    if isinstance(value, Mapping):
        if _MARK in value or not all(isinstance(key, str) for key in value):
            pairs = [[_plain(key), _plain(item)] for key, item in value.items()]
            return {_MARK: "mapping", "value": pairs}
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def _rich(value: Any) -> Any:
    if isinstance(value, list):
        return [_rich(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_MARK)
    if kind is None:
        return {key: _rich(item) for key, item in value.items()}
    inner = value["value"]
    if kind == "bytes":
        return base64.b64decode(inner)
    if kind == "float":
        return float(inner)
    if kind == "datetime":
        return datetime.fromisoformat(inner)
    if kind == "date":
        return date.fromisoformat(inner)
    return {_rich(key): _rich(item) for key, item in inner}
