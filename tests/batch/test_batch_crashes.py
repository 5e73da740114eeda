"""A batch that is killed, interrupted, shared: every row once, except those flagged unknown.

FLOWPOST_BATCH_ROWS and FLOWPOST_BATCH_KILLS make the crash test as large as wanted; FLOWPOST_SEED repeats its course.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time

import pytest
from batching import (
    Running,
    addresses,
    arrived,
    children,
    contacts,
    prepare,
    smtp_server,
    statuses,
    to,
    until,
)
from databases import BOTH
from servers.chunking import ChunkingServer
from servers.scripted import ScriptedServer
from workspace import Workspace

from runner.batch.window import NARROW, WIDE

ROWS = int(os.environ.get("FLOWPOST_BATCH_ROWS", "3000"))
KILLS = int(os.environ.get("FLOWPOST_BATCH_KILLS", "5"))
SEED = int(os.environ.get("FLOWPOST_SEED", "0")) or random.randrange(1, 10**6)
CONNECTIONS = 5
"""What is open at a kill: so many intents a connection."""
COMMAND = ["news", "--data", "contacts.csv", "--yes", "--format", "json", "--report", "report.ndjson"]


@BOTH
def test_a_batch_that_is_killed_again_and_again_mails_each_row_once(
    workspace: Workspace, database_url: str
) -> None:
    chance = random.Random(SEED)
    told: dict[int, str] = {}
    with smtp_server() as server:
        prepare(workspace, server, database=database_url, max_connections=CONNECTIONS)
        contacts(workspace, ROWS)
        for kill in range(KILLS):
            before = len(server.received)
            running = Running(workspace, *COMMAND, "--processes", chance.choice("12"))
            goal = before + chance.randrange(1, max(2, (ROWS - before) // (KILLS - kill + 1)))
            until(lambda goal=goal: len(server.received) >= goal, 60, running.err)
            # Whichever of the two dies, the other ends.
            seconds = children(running.process.pid)
            if seconds and chance.random() < 0.4:
                os.kill(seconds[0], signal.SIGKILL)
                running.end(60)
            else:
                running.kill()
            told |= reported(workspace)
        code, summary = Running(workspace, *COMMAND).end(240)
        found = statuses(workspace.root / "report.ndjson")
    unknown = {f"c{row}@example.net" for row, status in found.items() if status == "unknown"}
    came = arrived(server)
    assert len(found) == ROWS
    assert summary["sent"] + summary["already_sent"] + summary["unknown"] == ROWS, summary
    assert not {name: number for name, number in came.items() if number > 1}, f"seed {SEED}"
    assert addresses(ROWS) - set(came) <= unknown, f"seed {SEED}"
    assert len(unknown) <= KILLS * WIDE * CONNECTIONS, f"seed {SEED}"
    assert code == (1 if unknown else 0)
    # What a killed process had reported stands.
    assert not {
        row: status for row, status in told.items() if status == "sent" and found[row] != "already_sent"
    }


@pytest.mark.parametrize(("decision", "twice"), [("--resend-unknown", True), ("--unknown-sent=all", False)])
def test_what_is_decided_holds_for_rows_that_a_kill_has_just_left_open(
    workspace: Workspace, decision: str, twice: bool
) -> None:
    """The ledger says that they are being sent; nobody has called them unknown yet."""
    # The fifth message is never answered.
    with smtp_server(script={"DATA_END": [*["ok"] * 4, "hang"]}) as server:
        prepare(workspace, server, max_connections=1)
        contacts(workspace, 30)
        running = Running(workspace, *COMMAND)
        until(lambda: len(server.received) >= 5, 60, running.err)
        running.kill()
        code, summary = Running(workspace, *COMMAND, decision).end(60)
        came = arrived(server)
    assert (code, summary["unknown"], summary["sent"] + summary["already_sent"]) == (0, 0, 30)
    assert max(came.values()) == (2 if twice else 1)


@pytest.mark.parametrize("chunking", [0, 8])
@pytest.mark.parametrize("killed", ["alone", "first", "second"])
def test_a_kill_leaves_only_those_unknown_that_had_left(
    workspace: Workspace, killed: str, chunking: int
) -> None:
    """Intents of more messages stand: they were only at hand."""
    server = (ChunkingServer if chunking else ScriptedServer)(
        username="ann@example.com",
        password="correct horse",
        tls="implicit",
        script={"BDAT" if chunking else "DATA_END": [*["ok"] * 4, "hang"]},
    )
    with server:
        prepare(workspace, server, max_connections=1, chunking=chunking or None)
        contacts(workspace, 60)
        running = Running(workspace, *COMMAND, "--processes", "1" if killed == "alone" else "2")
        until(lambda: len(server.received) >= (4 if chunking else 5), 60, running.err)
        if killed == "second":
            time.sleep(0.5)  # what was answered has been told by then
        if killed == "second":
            os.kill(children(running.process.pid)[0], signal.SIGKILL)
            _, summary = running.end(60)
            assert summary["unknown"] == max(1, chunking)
        else:
            running.kill()
        _, summary = Running(workspace, *COMMAND).end(60)
        came = arrived(server)
    assert summary["unknown"] == max(1, chunking)
    assert summary["sent"] + summary["already_sent"] + summary["unknown"] == 60
    assert max(came.values()) == 1
    assert not list((workspace.root / ".flowpost").glob("*.flights*"))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_disk_that_is_full_in_the_middle_stops_it_and_costs_no_row(
    workspace: Workspace, processes: str
) -> None:
    """Nothing can be written any more, neither intents nor what came of those that stand."""
    with smtp_server(script={"DATA_END": "after 0.01: 250 2.0.0 ok"}) as server:
        prepare(workspace, server, max_connections=3)
        contacts(workspace, 1500)
        running = Running(workspace, *COMMAND, "--processes", processes)
        until(lambda: len(server.received) >= 100, 60, running.err)
        written = (workspace.root / ".flowpost" / "state.db-wal").stat().st_size
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (written, resource.RLIM_INFINITY))
        code, summary = running.end(90)
        assert (code, "stopped: the database" in running.err) == (1, True), running.err
        assert "go on with:\n  flowpost batch news" in running.err
        assert 0 < summary["sent"] < 1500
        code, summary = Running(workspace, *COMMAND).end(120)
        came = to(server)
    assert (code, summary["unknown"]) == (0, 0)
    assert came == dict.fromkeys(addresses(1500), 1)


def reported(workspace: Workspace) -> dict[int, str]:
    """The report of a process that was killed, its last line perhaps cut off."""
    path = workspace.root / "report.ndjson"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    return statuses(path)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_on_one_database_share_a_batch(
    workspace: Workspace, postgresql: object, processes: int
) -> None:
    from postgres import Postgres

    assert isinstance(postgresql, Postgres)
    with smtp_server(script={"DATA_END": "after 0.05: 250 2.0.0 ok"}) as server:
        prepare(workspace, server, database=postgresql.fresh(), max_connections=2)
        contacts(workspace, 400)
        running = [Running(workspace, *COMMAND[:-2]) for _ in range(processes)]
        ended = [each.end(120) for each in running]
        assert [code for code, _ in ended] == [0] * processes, [each.err for each in running]
        assert to(server) == dict.fromkeys(addresses(400), 1)
        sent = [summary["sent"] for _, summary in ended]
        assert sum(sent) == 400
        assert min(sent) > 20, "each carries its part"
        assert {summary["sent"] + summary["already_sent"] for _, summary in ended} == {400}


def test_the_rows_of_a_process_that_died_are_taken_over(workspace: Workspace, postgresql: object) -> None:
    from postgres import Postgres

    assert isinstance(postgresql, Postgres)
    with smtp_server(script={"DATA_END": "after 0.02: 250 2.0.0 ok"}) as server:
        prepare(workspace, server, database=postgresql.fresh(), max_connections=1)
        contacts(workspace, 300)
        dying, living = Running(workspace, *COMMAND[:-2]), Running(workspace, *COMMAND[:-2])
        until(lambda: len(server.connections) == 2 and len(server.received) > 40, 60, living.err)
        dying.kill()
        killed = time.monotonic()
        code, summary = living.end(120)
        came = arrived(server)
        assert not {name: number for name, number in came.items() if number > 1}
        assert len(addresses(300) - set(came)) <= summary["unknown"] <= NARROW
        assert code == (1 if summary["unknown"] else 0)
        assert time.monotonic() - killed < 60


@pytest.mark.parametrize("signalled", ["alone", "first", "both", "gone"])
def test_ctrl_c_finishes_what_is_on_its_way_and_says_how_to_go_on(
    workspace: Workspace, signalled: str
) -> None:
    """``alone``: there is one process; ``both``: a terminal tells the second one too, and ``gone`` when it hangs up."""
    number = signal.SIGHUP if signalled == "gone" else signal.SIGINT
    processes = "1" if signalled == "alone" else "2"
    with smtp_server(script={"DATA_END": "after 0.02: 250 2.0.0 ok"}) as server:
        prepare(workspace, server, max_connections=2)
        contacts(workspace, 200)
        running = Running(workspace, *COMMAND, "--processes", processes)
        until(lambda: len(server.received) > 20, 30, running.err)
        if signalled in ("both", "gone"):
            os.kill(children(running.process.pid)[0], number)
        running.signal(number)
        code, summary = running.end(20)
        assert code == 130
        assert "go on with:\n  flowpost batch news --data contacts.csv" in running.err
        assert summary["unknown"] == 0
        assert summary["sent"] == len(to(server)) < 200
        code, summary = Running(workspace, *COMMAND, "--processes", processes).end(60)
        assert code == 0
        assert to(server) == dict.fromkeys(addresses(200), 1)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_twice_waits_for_nobody_and_what_is_open_is_unknown(
    workspace: Workspace, processes: str
) -> None:
    with smtp_server(script={"DATA_END": ["ok"] * 10 + ["hang"] * 10}) as server:
        prepare(workspace, server, max_connections=2)
        contacts(workspace, 100)
        running = Running(workspace, *COMMAND, "--processes", processes)
        until(lambda: len(server.received) >= 12, 30, running.err)
        running.signal(signal.SIGINT)
        time.sleep(0.5)
        assert running.process.poll() is None
        running.signal(signal.SIGINT)
        code, summary = running.end(10)
        assert code == 130
        assert summary["unknown"] == 2
        assert summary["sent"] == 10


def test_a_second_process_on_one_machine_is_refused(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": "after 0.05: 250 2.0.0 ok"}) as server:
        prepare(workspace, server, max_connections=1)
        contacts(workspace, 100)
        running = Running(workspace, *COMMAND)
        until(lambda: server.received, 30, running.err)
        second = Running(workspace, *COMMAND[:-2])
        assert second.end(30)[0] == 2
        assert "another flowpost batch" in second.err
        running.kill()
