"""From a change on disk to the live set: the system calls of editors, git, Kubernetes and git-sync, replayed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import missing_tool
from following import following
from saves import SAVES, atomic, config_map, git_sync, halves, plain, vim

LONG = 3600.0
"""An interval that never ends in a test: what is seen, events told."""

Save = Callable[[Path, str], None]


def flow(text: str) -> str:
    """A flow whose every beginning that ends after a line is a flow as well."""
    return f'nodes:\n  - id: a\n    set: {{text: "{text}"}}\n  - id: b\n    set: {{text: "{text}"}}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "acme"
    (root / "flows").mkdir(parents=True)
    (root / "flows" / "a.yaml").write_text(flow("1"))
    (root / "flows" / "b.yaml").write_text(flow("1"))
    return root


async def save(how: Save, path: Path, text: str) -> None:
    await asyncio.to_thread(how, path, text)


@pytest.mark.parametrize("interval", [LONG, 0.2], ids=["events", "events and scans"])
@pytest.mark.parametrize("how", SAVES, ids=lambda how: how.__name__)
async def test_a_save_is_live_and_no_flow_is_away_for_a_moment(
    root: Path, how: Save, interval: float
) -> None:
    async with following(root, interval=interval) as here:
        for number in "23456":
            await save(how, root / "flows" / "a.yaml", flow(number))
            await here.shows(a=number, b="1")

        assert [one for one in here.sets if set(one) != {"a", "b"}] == []


@pytest.mark.parametrize("how", SAVES, ids=lambda how: how.__name__)
async def test_a_save_is_found_by_scans_where_no_event_reaches(root: Path, how: Save) -> None:
    async with following(root, interval=0.1, events=NoEvents) as here:
        await save(how, root / "flows" / "a.yaml", flow("2"))
        await here.shows(a="2", b="1")

        assert [one for one in here.sets if set(one) != {"a", "b"}] == []


async def test_a_half_written_file_that_is_a_valid_flow_never_goes_live(root: Path) -> None:
    """Its first half is a flow with one node of two."""
    async with following(root, interval=LONG) as here:
        lengths: set[int] = set()
        here.catalog.subscribe(lambda change: lengths.add(len(here.catalog.flows()["a"].nodes)))
        for number in "2345":
            await save(halves, root / "flows" / "a.yaml", flow(number))
            await here.shows(a=number, b="1")

        assert lengths == {2}


async def test_a_writer_that_never_closes_does_not_hold_up_others(root: Path) -> None:
    async with following(root, interval=LONG) as here:
        stop = asyncio.Event()

        async def busy() -> None:
            with open(root / "flows" / "busy.txt", "w") as file:
                while not stop.is_set():
                    file.write("x")
                    file.flush()
                    await asyncio.sleep(0.01)

        task = asyncio.create_task(busy())
        await asyncio.sleep(0.1)
        plain(root / "flows" / "a.yaml", flow("2"))
        seconds = await here.shows(a="2", b="1")
        stop.set()
        await task

        assert seconds < 5


async def test_vim_itself_saves_a_flow(root: Path) -> None:
    if shutil.which("vim") is None:
        missing_tool("vim", "install vim")
    async with following(root, interval=LONG) as here:
        command = ["vim", "-u", "NONE", "-N", "-es", "-c", "set backupcopy=no", "-c", "%s/1/2/g", "-c", "wq"]
        done = await asyncio.to_thread(
            subprocess.run, [*command, str(root / "flows" / "a.yaml")], stdin=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 0
        await here.shows(a="2", b="1")


async def test_a_new_folder_with_flows_in_it_is_seen(root: Path) -> None:
    async with following(root, interval=LONG) as here:
        (root / "flows" / "x" / "y").mkdir(parents=True)
        (root / "flows" / "x" / "y" / "c.yaml").write_text(flow("3"))
        await here.shows(a="1", b="1", c="3")
        (root / "flows" / "x" / "y" / "c.yaml").write_text(flow("4"))
        await here.shows(a="1", b="1", c="4")


async def test_a_deleted_file_unloads_its_flow(root: Path) -> None:
    async with following(root, interval=LONG) as here:
        (root / "flows" / "a.yaml").unlink()
        await here.shows(b="1")


async def test_a_folder_that_is_deleted_and_made_again_is_watched_again(root: Path) -> None:
    async with following(root, interval=LONG) as here:
        for number in ("2", "3"):
            shutil.rmtree(root / "flows")
            await here.until(lambda: here.catalog.fault != "")
            assert set(here.texts()) == {"a", "b"}
            (root / "flows").mkdir()
            vim_like = root / "flows" / "a.yaml"
            vim_like.write_text(flow(number))
            (root / "flows" / "b.yaml").write_text(flow("1"))
            await here.shows(a=number, b="1")
            await save(vim, vim_like, flow(f"{number}0"))
            await here.shows(a=f"{number}0", b="1")
            await here.until(lambda: here.catalog.fault == "")

        assert [one for one in here.sets if "a" not in one] == []


async def test_a_workspace_that_is_moved_away_and_back_is_watched_again(root: Path) -> None:
    async with following(root, interval=LONG) as here:
        root.rename(root.parent / "aside")
        await here.until(lambda: here.catalog.fault != "")
        (root.parent / "aside").rename(root)
        await here.until(lambda: here.catalog.fault == "")
        plain(root / "flows" / "a.yaml", flow("2"))
        await here.shows(a="2", b="1")


async def test_a_checkout_of_500_files_is_one_swap(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    git(root, "checkout", "-qb", "two")
    for number in range(500):
        (root / "flows" / f"f{number}.yaml").write_text(flow("2"))
    (root / "flows" / "a.yaml").write_text(flow("2"))
    git(root, "add", ".")
    git(root, "commit", "-qm", "two")
    git(root, "checkout", "-q", "-")
    async with following(root, interval=LONG) as here:
        await asyncio.to_thread(git, root, "checkout", "-q", "two")
        await here.until(lambda: len(here.texts()) == 502, 60)

        assert here.texts()["a"] == "2"
        # A machine that is held up for long in the middle of the checkout may need one more.
        assert len(here.changes) <= 2
        await asyncio.to_thread(git, root, "checkout", "-q", "-")
        await here.shows(a="1", b="1")


def git(root: Path, *arguments: str) -> None:
    if shutil.which("git") is None:
        missing_tool("git", "install git")
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


async def test_a_config_map_swap_is_seen_though_no_time_and_no_size_changes(tmp_path: Path) -> None:
    root = tmp_path / "acme"
    folder = root / "flows"
    folder.mkdir(parents=True)
    config_map(folder, 1, {"a.yaml": flow("1"), "b.yaml": flow("1")})
    async with following(root, interval=LONG) as here:
        assert here.texts() == {"a": "1", "b": "1"}
        for number in (2, 3, 4):
            config_map(folder, number, {"a.yaml": flow(str(number)), "b.yaml": flow("1")})
            await here.shows(a=str(number), b="1")
        config_map(folder, 5, {"b.yaml": flow("5"), "c.yaml": flow("5")})
        await here.shows(b="5", c="5")

        assert [one for one in here.sets[:3] if set(one) != {"a", "b"}] == []


async def test_a_whole_workspace_in_a_config_map_is_followed(tmp_path: Path) -> None:
    """flowpost.yaml and a flow mounted into one folder, with flows a link to a folder beside."""
    root = tmp_path / "acme"
    (root / "real").mkdir(parents=True)
    (root / "flows").symlink_to("real")
    plain(root / "real" / "a.yaml", flow("1"))
    async with following(root, interval=LONG) as here:
        plain(root / "real" / "a.yaml", flow("2"))
        await here.shows(a="2")
        (root / "other").mkdir()
        plain(root / "other" / "a.yaml", flow("3"))
        (root / "link").symlink_to("other")
        (root / "link").rename(root / "flows")
        await here.shows(a="3")
        plain(root / "other" / "a.yaml", flow("4"))
        await here.shows(a="4")


@pytest.mark.parametrize("inner", ["", "/deploy/mail"], ids=["the tree", "a folder in it"])
@pytest.mark.parametrize("keep", [False, True], ids=["old tree removed", "old tree kept"])
async def test_a_git_sync_swap_above_the_workspace_is_followed(
    tmp_path: Path, inner: str, keep: bool
) -> None:
    def files(number: int) -> dict[str, str]:
        names = {
            "flows/a.yaml": flow(str(number)),
            "flows/b.yaml": flow("1"),
            "templates/t.html": str(number),
        }
        return {f"{inner.strip('/')}/{name}".lstrip("/"): text for name, text in names.items()}

    git_sync(tmp_path, 1, files(1))
    root = Path(f"{tmp_path}/current{inner}")
    async with following(root, interval=LONG) as here:
        for number in (2, 3, 4):
            git_sync(tmp_path, number, files(number), keep=keep)
            await here.shows(a=str(number), b="1")
        plain(root / "flows" / "a.yaml", flow("5"))
        await here.shows(a="5", b="1")

        assert [one for one in here.sets if set(one) != {"a", "b"}] == []
        assert here.catalog.fault == ""


async def test_settings_and_templates_and_secrets_are_watched_before_they_are_there(root: Path) -> None:
    async with following(root, interval=LONG) as here:
        plain(root / "flowpost.yaml", "vars: {a: b}\n")
        await here.until(lambda: here.catalog.settings.vars == {"a": "b"})
        (root / "secrets").mkdir()
        atomic(root / "secrets" / "crm.yaml", "x")
        await here.until(lambda: any("crm" in change.credentials for change in here.changes))
        (root / "templates").mkdir()
        plain(root / "templates" / "t", "x")
        plain(root / "flows" / "b.yaml", "nodes: [{id: a, set: {text: \"<% include 't' %>\"}}]")
        await here.until(lambda: set(here.texts()) == {"a", "b"} and here.texts()["b"] != "1")


@pytest.mark.timeout(60)
async def test_what_is_no_file_stops_nothing(root: Path) -> None:
    async with following(root, interval=0.2) as here:
        os.mkfifo(root / "flows" / "pipe.yaml")
        (root / "flows" / "zero.yaml").symlink_to("/dev/zero")
        (root / "flows" / "self.yaml").symlink_to("self.yaml")
        (root / "flows" / "round").symlink_to("..")
        (root / "templates").symlink_to("/proc")
        with open(root / "flows" / "large.yaml", "wb") as large:
            large.truncate(3 * 1024**3)
        await here.until(lambda: len(here.catalog.findings) >= 4)
        plain(root / "flows" / "a.yaml", flow("2"))
        await here.until(lambda: here.texts() == {"a": "2", "b": "1"})


class NoEvents:
    """A mount that tells no events, like many network file systems."""

    def __init__(self, notify: object) -> None:
        pass

    def arm(self, wanted: object) -> str:
        return ""

    def close(self) -> None:
        pass
