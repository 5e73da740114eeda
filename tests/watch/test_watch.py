"""The watch by itself: its marks, its sets, and what it does where events fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path

import pytest

from runner.watch import ABSENT, FOLDER, Marks, Watch, watch
from runner.watch.events import Notify
from runner.watch.marks import MAX_BYTES
from runner.watch.scan import Place, places, scan

NAMES = ("flowpost.yaml", "flows", "templates")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "acme"
    (root / "flows").mkdir(parents=True)
    (root / "flows" / "a.yaml").write_text("one")
    return root


@contextlib.asynccontextmanager
async def begun(
    changes: AsyncGenerator[frozenset[str], None],
) -> AsyncIterator[AsyncGenerator[frozenset[str], None]]:
    async with contextlib.aclosing(changes):
        assert await anext(changes) == frozenset()
        yield changes


async def told(changes: AsyncGenerator[frozenset[str], None]) -> frozenset[str]:
    """The next paths, without the sets that only ask to look again."""
    while not (paths := await anext(changes)):
        pass
    return paths


class Broken:
    """Events that fail as watchdog does without inotify watches: the arming says why, and nothing ever comes."""

    def __init__(self, notify: Notify) -> None:
        pass

    def arm(self, wanted: Iterable[Place]) -> str:
        return "/flows: inotify watch limit reached"

    def close(self) -> None:
        pass


class Silent(Broken):
    """Events that promise to come and do not."""

    def arm(self, wanted: Iterable[Place]) -> str:
        return ""


def test_equal_marks_mean_equal_content(root: Path) -> None:
    marks = Marks(root)
    path = root / "flows" / "a.yaml"
    first = marks.of(path)
    status = path.stat()
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = marks.of(path)
    path.write_text("one")

    assert first != second
    assert marks.of(path) == first


def test_a_file_that_has_not_changed_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.watch.marks.SURE_AFTER", 0.05)
    marks = Marks(root)
    path = root / "flows" / "a.yaml"
    time.sleep(0.1)
    mark = marks.of(path)
    real = os.open
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda *given: (opened.append(given), real(*given))[1])

    assert marks.of(path) == mark
    assert opened == []
    assert marks.of(path, again=True) == mark
    assert len(opened) == 1


def test_marks_of_what_is_no_file_open_nothing(root: Path) -> None:
    marks = Marks(root)
    os.mkfifo(root / "pipe")
    (root / "zero").symlink_to("/dev/zero")
    (root / "self").symlink_to("self")
    (root / "kernel").symlink_to("/proc/kmsg")
    with open(root / "large", "wb") as large:
        large.truncate(MAX_BYTES * 3000)

    start = time.monotonic()
    found = {
        name: marks.of(root / name) for name in ("pipe", "zero", "self", "kernel", "large", "gone", "flows")
    }

    assert found.pop("gone") == marks.of(root / "a\0b") == ABSENT
    assert found.pop("flows") == FOLDER
    assert {name: mark.split(":")[0] for name, mark in found.items()} == {
        "pipe": "special",
        "zero": "special",
        "self": "unreadable",
        "kernel": "status",
        "large": "status",
    }
    assert time.monotonic() - start < 5


def test_a_scan_sees_each_folder_once_and_leaves_hidden_folders_and_what_is_outside(root: Path) -> None:
    (root / "flows" / ".git").mkdir()
    (root / "flows" / ".git" / "x").write_text("")
    (root / "flows" / "round").symlink_to("..")
    (root / "flows" / "out").symlink_to("/etc")
    found = scan(root, NAMES, Marks(root))

    assert {name for name, mark in found.files.items() if mark not in (ABSENT, FOLDER)} == {"flows/a.yaml"}
    assert set(found.folders) <= {str(root), str(root / "flows")}


def test_links_above_the_workspace_are_watched_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "trees" / "one" / "flows").mkdir(parents=True)
    (tmp_path / "at").mkdir()
    (tmp_path / "at" / "current").symlink_to(tmp_path / "link")
    (tmp_path / "link").symlink_to("trees/one")
    root = tmp_path / "at" / "current"

    wanted = {place.path: place.names for place in places(root, NAMES, scan(root, NAMES, Marks(root)))}

    assert wanted[str(tmp_path / "at")] == {"current"}
    assert "link" in (wanted[str(tmp_path)] or ())
    assert wanted[str(tmp_path / "trees" / "one" / "flows")] is None


async def test_the_paths_that_changed_are_told(root: Path) -> None:
    async with begun(watch(root, NAMES, interval=3600)) as changes:
        (root / "flows" / "a.yaml").write_text("two")
        assert await told(changes) == {"flows/a.yaml"}
        (root / "flows" / "b.yaml").write_text("two")
        (root / "flowpost.yaml").write_text("x")
        assert await told(changes) == {"flows/b.yaml", "flowpost.yaml"}
        (root / "flows" / "b.yaml").unlink()
        assert await told(changes) == {"flows/b.yaml"}


async def test_a_folder_made_again_at_once_is_another_folder_though_its_inode_is_the_same(root: Path) -> None:
    async with begun(watch(root, NAMES, interval=3600)) as changes:
        for text in ("two", "three", "four"):
            shutil.rmtree(root / "flows")
            (root / "flows").mkdir()
            (root / "flows" / "a.yaml").write_text(text)
            assert "flows/a.yaml" in await told(changes)
            (root / "flows" / "a.yaml").write_text(f"{text} again")
            assert await told(changes) == {"flows/a.yaml"}


async def test_events_that_left_everything_as_it_was_ask_the_reader_to_look_again(root: Path) -> None:
    """The reader may have looked just when a file was away, and would not hear of its return."""
    async with begun(watch(root, NAMES, interval=3600)) as changes:
        (root / "flows" / "a.yaml").rename(root / "b")
        (root / "b").rename(root / "flows" / "a.yaml")

        assert await anext(changes) == frozenset()


async def test_after_a_change_and_some_peace_the_reader_is_asked_to_look_once_more(root: Path) -> None:
    async with begun(watch(root, NAMES, interval=0.1)) as changes:
        (root / "flows" / "a.yaml").write_text("two")

        assert await told(changes) == {"flows/a.yaml"}
        assert await anext(changes) == frozenset()


async def test_where_events_cannot_be_had_looking_finds_the_change_and_the_log_says_why(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = Watch(root, NAMES, interval=60.0, events=Broken)
    async with begun(here.changes()) as changes:
        (root / "flows" / "a.yaml").write_text("two")
        start = time.monotonic()
        assert await told(changes) == {"flows/a.yaml"}

    assert here.polling == "/flows: inotify watch limit reached"
    assert time.monotonic() - start < 30, "sooner than the interval"
    assert [record.levelno for record in caplog.records if record.name == "flowpost.watch"] == [
        logging.WARNING
    ]


async def test_an_event_that_does_not_come_is_noticed_by_the_scan(root: Path) -> None:
    here = Watch(root, NAMES, interval=0.1, events=Silent)
    async with begun(here.changes()) as changes:
        (root / "flows" / "a.yaml").write_text("two")

        assert await told(changes) == {"flows/a.yaml"}
    assert here.polling == "a change came without an event"


async def test_a_file_that_is_moved_away_is_no_sign_that_events_do_not_reach(root: Path) -> None:
    """Its event comes half a second late, when no other end of the move was seen."""
    here = Watch(root, NAMES, interval=0.1)
    async with begun(here.changes()) as changes:
        (root / "flows" / "a.yaml").rename(root.parent / "a.yaml")

        assert await told(changes) == {"flows/a.yaml"}
    assert here.polling == ""


async def test_watching_ends_its_threads(root: Path) -> None:
    import threading

    async with begun(watch(root, NAMES)):
        assert any("Inotify" in type(thread).__name__ for thread in threading.enumerate())
    for _ in range(100):
        if not any("InotifyEmitter" in type(thread).__name__ for thread in threading.enumerate()):
            break
        await asyncio.sleep(0.05)

    assert [thread for thread in threading.enumerate() if "InotifyEmitter" in type(thread).__name__] == []


async def test_a_watch_that_is_cancelled_as_an_event_comes_ends(root: Path) -> None:
    """The end of a service and the end of a save may meet."""

    async def read(changes: AsyncGenerator[frozenset[str], None], started: asyncio.Event) -> None:
        async with begun(changes) as begun_changes:
            started.set()
            await anext(begun_changes)

    for _ in range(5):
        here, started = Watch(root, NAMES, interval=3600), asyncio.Event()
        task = asyncio.create_task(read(here.changes(), started))
        await started.wait()
        await asyncio.sleep(0.01)
        here._wake.set()
        # the reader is woken in the next turn of the loop, and cancelled in the same
        asyncio.get_running_loop().call_soon(task.cancel)
        done, _pending = await asyncio.wait({task}, timeout=20)

        assert done
        assert task.cancelled()


async def test_the_loop_is_free_while_500_flows_are_loaded(tmp_path: Path) -> None:
    from runner.catalog import Catalog
    from runner.model import Settings

    (tmp_path / "flows").mkdir()
    for number in range(500):
        (tmp_path / "flows" / f"f{number}.yaml").write_text(
            'nodes: [{id: a, set: {b: "<< trigger.body.x >>"}}]'
        )
    catalog = Catalog(tmp_path, Settings(), {})
    turns, done = 0, False

    async def tick() -> None:
        nonlocal turns
        while not done:
            await asyncio.sleep(0.001)
            turns += 1

    task = asyncio.create_task(tick())
    await asyncio.to_thread(catalog.reload)
    done = True
    await task

    assert len(catalog.flows()) == 500
    assert turns >= 20, "one, had the loop waited"
