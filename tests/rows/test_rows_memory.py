"""Memory stays flat however long the file, or the line; measured in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# A process's ru_maxrss begins with what its parent had when it forked; VmHWM is its own.
_PEAK = """
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
_MEASURE = """
import sys
from pathlib import Path
from runner.rows import open_rows, coercer
with open_rows(sys.argv[1], spool=Path(sys.argv[2])) as file:
    coerce = coercer({"properties": {"age": {"type": "integer"}}}) if file.columns else dict
    count = sum(1 for row in file.rows() if coerce(row.body))
    late = [row.number for row in file.rows(count - 9)]
    print(count, len(late), peak())
"""
_ENDLESS = """
import resource, sys
from pathlib import Path
from runner.errors import UsageError
from runner.rows import open_rows
resource.setrlimit(resource.RLIMIT_AS, (400 * 2**20,) * 2)
try:
    with open_rows(sys.argv[1], spool=Path(sys.argv[2]), format=sys.argv[3]) as file:
        sum(1 for _ in file.rows())
except UsageError as error:
    print(error.message)
    print(peak())
"""


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")


def csv_rows(count: int) -> Iterator[str]:
    yield "email,name,city,age,note\n"
    for at in range(count):
        yield f'u{at}@example.com,Zoë {at},Wien,{at % 90},"a ""note"""\n'


def ndjson_rows(count: int) -> Iterator[str]:
    for at in range(count):
        yield json.dumps({"email": f"u{at}@example.com", "age": at}) + "\n"


def array_rows(count: int) -> Iterator[str]:
    for at, line in enumerate(ndjson_rows(count)):
        yield ("," if at else "[") + line.rstrip("\n")
    yield "]"


def measured(path: Path, source: str, spool: Path) -> tuple[int, int]:
    """Rows, and the peak of the resident set in KiB."""
    stdin = path.open("rb")
    with stdin:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK + _MEASURE, source, spool],
            stdin=stdin,
            capture_output=True,
            text=True,
            check=True,
        )
    count, late, peak = map(int, done.stdout.split())
    assert late == 10
    return count, peak


@pytest.mark.parametrize(
    ("ending", "lines", "many"),
    [("csv", csv_rows, 1_000_000), ("ndjson", ndjson_rows, 150_000), ("json", array_rows, 150_000)],
    ids=["csv", "ndjson", "json"],
)
def test_a_long_file_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, ending: str, lines: Callable[[int], Iterator[str]], many: int
) -> None:
    peaks = []
    for count in (1_000, many):
        path = tmp_path / f"{count}.{ending}"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(lines(count))
        read, peak = measured(path, str(path), tmp_path)
        assert read == count
        peaks.append(peak)

    assert peaks[1] - peaks[0] < 30 * 1024


def test_a_long_stream_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for count in (1_000, 150_000):
        path = tmp_path / f"{count}.csv"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(csv_rows(count))
        peaks.append(measured(path, "-", tmp_path)[1])

    assert peaks[1] - peaks[0] < 30 * 1024


@pytest.mark.parametrize("kind", ["csv", "ndjson", "json"])
@pytest.mark.parametrize("source", ["file", "pipe"])
def test_a_line_of_one_gigabyte_is_refused_within_bounds(tmp_path: Path, kind: str, source: str) -> None:
    """From a file of 1 GiB (of NUL: sparse) and from a pipe that would give a line of as much."""
    path = tmp_path / "line"
    if source == "file":
        with path.open("wb") as file:
            file.write(
                {"csv": b"email,name\nann@example.com,", "ndjson": b'{"a":"', "json": b'[{"a":"'}[kind]
            )
            file.truncate(2**30)
        run = [sys.executable, "-c", _PEAK + _ENDLESS, str(path), str(tmp_path), kind]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        expected = "is NUL"
    else:
        code = (
            "import sys, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL); w = sys.stdout.buffer.write\n"
            "w(sys.argv[1].encode())\nfor _ in range(int(sys.argv[2])): w(b'x' * 2**20)"
        )
        begin = {"csv": 'email,name\nann@example.com,"', "ndjson": '{"a":"', "json": '[{"a":"'}[kind]
        # An array may be one line, so that a stream of it is kept to its end before a row is looked at.
        megabytes = "64" if kind == "json" else "1024"
        with subprocess.Popen(
            [sys.executable, "-c", code, begin, megabytes], stdout=subprocess.PIPE
        ) as writer:
            run = [sys.executable, "-c", _PEAK + _ENDLESS, "-", str(tmp_path), kind]
            done = subprocess.run(run, stdin=writer.stdout, capture_output=True, text=True, check=True)
        expected = "1 MiB"

    message, peak = done.stdout.splitlines()
    assert expected in message
    assert int(peak) < 60 * 1024
