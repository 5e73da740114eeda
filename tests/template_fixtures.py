"""Compile and render in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.diagnostic import Position
from runner.template import Kind, Templates, Where

BODY: dict[str, Any] = {
    "name": "Ann O'Neil <ann>",
    "email": "ann@example.com",
    "items": ["a", "b"],
    "keys": 7,
    "n": 3,
    "none": None,
    "nested": {"deep": {"er": "found"}},
    "rows": [{"city": "Rome", "n": 2}, {"city": "Oslo", "n": 1}, {"city": "Rome", "n": 3}],
}
SCOPE: dict[str, Any] = {
    "trigger": {
        "body": BODY,
        "headers": {"x-id": "7"},
        "query": {},
        "type": "webhook",
        "time": datetime(2026, 1, 31, 8, 5, tzinfo=UTC),
    },
    "nodes": {
        "fetch": {"status": "succeeded", "output": {"status": 200, "body": b"\xff\x00"}, "error": None}
    },
    "vars": {"brand": "Acme", "base": "https://crm.example.com"},
    "flow": {"name": "welcome"},
    "run": {"id": "r1"},
    "item": {"email": "x@y.org"},
}


@pytest.fixture
def where() -> Where:
    return Where("flows/a.yaml", "smtp.subject", Position)


Render = Callable[..., Any]


@pytest.fixture
def render(where: Where) -> Render:
    def rendered(
        text: str,
        kind: Kind = Kind.TEXT,
        scope: Mapping[str, object] | None = None,
        root: Path | None = None,
        limit: int | None = None,
        delimiters: Any = "angle",
    ) -> Any:
        template = Templates(root, delimiters).compile(text, kind, where, limit)
        return template.render(SCOPE if scope is None else scope)

    return rendered
