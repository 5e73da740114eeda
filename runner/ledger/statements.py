"""The statements of ``sql/*.sql`` by name, and the migrations. Parameters are bound, never formatted."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import TextClause

# Not importlib.resources, which reads zip files and takes some milliseconds to load.
_FOLDER = Path(__file__).with_name("sql")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


@cache
def statement(name: str) -> TextClause:
    """The statement ``file.name``, for example ``runs.insert_run``; KeyError when there is none."""
    from sqlalchemy import text

    file, _, own = name.partition(".")
    return text(read_statements(file)[own])


@cache
def read_statements(file: str) -> dict[str, str]:
    """Every statement of ``sql/<file>.sql``, by name."""
    parts = _NAME.split((_FOLDER / f"{file}.sql").read_text("utf-8"))
    return {
        name: _COMMENT.sub("", body).strip().rstrip(";")
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def migrations(dialect: str) -> list[tuple[str, list[str]]]:
    """The migrations for ``sqlite`` or ``postgresql`` in their order: a name and its statements.

    ``NN_subject.sql`` is for both, ``NN_subject.<dialect>.sql`` for one.
    """
    found = []
    for entry in sorted((_FOLDER / "migrations").iterdir(), key=lambda path: path.name):
        stem, dot, only = entry.name.removesuffix(".sql").partition(".")
        if dot and only != dialect:
            continue
        text = _COMMENT.sub("", entry.read_text("utf-8"))
        found.append((stem, [part.strip() for part in text.split(";") if part.strip()]))
    return found
