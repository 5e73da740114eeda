"""``flowpost run`` keeps the ledger: what it does is in the history, whatever happens to it in the middle."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ROOT
from databases import BOTH
from durable import LIVING
from served import prepare, serving, smtp_server, subject, until
from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Workspace

FLOW = """
nodes:
  - id: before
    set: {a: 1}
  - id: mail
    smtp: {credential: ops, to: bob@example.net, subject: "<<trigger.body.n>>", body_format: text, body: hello}
    retry: {attempts: 1}
"""
EACH = """
nodes:
  - id: mail
    for_each: << trigger.body.n >>
    smtp: {credential: ops, to: bob@example.net, subject: "<<item>>", body_format: text, body: hello}
"""
SMALL = (
    sys.executable,
    "-c",
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); os.execv(sys.argv[1], sys.argv[1:])",
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def ready(workspace: Workspace, server: ScriptedServer) -> Workspace:
    return made_ready(workspace, server)


def made_ready(workspace: Workspace, server: ScriptedServer, **sections: Any) -> Workspace:
    workspace.settings(LOOPBACK)
    workspace.smtp("ops", server, **sections)
    workspace.flow("mail", FLOW)
    return workspace


def begin(workspace: Workspace, *prefix: str, n: object = 1) -> subprocess.Popen[bytes]:
    """``flowpost run mail`` as a process that may be killed; ``told`` has what it writes."""
    command = [*prefix, sys.executable, "-m", "runner", "run", "mail", "--body", json.dumps({"n": n})]
    with (workspace.root.parent / "run.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=workspace.root,
            env={**os.environ, **workspace.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    LIVING.append(process)
    return process


def told(workspace: Workspace) -> str:
    return (workspace.root.parent / "run.log").read_text()


def listed(workspace: Workspace, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workspace.call("runs", "list", "--format", "json", *arguments).json["runs"]
    return found


@BOTH
def test_a_run_of_the_command_line_is_shown_like_any_other(
    ready: Workspace, server: ScriptedServer, database_url: str
) -> None:
    ready.environ["FLOWPOST_DATABASE"] = database_url
    answer = ready.call("run", "mail", "--body", '{"n": 7}', "--format", "json")
    (run,) = listed(ready)
    shown = ready.call("runs", "show", run["run_id"], "--format", "json").json

    assert answer.code == 0, answer.err
    assert (run["run_id"], run["status"], run["origin"]) == (answer.json["run_id"], "succeeded", "manual")
    assert shown["nodes"] == answer.json["nodes"]
    assert shown["event"]["body"] == {"n": 7}
    assert [(one["node"], one["state"]) for one in shown["deliveries"]] == [("mail", "sent")]
    assert [subject(mail) for mail in server.messages] == ["7"]


def test_a_run_that_failed_is_shown_with_its_error(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": "550 5.1.1 nobody"}) as server:
        made_ready(workspace, server)
        code = workspace.call("run", "mail", "--body", '{"n": 1}').code
        (run,) = listed(workspace, "--status", "failed")
        shown = workspace.call("runs", "show", run["run_id"], "--format", "json").json

    assert code == 1
    assert shown["nodes"]["mail"]["error"]["code"] == "EENVELOPE"
    assert shown["deliveries"][0]["state"] == "failed"


def test_a_dry_run_leaves_no_trace(ready: Workspace) -> None:
    answer = ready.call("run", "mail", "--body", '{"n": 1}', "--dry-run")

    assert answer.code == 0
    assert not list(ready.root.rglob("state.db*"))
    assert listed(ready) == []


def test_a_run_imports_neither_the_engine_of_the_service_nor_its_database_library(ready: Workspace) -> None:
    program = (
        "import sys; from runner.cli.main import main; "
        "code = main(['run', 'mail', '--body', '{\"n\": 1}']); "
        "print([name for name in ('dbos', 'sqlalchemy') if name in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ready.root,
        env={**os.environ, **ready.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_a_run_works_beside_a_service_on_the_same_file(workspace: Workspace, server: ScriptedServer) -> None:
    prepare(workspace, server)
    workspace.flow("mail", FLOW)
    with serving(workspace) as service:
        waiting = [threading.Thread(target=service.mail, args=(n,)) for n in range(20)]
        for thread in waiting:
            thread.start()
        answers = [workspace.process("run", "mail", "--body", f'{{"n": "by hand {n}"}}') for n in range(3)]
        for thread in waiting:
            thread.join()
        until(lambda: len(server.messages) == 23)
        service.stop()
    runs = listed(workspace)

    assert [answer.returncode for answer in answers] == [0, 0, 0]
    assert sum(run["origin"] == "manual" for run in runs) == 3
    assert {run["status"] for run in runs} == {"succeeded"}
    assert len(runs) == 23


@BOTH
def test_a_run_killed_in_the_middle_of_data_is_found_as_unknown_at_once(
    workspace: Workspace, database_url: str
) -> None:
    workspace.environ["FLOWPOST_DATABASE"] = database_url
    with smtp_server(script={"DATA_END": "hang"}) as server:
        made_ready(workspace, server)
        process = begin(workspace)
        until(lambda: server.received)
        alive = listed(workspace, "--unknown")
        process.kill()
        process.wait()
        found = listed(workspace, "--unknown")
        shown = workspace.call("runs", "show", found[0]["run_id"], "--format", "json").json

    assert alive == []
    assert [(run["flow"], run["status"], run["unknown"]) for run in found] == [("mail", "failed", True)]
    assert shown["deliveries"][0]["state"] == "unknown"
    assert shown["nodes"]["before"]["status"] == "succeeded"
    assert "ended in the middle" in shown["error"]["message"]


def test_a_person_decides_about_it_and_a_service_goes_on_with_it(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["hang"]}) as server:
        prepare(workspace, server)
        workspace.flow("mail", FLOW)
        process = begin(workspace)
        until(lambda: server.received)
        process.kill()
        process.wait()
        run_id = listed(workspace, "--unknown")[0]["run_id"]
        refused = workspace.call("runs", "retry", run_id)
        decided = workspace.call("runs", "resolve", run_id, "--resend")
        assert decided.code == 0, decided.err
        with serving(workspace):
            until(lambda: len(server.received) == 2)
            until(lambda: listed(workspace)[0]["status"] == "succeeded")

    assert (refused.code, decided.code) == (2, 0)
    assert listed(workspace, "--unknown") == []


def test_a_run_of_the_command_line_that_failed_is_tried_again_by_a_service(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": ["550 5.1.1 nobody"]}) as server:
        prepare(workspace, server)
        workspace.flow("mail", FLOW)
        failed = workspace.call("run", "mail", "--body", '{"n": 3}', "--format", "json")
        retried = workspace.call("runs", "retry", failed.json["run_id"])
        with serving(workspace):
            until(lambda: listed(workspace)[0]["status"] == "succeeded")

    assert (failed.code, retried.code) == (1, 0)
    assert [subject(mail) for mail in server.messages] == ["3"]


def test_a_service_ends_what_a_killed_command_has_left(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["hang"]}) as server:
        prepare(workspace, server)
        workspace.flow("mail", FLOW)
        with serving(workspace) as service:
            process = begin(workspace)
            until(lambda: server.received)
            process.kill()
            process.wait()
            until(lambda: "failed" in database_statuses(workspace), 10)
            service.stop()


def database_statuses(workspace: Workspace) -> list[str]:
    """Asked past the history, which would end such a run by itself."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(workspace.root / ".flowpost" / "state.db", timeout=10)) as database:
        return [row[0] for row in database.execute("SELECT status FROM runs")]


def test_ctrl_c_ends_the_run_in_the_history_too(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": "hang"}) as server:
        made_ready(workspace, server)
        process = begin(workspace)
        until(lambda: server.received)
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
        (run,) = listed(workspace)

    assert code == 130
    assert (run["status"], run["unknown"]) == ("failed", True)
    assert run["error"]["message"] == "interrupted"


def test_a_run_that_is_cancelled_stops_after_its_node(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": "after 2: 250 ok"}) as server:
        made_ready(workspace, server)
        workspace.flow("mail", FLOW + "  - id: after\n    set: {b: 1}\n")
        process = begin(workspace)
        until(lambda: server.received)
        run_id = listed(workspace)[0]["run_id"]
        cancelled = workspace.call("runs", "cancel", run_id)
        code, err = process.wait(20), told(workspace)
        shown = workspace.call("runs", "show", run_id, "--format", "json").json

    assert cancelled.code == 0
    assert code == 1
    assert "ended from outside" in err
    assert shown["status"] == "cancelled"
    assert shown["deliveries"][0]["state"] == "sent"
    assert "after" not in shown["nodes"]


# -- budgets -------------------------------------------------------------------------------------------


def test_a_quota_that_is_used_up_is_erate_and_nothing_is_sent(
    workspace: Workspace, server: ScriptedServer
) -> None:
    made_ready(workspace, server, advanced={"rates": ["1/day"]})
    first = workspace.call("run", "mail", "--body", '{"n": 1}')
    second = workspace.call("run", "mail", "--body", '{"n": 2}', "--format", "json")

    assert (first.code, second.code) == (0, 1)
    assert second.json["nodes"]["mail"]["error"]["code"] == "ERATE"
    assert [subject(mail) for mail in server.messages] == ["1"]


def test_a_pace_is_kept_and_waited_for(workspace: Workspace, server: ScriptedServer) -> None:
    made_ready(workspace, server, advanced={"rates": ["1/s"]})
    workspace.flow("mail", EACH)
    begun = time.monotonic()
    answer = workspace.call("run", "mail", "--body", '{"n": [1, 2, 3]}')

    assert answer.code == 0, answer.err
    assert len(server.messages) == 3
    assert time.monotonic() - begun > 1.9


# -- disks ---------------------------------------------------------------------------------------------


def test_a_full_disk_is_a_clear_error_and_nothing_is_sent(ready: Workspace, server: ScriptedServer) -> None:
    process = begin(ready, *SMALL)
    code, err = process.wait(30), told(ready)

    assert code == 1
    assert "EUNAVAILABLE" in err
    assert "disk" in err
    assert "Traceback" not in err
    assert server.received == []


def test_a_read_only_database_is_a_clear_error_and_nothing_is_sent(
    ready: Workspace, server: ScriptedServer
) -> None:
    ready.call("run", "mail", "--body", '{"n": 1}')
    folder = ready.root / ".flowpost"
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    powerless = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = begin(ready, sys.executable, "-c", powerless, n=2)
    code, err = process.wait(30), told(ready)
    folder.chmod(0o755)

    assert code == 1
    assert "EUNAVAILABLE" in err
    assert "Traceback" not in err
    assert [subject(mail) for mail in server.messages] == ["1"]


def test_a_disk_that_fills_up_behind_the_intent_sends_once_and_says_what_the_history_lacks(
    workspace: Workspace,
) -> None:
    with smtp_server(script={"DATA_END": "after 1: 250 ok"}) as server:
        made_ready(workspace, server)
        process = begin(workspace)
        until(lambda: server.received)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
        code, err = process.wait(30), told(workspace)
        found = listed(workspace, "--unknown")

    assert code == 0
    assert "succeeded" in err
    assert "history does not say" in err
    assert "Traceback" not in err
    assert len(server.received) == 1
    assert len(found) == 1
