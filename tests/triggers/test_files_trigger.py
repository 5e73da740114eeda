"""Files that are dropped into a folder: each is one event, whatever breaks in between."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from runner.errors import Unavailable
from runner.model import Accepted, Event, Flow, Trigger
from runner.triggers.files import Folders


def flow_on(*paths: str, name: str = "leads", body: Mapping[str, object] | None = None) -> Flow:
    triggers = tuple(Trigger("files", {"path": path}) for path in paths)
    return Flow(name=name, path=f"flows/{name}.yaml", digest=name, nodes=(), triggers=triggers, body=body)


class Place:
    """A workspace with an inbox, a clock that a test turns, and an acceptor that remembers keys."""

    def __init__(self, root: Path, *flows: Flow, max_file: int = 1000) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.flows = {flow.name: flow for flow in flows or (flow_on("inbox/*.json"),)}
        self.kept: dict[str, Event] = {}
        self.failing: list[Exception] = []
        self.time = 0.0
        self.max_file = max_file
        self.start()

    def start(self) -> None:
        """A new process over the same folder."""
        self.folders = Folders(
            self.root, lambda: self.flows, self.accept, max_file=self.max_file, monotonic=lambda: self.time
        )

    async def accept(self, flow: Flow, event: Event, key: str | None) -> Accepted:
        assert key is not None
        if self.failing and not isinstance(self.failing[0], RuntimeError):
            raise self.failing.pop(0)
        repeated = key in self.kept
        self.kept.setdefault(key, event)
        if self.failing:
            raise self.failing.pop(0)
        return Accepted(key, repeated)

    async def pass_time(self, seconds: float = 3) -> None:
        for _ in range(int(seconds * 2)):
            await self.folders.turn()
            self.time += 0.5

    def drop(self, name: str, content: bytes | str = "{}") -> Path:
        path = self.inbox / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    @property
    def bodies(self) -> list[object]:
        return [event.body for event in self.kept.values()]

    def names(self, folder: str) -> list[str]:
        path = self.inbox / folder
        return sorted(entry.name for entry in path.iterdir() if entry.is_file()) if path.is_dir() else []


async def test_a_new_file_is_one_event_and_moves_to_done(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.drop("a.json", '{"email": "ann@example.com"}')
    await place.pass_time()

    ((key, event),) = place.kept.items()
    assert key.startswith("files:leads:0:")
    assert (event.type, event.body) == ("files", {"email": "ann@example.com"})
    assert event.headers == {"file-path": "inbox/a.json", "file-name": "a.json"}
    assert (place.names("."), place.names(".processing"), place.names(".done")) == ([], [], ["a.json"])


async def test_the_same_file_dropped_again_is_a_new_event_and_both_are_kept(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for _ in range(2):
        place.drop("a.json")
        await place.pass_time()

    assert len(place.kept) == 2
    assert len(place.names(".done")) == 2


async def test_other_names_hidden_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name in ("a.txt", ".a.json", "a.json.part"):
        place.drop(name)
    (place.inbox / "b.json").mkdir()
    await place.pass_time()

    assert place.kept == {}
    assert place.names(".") == [".a.json", "a.json.part", "a.txt"]


async def test_a_file_that_is_still_being_written_is_left_until_it_is_whole(tmp_path: Path) -> None:
    place = Place(tmp_path)
    path = place.inbox / "a.json"
    with path.open("w") as file:
        for number in range(8):
            file.write("[" if number == 0 else "1,")
            file.flush()
            os.utime(path, ns=(number, number))
            await place.pass_time(0.5)
        early = dict(place.kept)
        file.write("1]")
    await place.pass_time()

    assert early == {}
    assert place.bodies == [[1] * 8]


async def test_a_file_that_changes_after_it_was_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A writer that paused still has the file open, wherever it is by then."""
    place = Place(tmp_path)
    path = place.drop("slow.json", "[1]")
    place.drop("whole.json", "[2]")
    writer, keep = path.open("a"), place.accept

    async def accept(flow: Flow, event: Event, key: str | None) -> Accepted:
        if event.headers["file-name"] == "slow.json":
            writer.write(", 2]")
            writer.flush()
        return await keep(flow, event, key)

    place.accept = accept  # type: ignore[method-assign]
    place.start()
    await place.pass_time()
    writer.close()

    assert [record.getMessage() for record in caplog.records] == [
        "inbox/slow.json was changed after it was read: its event lacks what came later"
    ]
    assert place.names(".done") == ["slow.json", "whole.json"]


@pytest.mark.parametrize(
    ("name", "content", "body"),
    [
        ("a.ndjson", '{"a": 1}\n\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
        ("a.csv", "name\nÄnn\n", "name\nÄnn\n"),
        ("A.JSON", "[1]", [1]),
    ],
)
async def test_the_ending_says_what_the_body_is(
    tmp_path: Path, name: str, content: str, body: object
) -> None:
    place = Place(tmp_path, flow_on("inbox/*"))
    place.drop(name, content)
    await place.pass_time()

    assert place.bodies == [body]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("", "empty"),
        ('{"a": 1, "a": 2}', "twice"),
        (b"\xff", "UTF-8"),
        ("[" * 400 + "]" * 400, "levels"),
        ("1" * 2000, "2,000 bytes"),
    ],
)
async def test_a_file_that_cannot_be_read_moves_to_failed_with_a_note(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    place = Place(tmp_path)
    place.drop("a.json", content)
    await place.pass_time()

    assert place.kept == {}
    assert place.names(".failed") == ["a.json", "a.json.error.txt"]
    assert reason in (place.inbox / ".failed/a.json.error.txt").read_text()


async def test_a_file_against_the_body_schema_fails_with_each_place(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["email"], "properties": {"age": {"type": "integer"}}}
    place = Place(tmp_path, flow_on("inbox/*.json", body=schema))
    place.drop("a.json", '{"age": "hunter2"}')
    await place.pass_time()

    note = (place.inbox / ".failed/a.json.error.txt").read_text()
    assert "/email" in note
    assert "/age" in note
    assert "hunter2" not in note


async def test_links_and_pipes_are_refused_unopened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('"hunter2"')
    place = Place(tmp_path / "acme")
    (place.inbox / "link.json").symlink_to(secret)
    (place.inbox / "nowhere.json").symlink_to("/nonexistent")
    os.mkfifo(place.inbox / "pipe.json")
    place.drop("x" * 240 + ".json")
    await asyncio.wait_for(place.pass_time(), 20)

    assert place.kept == {}
    assert place.names(".") == []
    assert len(list((place.inbox / ".failed").glob("*.error.txt"))) == 4
    assert secret.read_text() == '"hunter2"'


async def test_an_inbox_that_leads_out_of_the_workspace_is_not_looked_at(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.json").write_text("{}")
    place = Place(tmp_path / "acme")
    place.inbox.rmdir()
    place.inbox.symlink_to(outside)
    await place.pass_time()

    assert place.kept == {}
    assert os.listdir(outside) == ["a.json"]


async def test_a_processing_folder_that_is_a_link_takes_nothing_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = Place(tmp_path / "acme")
    (place.inbox / ".processing").symlink_to(outside)
    place.drop("a.json")
    await place.pass_time()

    assert os.listdir(outside) == []
    assert place.names(".") == ["a.json"]


async def test_names_that_are_odd_or_not_utf8_work(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name in (b"\xff.json", b"a\nb.json", b"<<x>>.json", b"-.json", "ä ö.json".encode()):
        with open(os.path.join(os.fsencode(place.inbox), name), "wb") as file:
            file.write(b"{}")
    await place.pass_time()

    assert len(place.kept) == 5
    for event in place.kept.values():
        json.dumps(dict(event.headers)).encode()
        event.headers["file-name"].encode()


async def test_a_crash_between_accepting_and_moving_starts_no_second_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.drop("a.json")
    # Kept, and then everything ends before the file has moved.
    place.failing = [RuntimeError("the end")]
    place.time = 5.0
    await place.folders.turn()
    place.time += 2
    await place.folders.turn()
    assert (len(place.kept), len(place.names(".processing"))) == (1, 1)
    place.start()
    await place.pass_time()

    assert len(place.kept) == 1
    assert (place.names(".processing"), place.names(".done")) == ([], ["a.json"])


async def test_a_crash_after_the_claim_loses_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from runner.triggers.inbox import Inbox\n"
        "root = Path(sys.argv[1]); inbox = Inbox(root, root / 'inbox')\n"
        "seen = inbox.look(frozenset(['*.json'])); inbox.claim('a.json', seen['a.json']); os._exit(9)"
    )
    place.drop("a.json", "[7]")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert (done.returncode, place.names(".")) == (9, [])
    await place.pass_time()

    assert (place.bodies, place.names(".done")) == ([[7]], ["a.json"])


async def test_what_a_living_process_has_claimed_is_left_to_it(tmp_path: Path) -> None:
    place, other = Place(tmp_path), Place(tmp_path)
    kept = asyncio.Event()
    keep = place.accept

    async def slowly(flow: Flow, event: Event, key: str | None) -> Accepted:
        await kept.wait()
        return await keep(flow, event, key)

    place.folders._accept = slowly
    place.drop("a.json")
    await place.folders.turn()
    place.time += 2
    taking = asyncio.create_task(place.folders.turn())
    while not place.names(".processing"):
        await asyncio.sleep(0.01)
    await other.pass_time()
    kept.set()
    await taking

    assert (len(place.kept), other.kept) == (1, {})
    assert place.names(".done") == ["a.json"]


async def test_two_processes_share_500_files_at_once(tmp_path: Path) -> None:
    place, other = Place(tmp_path), Place(tmp_path)
    for number in range(500):
        place.drop(f"{number}.json", str(number))
    await asyncio.gather(place.pass_time(), other.pass_time())

    bodies = [int(str(body)) for body in place.bodies + other.bodies]
    assert sorted(bodies) == list(range(500))
    assert len(place.names(".done")) == 500


async def test_a_database_that_is_away_delays_a_file_and_keeps_its_key(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.failing = [Unavailable("away")] * 3
    place.drop("a.json")
    await place.pass_time(6)

    assert (len(place.kept), place.names(".done"), place.names(".failed")) == (1, ["a.json"], [])


async def test_a_file_that_fits_two_flows_is_an_event_for_each(tmp_path: Path) -> None:
    place = Place(tmp_path, flow_on("inbox/*.json"), flow_on("inbox/a*", name="other"))
    place.drop("a.json")
    await place.pass_time()

    assert sorted(key.split(":")[1] for key in place.kept) == ["leads", "other"]


async def test_a_folder_that_comes_goes_and_comes_again_is_watched(tmp_path: Path) -> None:
    place = Place(tmp_path)
    shutil.rmtree(place.inbox)
    await place.pass_time(1)
    place.inbox.mkdir()
    place.drop("a.json")
    await place.pass_time()
    shutil.rmtree(place.inbox)
    await place.pass_time(1)
    place.inbox.mkdir()
    place.drop("a.json")
    await place.pass_time()

    assert len(place.kept) == 2


async def test_a_file_in_the_root_and_one_by_its_full_name(tmp_path: Path) -> None:
    place = Place(tmp_path, flow_on("*.json", "inbox/only.json"))
    (tmp_path / "r.json").write_text("1")
    place.drop("only.json", "2")
    place.drop("not.json", "3")
    await place.pass_time()

    assert sorted(map(str, place.bodies)) == ["1", "2"]


async def test_flows_that_change_are_followed(tmp_path: Path) -> None:
    place = Place(tmp_path, flow_on("other/*.json"))
    place.drop("a.json")
    await place.pass_time(1)
    place.flows = {"leads": flow_on("inbox/*.json")}
    await place.pass_time()

    assert len(place.kept) == 1
