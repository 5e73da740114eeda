"""One database for everything durable: a SQLite file for one machine, PostgreSQL for many."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runner.errors import ConfigurationError, Unavailable
from runner.ledger.statements import migrations, statement

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, RowMapping

T = TypeVar("T")

_BUSY_MILLISECONDS = 30_000
_CONNECT_SECONDS = 5
_IDLE_MILLISECONDS = 5_000
_POOL = 8


class Database:
    """A pool of connections. Opening it touches nothing; ``migrate`` brings the tables up to date."""

    def __init__(self, url: str, root: Path) -> None:
        """``url`` is ``sqlite:///path``, relative to ``root``, or ``postgresql://…``; ConfigurationError else."""
        self.file: Path | None = None
        if url.startswith("sqlite:///"):
            self.file = root / url.removeprefix("sqlite:///")
            self.dialect = "sqlite"
            self.url = f"sqlite:///{self.file}"
        elif url.startswith(("postgresql://", "postgres://")):
            self.dialect = "postgresql"
            self.url = "postgresql+psycopg://" + url.partition("://")[2]
        else:
            raise ConfigurationError(
                "the database is neither sqlite:///path nor postgresql://user@host/name",
                hint="set database in flowpost.yaml, or FLOWPOST_DATABASE",
            )
        self.engine = _sqlite(self.url) if self.dialect == "sqlite" else _postgresql(self.url)
        self.turn: AbstractContextManager[object] = (
            threading.Lock() if self.dialect == "sqlite" else nullcontext()
        )
        """SQLite has one writer at a time: who writes often takes this, since SQLite itself waits by sleeping."""

    def migrate(self) -> None:
        """Create or update the tables, forward only. Raises Unavailable when the database cannot be used."""
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise Unavailable(f"the folder of the database cannot be made: {exc.strerror}") from exc
        self.write(_migrate)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one transaction; raises Unavailable when the database cannot take it now."""
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        try:
            with self.engine.begin() as connection:
                return work(connection)
        except (DBAPIError, PoolTimeout) as exc:
            raise translated(exc) from exc

    async def read(self, work: Callable[[Connection], T]) -> T:
        """As ``write``, in a thread, for work that only looks."""
        return await asyncio.to_thread(self.write, work)

    def close(self) -> None:
        """Close every connection that nobody uses."""
        self.engine.dispose()


def rows(connection: Connection, name: str, /, **values: object) -> Sequence[RowMapping]:
    """Run the named statement and return all its rows."""
    return connection.execute(statement(name), values).mappings().all()


def first(connection: Connection, name: str, /, **values: object) -> RowMapping | None:
    """Run the named statement and return its first row, if there is one."""
    return connection.execute(statement(name), values).mappings().first()


def execute(connection: Connection, name: str, /, **values: object) -> int:
    """Run the named statement; how many rows it touched."""
    return connection.execute(statement(name), values).rowcount


def many(connection: Connection, name: str, /, values: Sequence[Mapping[str, object]]) -> None:
    """Run the named statement once for each mapping."""
    connection.execute(statement(name), [dict(each) for each in values])


def translated(exc: Exception) -> Exception:
    """A database's failure in our words; what is a mistake of ours stays as it is."""
    from sqlalchemy.exc import (
        DatabaseError,
        IntegrityError,
        InterfaceError,
        OperationalError,
        ProgrammingError,
    )
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    if isinstance(exc, ProgrammingError | IntegrityError):
        return exc
    text = str(getattr(exc, "orig", exc)).lower()
    for sign, words in _SIGNS:
        if sign in text:
            return Unavailable(f"the database {words}")
    if isinstance(exc, OperationalError | InterfaceError | PoolTimeout | DatabaseError):
        return Unavailable("the database does not answer")
    return exc


_SIGNS = (
    ("disk is full", "has no room left: the disk is full"),
    ("no space left", "has no room left: the disk is full"),
    ("readonly", "is read-only"),
    ("read-only", "is read-only"),
    ("disk i/o error", "cannot be written: the disk reports an error"),
    ("unable to open", "file cannot be opened"),
    ("malformed", "file is damaged"),
    ("not a database", "file is not a SQLite database"),
    ("locked", "is locked by another process"),
)


def _migrate(connection: Connection) -> None:
    dialect = connection.dialect.name
    if dialect == "sqlite":
        # A write first: the check and the changes are one transaction, whoever else starts now.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(statement("migrations.lock"))
    connection.execute(statement("migrations.create"))
    applied = {row["name"] for row in rows(connection, "migrations.applied")}
    for name, statements in migrations(dialect):
        if name in applied:
            continue
        for each in statements:
            connection.exec_driver_sql(each)
        execute(connection, "migrations.note", name=name, applied=time.time())


def single_writer(database: Database) -> Engine:
    """For DBOS on SQLite: one connection, which takes turns with the ledger's writer.

    What DBOS notes may be lost with the power: the leg is then carried out again over our own tables, which are
    not. So its commits need no fsync.
    """
    from sqlalchemy import event

    engine = _sqlite(database.url, synchronous="NORMAL", pool=1)
    turn = database.turn

    def take(connection: object, record: object, proxy: object) -> None:
        turn.__enter__()

    def give(connection: object, record: object) -> None:
        turn.__exit__(None, None, None)

    event.listen(engine, "checkout", take)
    event.listen(engine, "checkin", give)
    return engine


def _sqlite(url: str, *, synchronous: str = "FULL", pool: int = _POOL) -> Engine:
    """A pool for a SQLite file. ``synchronous`` FULL survives a power loss, NORMAL only a crash."""
    from sqlalchemy import create_engine, event

    engine = create_engine(url, pool_size=pool, max_overflow=0, pool_timeout=60)

    def prepare(connection: Any, record: object) -> None:
        # Readers never wait for the writer, and a commit is one fsync.
        connection.isolation_level = "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.create_function("flowpost_now", 0, time.time)

    event.listen(engine, "connect", prepare)
    return engine


def _postgresql(url: str) -> Engine:
    from sqlalchemy import create_engine

    return create_engine(
        url,
        pool_size=_POOL,
        max_overflow=_POOL,
        pool_timeout=30,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "flowpost",
            "options": f"-c idle_in_transaction_session_timeout={_IDLE_MILLISECONDS}",
        },
    )
