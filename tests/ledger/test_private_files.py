"""What the SQLite file holds, recipients and bodies, is for its owner alone."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.ledger.database import Database
from runner.ledger.direct import open_database
from runner.ledger.private import keep_private

Opener = Callable[[str, Path], Database]
OPENERS = pytest.mark.parametrize("opener", [Database, open_database], ids=["pool", "direct"])
URL = "sqlite:///.flowpost/state.db"


@pytest.fixture(autouse=True)
def _wide_umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@OPENERS
def test_the_database_and_its_folder_are_made_for_their_owner_alone(opener: Opener, tmp_path: Path) -> None:
    database = opener(URL, tmp_path)
    database.migrate()

    assert stat.S_IMODE((tmp_path / ".flowpost").stat().st_mode) == 0o700
    found = modes(tmp_path / ".flowpost")
    assert found == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm"), 0o600)
    database.close()


@OPENERS
def test_a_database_that_everybody_could_read_is_tightened(opener: Opener, tmp_path: Path) -> None:
    """Files of earlier versions, with what a kill left beside them."""
    folder = tmp_path / ".flowpost"
    folder.mkdir()
    old = sqlite3.connect(folder / "state.db")
    old.execute("PRAGMA journal_mode=WAL")
    old.execute("CREATE TABLE t (a)")
    assert set(modes(folder).values()) == {0o644}
    database = opener(URL, tmp_path)
    database.migrate()

    assert set(modes(folder).values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    old.close()
    database.close()


def test_a_file_that_is_open_keeps_its_locks(tmp_path: Path) -> None:
    """POSIX: whoever closes a file gives up all locks that his process has on it."""
    file = tmp_path / "state.db"
    mine = sqlite3.connect(file, isolation_level=None)
    mine.execute("BEGIN EXCLUSIVE")
    keep_private(file)
    begin = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    theirs = subprocess.run([sys.executable, "-c", begin, str(file)], capture_output=True, text=True)
    mine.close()

    assert "database is locked" in theirs.stderr
