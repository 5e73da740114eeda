"""Where the octets come from: files, standard input, pipes, gzip; and whether they have changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.rows import content, file, open_rows
from runner.rows.block import Mark
from runner.rows.marks import Marks

CSV = b"email,n\nann@example.com,1\nbob@example.com,2\n"
BODIES = [{"email": "ann@example.com", "n": "1"}, {"email": "bob@example.com", "n": "2"}]


def bodies(opened: file.RowFile) -> list[dict[str, Any]]:
    return [row.body for row in opened.rows()]


@pytest.mark.parametrize("as_text", [True, False], ids=["str", "path"])
def test_a_file_tells_its_name_size_digest_and_columns(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(CSV)

    with open_rows(str(path) if as_text else path) as opened:
        assert opened.name == str(path)
        assert (opened.format, opened.size, opened.columns) == ("csv", len(CSV), ("email", "n"))
        assert opened.digest == hashlib.sha256(CSV).hexdigest()


@pytest.mark.parametrize(
    ("name", "data", "format"),
    [
        ("x.csv", b"a\n1\n", "csv"),
        ("x.CSV", b"a\n1\n", "csv"),
        ("x.tsv", b"a\n1\n", "csv"),
        ("x.csv", b"[a]\n1\n", "csv"),
        ("x.csv", b"{a}\n1\n", "csv"),
        ("x.json", b'[{"a":1}]', "json"),
        ("x.jsonl", b'{"a":1}', "ndjson"),
        ("x.ndjson", b'{"a":1}', "ndjson"),
        ("x.txt", b'\xef\xbb\xbf \n[{"a":1}]', "json"),
        ("x.txt", b'\n\n{"a":1}', "ndjson"),
        ("x", b"a\n1\n", "csv"),
        ("x.csv.gz", gzip.compress(b"a\n1\n"), "csv"),
        ("x.json.gz", gzip.compress(b'[{"a":1}]'), "json"),
        ("x.gz", gzip.compress(b'{"a":1}'), "ndjson"),
        ("x.csv", gzip.compress(b"a\n1\n"), "csv"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_format_is_told_by_the_ending_else_by_the_first_octets(
    tmp_path: Path,
    name: str,
    data: bytes,
    format: str,  # noqa: A002
) -> None:
    (tmp_path / name).write_bytes(data)

    with open_rows(tmp_path / name) as opened:
        assert opened.format == format
        assert len(bodies(opened)) == 1


def test_a_format_that_is_given_wins_over_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"a":1}\n{"a":2}\n')

    with open_rows(path, format="jsonl") as opened:
        assert bodies(opened) == [{"a": 1}, {"a": 2}]


def test_an_unknown_format_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match='"yaml" is no format of rows'):
        open_rows("-", stdin=io.BytesIO(CSV), format="yaml")


def test_a_delimiter_for_json_is_refused() -> None:
    with pytest.raises(UsageError, match="delimiter and columns are for CSV"):
        open_rows("-", stdin=io.BytesIO(b'{"a":1}'), delimiter=";")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.csv", "no such file or directory"),
        (".", "is a directory"),
        ("a\0b", "null"),
        ("x" * 300, "too long"),
    ],
    ids=["missing", "folder", "nul", "long"],
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"^cannot read .*{says}"):
        open_rows(f"{tmp_path}/{name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CSV)
    path.chmod(0)

    with pytest.raises(UsageError, match="permission denied"):
        open_rows(path)


def test_a_workbook_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(CSV)

    with pytest.raises(UsageError, match="is a workbook"):
        open_rows(tmp_path / "x.xlsx")


def test_standard_input_is_read_twice_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with open_rows("-", stdin=io.BytesIO(CSV), spool=tmp_path) as opened:
        assert bodies(opened) == BODIES
        assert bodies(opened) == BODIES
        assert (opened.name, opened.size, opened.changed()) == ("standard input", len(CSV), False)
        assert opened.digest == hashlib.sha256(CSV).hexdigest()
        assert list(tmp_path.iterdir()) == []

    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_of_standard_input_is_nobody_elses(tmp_path: Path) -> None:
    with open_rows("-", stdin=io.BytesIO(CSV), spool=tmp_path) as opened:
        facts = os.fstat(opened._content._file.fileno())

        assert stat.S_IMODE(facts.st_mode) == 0o600
        assert facts.st_nlink == 0


def test_a_refused_stream_leaves_nothing_open_or_behind(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for data in (b"", b"a\n", b"a\n\0", b"a,a\n1,2\n", b"[{}", gzip.compress(CSV)[:-3]):
        with pytest.raises(UsageError):
            open_rows("-", stdin=io.BytesIO(data), spool=tmp_path)

    assert list(tmp_path.iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_kill_leaves_nothing_of_standard_input(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from runner.rows import open_rows\n"
        "f = open_rows('-', spool=Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdout:
        process.stdin.write(CSV)
        process.stdin.close()
        assert process.stdout.readline() == b"open\n"
        process.send_signal(signal.SIGKILL)

    assert list(tmp_path.iterdir()) == []


def test_no_room_for_standard_input_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^cannot keep standard input in .*/nowhere: no such file"):
        open_rows("-", stdin=io.BytesIO(CSV), spool=tmp_path / "nowhere")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_and_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)

    with pytest.raises(UsageError, match="no space left on device"):
        open_rows("-", stdin=io.BytesIO(CSV), spool=tmp_path)

    assert full.closed


def test_a_stream_that_does_not_wait_is_refused_and_not_taken_for_its_end() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, CSV)
    with open(reading, "rb", buffering=0) as stream, open(writing, "wb", buffering=0):  # noqa: SIM117
        with pytest.raises(UsageError, match="does not wait for its data"):
            open_rows("-", stdin=stream)


def test_a_named_pipe_is_read_like_standard_input(tmp_path: Path) -> None:
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as end:
            for at in range(0, len(CSV), 3):
                end.write(CSV[at : at + 3])

    writer = threading.Thread(target=write)
    writer.start()
    with open_rows(pipe) as opened:
        assert bodies(opened) == BODIES
        assert bodies(opened) == BODIES
        assert not opened.changed()
    writer.join()


@pytest.mark.parametrize("source", ["path", "stdin"])
def test_gzip_is_unpacked(tmp_path: Path, source: str) -> None:
    packed = gzip.compress(CSV[:20]) + gzip.compress(CSV[20:])
    path = tmp_path / "x.csv.gz"
    path.write_bytes(packed)

    with open_rows("-", stdin=io.BytesIO(packed)) if source == "stdin" else open_rows(path) as opened:
        assert bodies(opened) == BODIES
        assert opened.digest == hashlib.sha256(CSV).hexdigest()
        assert not opened.changed()


def test_gzip_that_unpacks_to_many_times_its_size_is_whole(tmp_path: Path) -> None:
    data = b"a,b\n" + b"1,2\n" * 1_000_000

    with open_rows("-", stdin=io.BytesIO(gzip.compress(data)), spool=tmp_path) as opened:
        assert opened.size == len(data)
        assert opened.digest == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[:-9], lambda data: data[:20] + b"\xff" * 20 + data[40:]],
    ids=["cut", "damaged"],
)
def test_broken_gzip_is_refused(spoil: Any) -> None:
    with pytest.raises(UsageError, match="gzip"):
        open_rows("-", stdin=io.BytesIO(spoil(gzip.compress(os.urandom(99).hex().encode()))))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_stream_without_end_is_refused_before_it_fills_the_disk(
    packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_SPOOL", 1_000_000)
    data = b"a,b\n" + b"1,2\n" * 1_000_000

    with pytest.raises(UsageError, match="holds more than"):
        open_rows("-", stdin=io.BytesIO(gzip.compress(data) if packed else data))


def test_an_endless_line_ends_the_reading_of_a_stream() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    stream = Endless()
    with pytest.raises(UsageError, match="the line is longer than a row may be"):
        open_rows("-", stdin=stream)  # type: ignore[arg-type]

    assert stream.given < 4 * 2**20


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_a_changed_file_is_noticed_and_a_touched_one_is_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    pack = gzip.compress if name.endswith(".gz") else bytes
    data = pack(CSV)
    path.write_bytes(data)
    with open_rows(path) as opened:
        assert not opened.changed()

        os.utime(path, ns=(1, 1))
        assert not opened.changed()

        path.write_bytes(pack(CSV.replace(b"bob", b"eve")))
        assert opened.changed()

        path.write_bytes(data)
        assert not opened.changed()

        path.unlink()
        assert opened.changed()


def test_a_file_that_is_replaced_is_noticed_and_reads_on_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CSV)
    with open_rows(path) as opened:
        (tmp_path / "new").write_bytes(b"other\n1\n")
        (tmp_path / "new").replace(path)

        assert opened.changed()
        assert bodies(opened) == BODIES


def test_a_file_that_grows_has_the_rows_that_were_hashed(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CSV)
    with open_rows(path) as opened:
        with path.open("ab") as more:
            more.write(b"new@example.com,3\n")

        assert bodies(opened) == BODIES
        assert opened.changed()


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CSV * 20_000)
    with open_rows(path) as opened:
        os.truncate(path, len(CSV) * 10_000)

        with pytest.raises(UsageError, match="became shorter while it was read"):
            list(opened.rows())


def test_a_file_that_becomes_no_text_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CSV * 20_000)
    with open_rows(path) as opened:
        with path.open("r+b") as other:
            other.seek(len(CSV) * 10_000)
            other.write(b"\xff\xff")

        with pytest.raises(UsageError, match="changed while it was read"):
            list(opened.rows())


def test_a_closed_file_gives_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CSV * 20_000)
    with open_rows(path) as opened:
        rows = opened.rows()
        next(rows)

    with pytest.raises(ValueError, match="closed"):
        list(rows)


def test_places_are_thinned_out_and_never_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.rows.marks.MAX_MARKS", 16)
    marks = Marks(Mark(1, 1, 0))
    for number in range(2, 5_000):
        marks.note(Mark(number, number, number * 10))

        assert len(marks) <= 16

    for number in (1, 2, 777, 4_000, 4_999, 10**9):
        found = marks.before(number)
        assert found.number <= number
        assert found.offset in (0, found.number * 10)
    assert marks.before(2_500).number > 1_500
