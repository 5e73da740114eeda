"""What a dead process has noted of its messages: only a note that is certain lets a message leave again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.ledger.batches import RowState
from runner.ledger.flights import Flights, Traces, started

ME = "host:00000000-0000-4000-8000-000000000000"
pytestmark = pytest.mark.skipif(started() is None, reason="this system does not tell its start")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db.batch-b.flights"


def noted(path: Path, *numbers: int, owner: str = ME) -> None:
    """A process that noted these and was killed; those below zero had arrived."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom runner.ledger.flights import Flights\n"
        "flights = Flights.make(Path(sys.argv[1]))\nflights.begin(sys.argv[2])\n"
        "for number in map(int, sys.argv[3:]):\n    flights.leaves(abs(number))\n"
        "    if number < 0:\n        flights.arrived(-number)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), owner, *map(str, numbers)], timeout=60)
    assert done.returncode == -signal.SIGKILL


def left(path: Path, *numbers: int, owner: str | None = ME) -> list[bool | str]:
    """True for what is unknown, False for what never left, ``sent``."""
    traces = Traces(path)
    told: dict[RowState, bool | str] = {
        RowState.UNKNOWN: True,
        RowState.PENDING: False,
        RowState.SENT: "sent",
    }
    try:
        return [told[traces.fate(owner, number)] for number in numbers]
    finally:
        traces.close()


def test_what_was_noted_has_left_and_all_else_has_not(path: Path) -> None:
    noted(path, 1, 3, 1_000_000)

    assert left(path, 1, 2, 3, 4, 1_000_000, 1_000_001, 10**12) == [
        True, False, True, False, True, False, False,
    ]  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_accepted_is_sent(path: Path) -> None:
    noted(path, -1, 2)

    assert left(path, 1, 2, 3) == ["sent", True, False]
    assert left(path, 1, owner="another:1") == [True]


def test_a_row_of_somebody_else_may_have_left(path: Path) -> None:
    noted(path, 1)

    assert left(path, 2, owner="another:1") == [True]
    assert left(path, 2, owner=None) == [True]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda head: head.replace(head.split(b"\n")[1], b"0" * 36), id="another start of the machine"),
        pytest.param(
            lambda head: head.replace(head.split(b"\n")[2], b"%.3f" % (float(head.split(b"\n")[2]) - 60)),
            id="a minute earlier",
        ),
        pytest.param(lambda head: head.replace(b"flights 1", b"flights 2"), id="another version"),
        pytest.param(lambda head: head[:40], id="cut off"),
        pytest.param(lambda head: b"", id="empty"),
        pytest.param(lambda head: b"\xff" * 300, id="nonsense"),
    ],
)  # fmt: skip
def test_notes_that_are_not_certain_say_nothing(path: Path, change: object) -> None:
    noted(path, 1)
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]

    assert left(path, 1, 2) == [True, True]


def test_without_notes_everything_may_have_left(path: Path) -> None:
    assert left(path, 1) == [True]
    path.symlink_to(path.with_name("elsewhere"))
    noted(path.with_name("elsewhere"), 1)
    assert left(path, 2) == [True]


def test_notes_of_a_process_that_lives_say_nothing(path: Path) -> None:
    """Its second process may be about to send what is not noted yet."""
    flights = Flights.make(path)
    assert flights is not None
    flights.begin(ME)
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    try:
        os.close(flights._handle)  # type: ignore[arg-type]  # as if this process were dead
        assert left(path, 1) == [True]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert left(path, 1) == [False]
    finally:
        flights._handle = None


def test_a_process_that_begins_puts_its_own_notes_in_place_of_the_earlier(path: Path) -> None:
    noted(path, 1)
    flights = Flights.make(path)
    assert flights is not None
    assert left(path, 1) == [True]
    flights.begin("me")
    flights.leaves(2)
    assert [flights.left(number) for number in (1, 2)] == [False, True]
    flights.end()
    assert list(path.parent.iterdir()) == []


def test_notes_that_nobody_began_leave_nothing_and_touch_nothing(path: Path) -> None:
    noted(path, 1)
    flights = Flights.make(path)
    assert flights is not None
    flights.end()
    assert list(path.parent.iterdir()) == [path]
    assert left(path, 1, 2) == [True, False]


def test_notes_may_outlive_their_process(path: Path) -> None:
    flights = Flights.make(path)
    assert flights is not None
    flights.begin(ME)
    flights.leaves(1)
    flights.keep()
    flights.end()
    assert left(path, 1, 2) == [True, False]


def test_notes_that_cannot_be_written_any_more_are_no_notes(path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom runner.ledger.flights import Flights\n"
        "flights = Flights.make(Path(sys.argv[1]))\nflights.begin('me')\nflights.leaves(1)\n"
        "assert not flights.left(2)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "flights.leaves(100_000)\nassert flights.left(2)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=True)

    assert left(path, 1, 2, 100_000) == [True, True, True]


def test_notes_that_the_second_process_cannot_write_are_none_for_the_first_either(path: Path) -> None:
    """It was forked before the notes had their name."""
    code = (
        "import os, resource, sys\nfrom pathlib import Path\nfrom runner.ledger.flights import Flights\n"
        "flights = Flights.make(Path(sys.argv[1]))\nhere, there = os.pipe()\n"
        "if os.fork() == 0:\n    os.read(here, 1)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n    flights.leaves(100_000)\n    os._exit(0)\n"
        "flights.begin(sys.argv[2])\nflights.leaves(1)\nassert not flights.left(2)\n"
        "os.write(there, b'x')\nos.wait()\nassert flights.left(2)\nflights.keep()\nflights.end()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path), ME], timeout=60, check=True)

    assert left(path, 1, 2, 100_000) == [True, True, True]


def test_where_nothing_can_be_written_there_are_no_notes(path: Path) -> None:
    path.parent.joinpath("file").write_text("")

    assert Flights.make(path.parent / "file" / "x.flights") is None


def test_what_a_process_left_aside_that_was_killed_before_it_began_is_taken_away(path: Path) -> None:
    path.with_name(f"{path.name}.4711").write_bytes(b"")
    flights = Flights.make(path)
    assert flights is not None
    flights.begin(ME)
    assert list(path.parent.iterdir()) == [path]
    flights.end()
