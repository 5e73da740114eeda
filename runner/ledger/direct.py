"""The SQLite file over the standard library: the same statements without the 0.4 s that SQLAlchemy takes to import.

For commands that write a few rows and end. The service has a pool, and DBOS, which wants SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runner.errors import Unavailable
from runner.ledger.database import Database, prepare
from runner.ledger.faults import told
from runner.ledger.private import keep_private
from runner.ledger.statements import read_statements

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")


def open_database(url: str, root: Path) -> Database:
    """The database of a command: without SQLAlchemy where it is a SQLite file. ConfigurationError as Database."""
    return Direct(url, root) if url.startswith("sqlite:///") else Database(url, root)


class Direct(Database):
    """One connection to the SQLite file, for one transaction at a time."""

    def __init__(self, url: str, root: Path) -> None:
        super().__init__(url, root)
        self._connection: sqlite3.Connection | None = None
        self._alone = threading.Lock()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one transaction; raises Unavailable when the file cannot take it now."""
        with self._alone:
            try:
                connection = self._open()
                with connection:
                    return work(cast("Connection", Statements(connection)))
            except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
                raise
            except sqlite3.Error as exc:
                known = told(str(exc)) or Unavailable("the database does not answer")
                raise self.placed(known) from exc

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            assert self.file is not None
            keep_private(self.file)
            connection = sqlite3.connect(str(self.file), check_same_thread=False)
            try:
                prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


class Statements:
    """What ``runner.ledger.database`` asks of SQLAlchemy's connection, over one of ``sqlite3``."""

    dialect_name = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, name: str, values: Mapping[str, object]) -> Rows:
        """The named statement's result."""
        file, _, own = name.partition(".")
        return self._do(read_statements(file)[own], values)

    def many(self, name: str, values: Sequence[Mapping[str, object]]) -> None:
        """The named statement, once for each mapping."""
        file, _, own = name.partition(".")
        self._connection.executemany(read_statements(file)[own], values)

    def exec_driver_sql(self, text: str) -> None:
        """A statement that has no name."""
        self._connection.execute(text)

    def _do(self, text: str, values: Mapping[str, object]) -> Rows:
        cursor = self._connection.execute(text, values)
        names = [column[0] for column in cursor.description or ()]
        # Read to the end: a statement with RETURNING has not done its work before.
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return Rows(found, cursor.rowcount)


class Rows:
    """The rows of one statement."""

    def __init__(self, found: list[dict[str, Any]], rowcount: int) -> None:
        self._found = found
        self.rowcount = rowcount

    def mappings(self) -> Rows:
        """Rows are mappings."""
        return self

    def all(self) -> list[dict[str, Any]]:
        """All of them."""
        return self._found

    def first(self) -> dict[str, Any] | None:
        """The first one, if there is one."""
        return self._found[0] if self._found else None
