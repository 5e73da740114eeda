"""Settings of a running service that change while it runs: the rate of hooks and how long the history is kept."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import httpx
import pytest
from served import prepare, serving, settings, smtp_server, until, welcome
from workspace import Workspace

NOTE = "triggers:\n  - webhook: {path: note, auth: none}\nnodes:\n  - id: one\n    set: {a: 1}\n"


def test_more_than_the_rate_is_429_with_the_time_to_wait(workspace: Workspace) -> None:
    workspace.settings(settings().replace("{port: 0}", "{port: 0, rate: 2/min}"))
    workspace.flow("note", NOTE)
    workspace.flow("own", NOTE.replace("note", "own").replace("none}", "none, rate: 1000/s}"))
    with serving(workspace) as service:
        codes = [service.post({}, "note").status_code for _ in range(2)]
        refused = service.post({}, "note")
        own = [service.post({}, "own").status_code for _ in range(5)]
        workspace.settings(settings())
        service.client.post("/-/reload")
        lifted = service.post({}, "note").status_code

    assert codes == [202, 202]
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert refused.json()["status"] == 429
    assert own == [202] * 5
    assert lifted == 202


def test_the_rate_of_a_hook_is_checked_with_the_flow(workspace: Workspace) -> None:
    workspace.flow("note", NOTE.replace("none}", "none, rate: fast}"))
    answer = workspace.call("validate")

    assert answer.code == 1
    assert '"fast" is not a rate like 14/s or 500/day' in answer.out + answer.err


def test_runs_under_way_are_counted_by_status(workspace: Workspace) -> None:
    slow = welcome().replace("delay: 200ms, max_delay: 1s", "delay: 1h")
    with smtp_server(script={"RCPT": "450 4.2.1 later", "DATA_END": "after 3: 250 ok"}) as server:
        prepare(workspace, server)
        workspace.flow("welcome", slow)
        with serving(workspace) as service:
            empty = [
                service.metric(f'flowpost_runs_open{{status="{name}"}}') for name in ("accepted", "waiting")
            ]
            for n in range(3):
                service.mail(n)
            until(lambda: service.metric('flowpost_runs_open{status="waiting"}') == 3, 20)
            text = service.client.get("/metrics").text

    assert empty == [0.0, 0.0]
    assert 'flowpost_runs_open{status="running"} 0.0' in text


def test_what_is_kept_of_ended_runs_is_a_setting(workspace: Workspace) -> None:
    workspace.settings(settings())
    workspace.flow("note", NOTE)
    file = workspace.root / ".flowpost" / "state.db"

    def left() -> int:
        with closing(sqlite3.connect(file, timeout=10)) as database:
            return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])

    with serving(workspace) as service:
        for _ in range(3):
            assert service.post({}, "note", prefer="wait=10").status_code == 200
        service.stop()
    kept = left()
    workspace.settings(settings("history: {keep: 1ms}\n"))
    time.sleep(0.1)
    with serving(workspace) as service:
        until(lambda: left() == 0, 20)
        try:
            alive = service.client.get("/healthz").status_code
        except httpx.HTTPError:
            alive = 0

    assert kept == 3
    assert alive == 200


def test_an_old_run_of_the_command_line_is_pruned_where_no_service_runs(workspace: Workspace) -> None:
    workspace.settings("history: {keep: 1ms}\n")
    workspace.flow("note", NOTE)
    for _ in range(3):
        workspace.call("run", "note")
        time.sleep(0.01)

    assert len(workspace.call("runs", "list", "--format", "json").json["runs"]) == 1


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "-1", "soon"])
def test_a_drain_is_a_number_of_seconds(workspace: Workspace, seconds: str) -> None:
    # A workspace that ends the start all the same: what is wrong with the call is said first.
    workspace.settings("workspce: x\n")
    answer = workspace.call("serve", f"--drain={seconds}")

    assert (answer.code, "--drain" in answer.err) == (2, True), answer.err
