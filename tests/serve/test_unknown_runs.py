"""Runs with a message of which nobody knows whether it was delivered: found at once, and page by page."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from databases import BOTH
from served import prepare, serving, smtp_server, until
from workspace import Workspace

from runner.serve.service import HURRY


def listed(workspace: Workspace, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workspace.call("runs", "list", "--format", "json", *arguments).json["runs"]
    return found


@BOTH
def test_what_a_killed_service_was_sending_is_unknown_at_once_and_not_before(
    workspace: Workspace, database_url: str
) -> None:
    workspace.environ["FLOWPOST_DATABASE"] = database_url
    with smtp_server(script={"DATA_END": "hang"}) as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            run_id = service.mail("lost").json()["run_id"]
            until(lambda: server.received)
            before = listed(workspace, "--unknown")
            flagged = [run["unknown"] for run in listed(workspace)]
            service.kill()
            after = listed(workspace, "--unknown")

    assert (before, flagged) == ([], [False])
    assert [run["run_id"] for run in after] == [run_id]


def test_a_message_of_a_process_on_another_machine_is_unknown_when_that_shows_no_life(
    workspace: Workspace,
) -> None:
    run_id = some_runs(workspace, 1)[0]
    with closing(sqlite3.connect(workspace.root / ".flowpost" / "state.db")) as database, database:
        row = (run_id, run_id, "mail", "ops", "sending", "far:1#0", 1, "[]", "{}", "", time.time())
        database.execute(
            "INSERT INTO deliveries (id, run_id, node, credential, state, owner, attempts, wanted, recipients,"
            " response, at) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            row,
        )
        database.execute("UPDATE runs SET ended = NULL, status = 'running', owner = 'far:1'")
        database.execute("INSERT INTO heartbeats VALUES ('far:1', 'far', ?, ?)", (time.time(), time.time()))
    alive = listed(workspace, "--unknown")
    with closing(sqlite3.connect(workspace.root / ".flowpost" / "state.db")) as database, database:
        database.execute("UPDATE heartbeats SET beat = beat - 60")
    dead = listed(workspace, "--unknown")

    assert alive == []
    assert [run["run_id"] for run in dead] == [run_id]


def test_unknown_runs_come_page_by_page_however_many_others_lie_between(workspace: Workspace) -> None:
    ids = some_runs(workspace, 3000)
    lost = ids[100::700]
    with closing(sqlite3.connect(workspace.root / ".flowpost" / "state.db")) as database, database:
        for run_id in lost:
            row = (run_id, run_id, "mail", "ops", "unknown", "x#0", 1, "[]", "{}", "", time.time())
            database.execute(
                "INSERT INTO deliveries (id, run_id, node, credential, state, owner, attempts, wanted,"
                " recipients, response, at) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                row,
            )
    newest = [run["run_id"] for run in listed(workspace, "--unknown", "--limit", "2")]
    next_page = [
        run["run_id"] for run in listed(workspace, "--unknown", "--limit", "9", "--before", newest[-1])
    ]

    assert newest + next_page == sorted(lost, reverse=True)
    assert listed(workspace, "--unknown", "--flow", "another") == []


def some_runs(workspace: Workspace, number: int) -> list[str]:
    """That many runs that have ended, written past the engine."""
    workspace.flow("note", "nodes:\n  - id: one\n    set: {a: 1}\n")
    assert workspace.call("run", "note").code == 0
    with closing(sqlite3.connect(workspace.root / ".flowpost" / "state.db")) as database, database:
        database.execute("DELETE FROM runs")
        ids = [f"0190aaaa-0000-7000-8000-{n:012x}" for n in range(number)]
        now = time.time()
        rows = [(run_id, "note", "d", "p", "failed", "webhook", "{}", "", now, now, now) for run_id in ids]
        database.executemany(
            "INSERT INTO runs (id, flow, digest, path, status, origin, event, payload, accepted, started, ended)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            rows,
        )
    return ids


@pytest.mark.parametrize("moment", ["DATA_END", "RCPT", "EHLO"])
def test_a_second_sigterm_takes_two_seconds_whatever_the_server_hangs_at(
    workspace: Workspace, moment: str
) -> None:
    with smtp_server(script={moment: "hang"}) as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            # What an end takes on a machine as busy as this one.
            begun = time.monotonic()
            service.stop()
            at_rest = time.monotonic() - begun
        with serving(workspace) as service:
            service.mail("stuck")
            until(lambda: server.connections and server.connections[-1].commands)
            if moment == "DATA_END":
                until(lambda: server.received)
            service.signal(signal.SIGTERM)
            until(lambda: "stopping" in service.log)
            begun = time.monotonic()
            service.signal(signal.SIGTERM)
            code = service.process.wait(25)
            took = time.monotonic() - begun
        unknown = listed(workspace, "--unknown")
        shown = [workspace.call("runs", "show", run["run_id"], "--format", "json").json for run in unknown]

    assert code == 0
    assert took < HURRY + at_rest + 3  # the pool would wait 5 s for the server
    if moment == "DATA_END":
        assert [one["state"] for run in shown for one in run["deliveries"]] == ["unknown"]
