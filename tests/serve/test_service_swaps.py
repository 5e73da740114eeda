"""A running service whose files are swapped under it, as git-sync and Kubernetes do, and what it remembers then."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from served import Served, prepare, serving, smtp_server, subject, until, welcome
from workspace import Workspace

from runner.secret import sops

TICKS = """
triggers:
  - schedule: {cron: "CRON", catch_up: MODE}
nodes:
  - id: note
    set: {at: "<<trigger.time>>"}
"""


def swap(link: Path, target: Path) -> None:
    """As git-sync and the kubelet do it: a new link under another name, renamed over the old one."""
    aside = link.with_name(f".{link.name}.new")
    aside.symlink_to(target)
    aside.rename(link)


def commit(workspace: Workspace, number: int) -> Path:
    """The workspace's files as a commit of their own, where git-sync would put it."""
    folder = workspace.root.parent / "git" / f"commit-{number}"
    shutil.copytree(workspace.root, folder, ignore=shutil.ignore_patterns(".flowpost"))
    return folder


def says(service: Served, word: str) -> bool:
    try:
        return bool(service.mail(word, prefer="wait=15").json().get("status") == "succeeded")
    except httpx.TransportError:
        return False


def test_a_git_sync_swap_is_live_within_seconds_and_takes_nothing_along(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        link = workspace.root.parent / "git" / "current"
        swap_to = commit(workspace, 1)
        link.symlink_to(swap_to)
        state = workspace.root.parent / "state"
        database = f"sqlite:///{state}/state.db"
        with serving(workspace, options=["-C", str(link)], FLOWPOST_DATABASE=database) as service:
            assert says(service, "one")
            workspace.flow("welcome", welcome("Second"))
            second = commit(workspace, 2)
            swap(link, second)
            shutil.rmtree(swap_to)
            until(lambda: says(service, "two") and subject(server.messages[-1]) == "Second two", 5)
            ready = service.get("/readyz")
            code = service.stop()
            log = service.log

    assert (ready["ready"], ready["stale"], ready["findings"]) == (True, [], [])
    assert code == 0
    assert not (second / ".flowpost").exists()
    assert (state / "state.db").exists()
    assert (state / "secrets.json").exists()
    assert "stays behind" not in log


def test_a_database_inside_a_swapped_folder_is_warned_about_and_stays_one(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        link = workspace.root.parent / "git" / "current"
        first = commit(workspace, 1)
        link.symlink_to(first)
        with serving(workspace, options=["-C", str(link)]) as service:
            assert says(service, "one")
            swap(link, commit(workspace, 2))
            assert says(service, "two")
            runs = service.metric('flowpost_runs_total{flow="welcome",status="succeeded"}')
            service.stop()
            log = service.log

    assert "stays behind" in log
    assert runs == 2
    assert not (link / ".flowpost" / "state.db").exists()
    with closing(sqlite3.connect(first / ".flowpost" / "state.db")) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)


def test_an_old_password_that_a_swap_brings_back_is_warned_about(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        file = workspace.root / "secrets" / "ops.yaml"
        link = workspace.root.parent / "git" / "current"
        link.symlink_to(commit(workspace, 1))
        with serving(
            workspace,
            options=["-C", str(link)],
            FLOWPOST_DATABASE=f"sqlite:///{workspace.root.parent}/state.db",
        ) as service:
            assert says(service, "one")
            old = file.read_bytes()
            time.sleep(1.1)  # lastmodified has seconds
            tree = sops.decrypt(old, [workspace.identity])
            file.write_bytes(sops.encrypt(tree, [workspace.recipient]))
            swap(link, commit(workspace, 2))
            assert says(service, "two")
            file.write_bytes(old)
            swap(link, commit(workspace, 3))
            assert says(service, "three")
            log = service.log

    assert log.count("an older version is back") == 1


def test_a_config_map_swap_of_the_flows_is_live_within_seconds(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        flows = workspace.root / "flows"
        shutil.rmtree(flows)
        flows.mkdir()
        for number, word in ((1, "Event"), (2, "Mapped")):
            folder = flows / f"..2026_{number}"
            folder.mkdir()
            (folder / "welcome.yaml").write_text(welcome(word))
            os.utime(folder / "welcome.yaml", (1, 1))
        (flows / "..data").symlink_to("..2026_1")
        (flows / "welcome.yaml").symlink_to("..data/welcome.yaml")
        with serving(workspace) as service:
            assert says(service, "one")
            swap(flows / "..data", Path("..2026_2"))
            shutil.rmtree(flows / "..2026_1")
            until(lambda: says(service, "two") and subject(server.messages[-1]) == "Mapped two", 5)
            stale = service.get("/readyz")["stale"]

    assert stale == []


def test_what_was_missed_while_down_is_caught_up_from_the_database_alone(workspace: Workspace) -> None:
    missed = datetime.now(UTC) - timedelta(minutes=20)
    workspace.settings("http: {port: 0}\n")
    for mode in ("once", "skip"):
        ticks = TICKS.replace("MODE", mode).replace("CRON", f"{missed.minute} {missed.hour} * * *")
        workspace.flow(mode, ticks)
    file = workspace.root.parent / "state.db"
    database = f"sqlite:///{file}"

    def asked(query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(file, timeout=10)) as connection, connection:
            return connection.execute(query).fetchall()

    with serving(workspace, FLOWPOST_DATABASE=database) as service:
        until(lambda: asked("SELECT count(*) FROM schedules") == [(2,)])
        service.stop()
    first = asked("SELECT flow FROM runs")
    shutil.rmtree(workspace.root / ".flowpost", ignore_errors=True)
    asked("UPDATE schedules SET done = done - 3600")
    with serving(workspace, FLOWPOST_DATABASE=database) as service:
        until(lambda: asked("SELECT flow FROM runs"), 10)
        time.sleep(1.5)
        service.stop()

    assert first == []
    assert asked("SELECT flow, status FROM runs") == [("once", "succeeded")]
