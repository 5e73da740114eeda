"""One database for everything durable: a SQLite file for one machine, PostgreSQL for many."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runner.errors import ConfigurationError, Unavailable
from runner.ledger.faults import told
from runner.ledger.private import keep_private, make_folder
from runner.ledger.statements import migrations, statement

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection, CursorResult, Engine, RowMapping

T = TypeVar("T")

_BUSY_MILLISECONDS = 30_000
_CONNECT_SECONDS = 5
_IDLE_MILLISECONDS = 5_000
_POOL = 8
_SETTING = "set database in flowpost.yaml, or FLOWPOST_DATABASE"


class Database:
    """A pool of connections. Opening it touches nothing; ``migrate`` brings the tables up to date."""

    def __init__(self, url: str, root: Path) -> None:
        """``url`` is ``sqlite:///path``, relative to ``root``, or ``postgresql://…``; ConfigurationError else."""
        self.file: Path | None = None
        if url.startswith("sqlite:///"):
            if "?" in url or url == "sqlite:///" or url.startswith("sqlite:///:"):
                # One process a file: x.db and x.db?a=b would have two locks.
                raise ConfigurationError(
                    "database: a SQLite database is the name of a file, without ? and not :memory:",
                    hint=_SETTING,
                )
            # Pinned: a link above it that is swapped (git-sync) must not make of one database two.
            self.file = Path(os.path.realpath(root / url.removeprefix("sqlite:///")))
            self.dialect = "sqlite"
            self.url = f"sqlite:///{self.file}"
        elif url.startswith(("postgresql://", "postgres://")):
            self.dialect = "postgresql"
            self.url = "postgresql+psycopg://" + url.partition("://")[2]
        else:
            raise ConfigurationError(
                "the database is neither sqlite:///path nor postgresql://user@host/name",
                hint=_SETTING,
            )
        self.turn: AbstractContextManager[object] = (
            threading.Lock() if self.dialect == "sqlite" else nullcontext()
        )
        """SQLite has one writer at a time: who writes often takes this, since SQLite itself waits by sleeping."""

    @cached_property
    def engine(self) -> Engine:
        """SQLAlchemy's pool, made when it is first needed: the import takes 0.4 s."""
        if self.file is None:
            return _postgresql(self.url)
        keep_private(self.file)
        return _sqlite(self.url)

    def migrate(self) -> None:
        """Create or update the tables, forward only. Raises Unavailable when the database cannot be used."""
        if self.file is not None:
            try:
                make_folder(self.file.parent)
            except OSError as exc:
                raise Unavailable(f"the folder of the database cannot be made: {exc.strerror}") from exc
        self.write(lambda connection: _migrate(connection, self.dialect))

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one transaction; raises Unavailable when the database cannot take it now."""
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        try:
            with self.engine.begin() as connection:
                return work(connection)
        except (DBAPIError, PoolTimeout) as exc:
            raise self.placed(translated(exc)) from exc

    def placed(self, error: Exception) -> Exception:
        """The error, with a hint that says which database it is about; user and password are left out."""
        if isinstance(error, Unavailable) and error.hint is None:
            where = f"the database is {self.file}"
            if self.file is None:
                where = f"is PostgreSQL running at {_place(self.url)}?"
            error.hint = f"{where} (database in flowpost.yaml, or FLOWPOST_DATABASE)"
        return error

    async def read(self, work: Callable[[Connection], T]) -> T:
        """As ``write``, in a thread, for work that only looks."""
        return await asyncio.to_thread(self.write, work)

    def close(self) -> None:
        """Close every connection that nobody uses."""
        if "engine" in self.__dict__:
            self.engine.dispose()


def rows(connection: Connection, name: str, /, **values: object) -> Sequence[RowMapping]:
    """Run the named statement and return all its rows."""
    return _run(connection, name, values).mappings().all()


def first(connection: Connection, name: str, /, **values: object) -> RowMapping | None:
    """Run the named statement and return its first row, if there is one."""
    return _run(connection, name, values).mappings().first()


def execute(connection: Connection, name: str, /, **values: object) -> int:
    """Run the named statement; how many rows it touched."""
    return _run(connection, name, values).rowcount


def many(connection: Connection, name: str, /, values: Sequence[Mapping[str, object]]) -> None:
    """Run the named statement once for each mapping."""
    own: Any = getattr(connection, "many", None)
    if own is not None:
        own(name, values)
    else:
        connection.execute(statement(name), [dict(each) for each in values])


def _run(connection: Connection, name: str, values: Mapping[str, object]) -> CursorResult[Any]:
    # A connection of ``runner.ledger.direct`` runs a statement by its name.
    own: Any = getattr(connection, "run", None)
    result: CursorResult[Any] = (
        connection.execute(statement(name), values) if own is None else own(name, values)
    )
    return result


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
    if (known := told(str(getattr(exc, "orig", exc)))) is not None:
        return known
    if isinstance(exc, OperationalError | InterfaceError | PoolTimeout | DatabaseError):
        return Unavailable("the database does not answer")
    return exc


def _migrate(connection: Connection, dialect: str) -> None:
    wanted = migrations(dialect)
    if dialect == "sqlite":
        # Nothing to do is the common answer, and needs neither the writer's turn nor a disk that can be written.
        there = first(connection, "migrations.there")
        if there and {name for name, _ in wanted} <= _applied(connection):
            return
        # A write first: the check and the changes are one transaction, whoever else starts now.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        execute(connection, "migrations.lock")
    execute(connection, "migrations.create")
    applied = _applied(connection)
    for name, statements in wanted:
        if name in applied:
            continue
        for each in statements:
            connection.exec_driver_sql(each)
        execute(connection, "migrations.note", name=name, applied=time.time())


def _applied(connection: Connection) -> set[str]:
    return {row["name"] for row in rows(connection, "migrations.applied")}


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

    def connected(connection: Any, record: object) -> None:
        prepare(connection, synchronous)

    event.listen(engine, "connect", connected)
    return engine


def prepare(connection: sqlite3.Connection, synchronous: str = "FULL") -> None:
    """Make a fresh connection what every statement relies on."""
    # Readers never wait for the writer, and a commit is one fsync.
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.create_function("flowpost_now", 0, time.time)


def _place(url: str) -> str:
    """Host, port and name of the database that ``url`` means to libpq."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    query = {key: value for key, value in parsed.query.items() if isinstance(value, str)}
    # An @ in a password that is not escaped leaves its end before the host.
    host = (parsed.host or query.get("host") or "the local socket").rpartition("@")[2]
    return f"{host}:{parsed.port or query.get('port') or 5432}/{parsed.database or ''}"


def _postgresql(url: str) -> Engine:
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Nothing of it is quoted: what stands where the port should be may be half of a password.
        raise ConfigurationError(
            "database: the URL cannot be read: its port is no number, or it is not postgresql://user@host:port/name",
            hint=f"{_SETTING}; in a password, write @ : / ? as %40 %3A %2F %3F",
        ) from None
    return create_engine(
        parsed,
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
