"""The second process of a batch: what leaves is the same, and whichever of the two dies, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from batching import (
    Running,
    addresses,
    arrived,
    children,
    contacts,
    lines,
    prepare,
    rows,
    smtp_server,
    to,
    until,
    with_a_second,
    write_csv,
)
from servers.scripted import ScriptedServer
from workspace import Workspace

from runner.batch.frames import Frames

NEWS = ["news", "--data", "contacts.csv", "--yes", "--format", "json"]
COMMAND = [*NEWS, "--report", "report.ndjson", "--processes", "2"]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def second_of(running: Running) -> int:
    until(lambda: len(children(running.process.pid)) == 1, 20, running.err)
    return children(running.process.pid)[0]


def under_way(
    workspace: Workspace, server: ScriptedServer, number: int, *, connections: int, after: int
) -> tuple[Running, int]:
    """A batch of ``number`` rows of which more than ``after`` have arrived, and its second process."""
    prepare(workspace, server, max_connections=connections)
    contacts(workspace, number)
    running = Running(workspace, *COMMAND)
    second = second_of(running)
    until(lambda: len(server.received) > after, 30, running.err)
    return running, second


def lives(process: int) -> bool:
    try:
        return (Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split())[0] != "Z"
    except OSError:
        return False


def without_date(data: bytes) -> bytes:
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Date: "))


def test_two_processes_send_octet_for_octet_what_one_sends(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        data = rows(120)
        data[30]["name"] = "Zoë Ångström"
        data[31]["name"] = ".dot at the start"
        write_csv(workspace.root / "contacts.csv", data)
        sent: list[dict[str, bytes]] = []
        for processes in ("1", "2"):
            server.received.clear()
            done = workspace.process("batch", *NEWS, "--processes", processes, "--batch-id", f"b{processes}")
            assert done.returncode == 0, done.stderr
            sent.append({mail.recipients[0]: without_date(mail.data) for mail in server.received})
        assert len(sent[0]) == 120
        ids = [
            {
                to: next(line for line in data.split(b"\r\n") if line.startswith(b"Message-ID"))
                for to, data in one.items()
            }
            for one in sent
        ]
        for to_, data_ in sent[1].items():
            assert data_.replace(ids[1][to_], ids[0][to_]) == sent[0][to_]


def test_both_processes_write_messages_and_one_has_all_connections(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": "after 0.02: 250 2.0.0 ok"}) as server:
        running, second = under_way(workspace, server, 400, connections=3, after=20)
        sockets = {process: connections(process) for process in (running.process.pid, second)}
        code, summary = running.end()
        assert (code, summary["sent"]) == (0, 400)
        assert sockets == {running.process.pid: 0, second: 3}
        assert not lives(second)


def connections(process: int) -> int:
    """TCP connections of a process that are open to somebody."""
    inodes = set()
    for file in Path(f"/proc/{process}/fd").iterdir():
        try:
            name = os.readlink(file)
        except OSError:
            continue
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    table = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return sum(fields[3] == "01" and fields[9] in inodes for fields in table)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2, reason="one processor"
)
@pytest.mark.parametrize(("octets", "processes"), [(500, 1), (2000, 2)])
def test_data_of_half_a_megabyte_has_a_second_process(
    workspace: Workspace, octets: int, processes: int
) -> None:
    with smtp_server(script={"DATA_END": "hang"}) as server:
        prepare(workspace, server, max_connections=1)
        write_csv(workspace.root / "contacts.csv", [row | {"note": "x" * octets} for row in rows(300)])
        running = Running(workspace, *NEWS)
        until(lambda: server.received, 30, running.err)
        found = children(running.process.pid)
        running.kill()

    assert len(found) == processes - 1


def test_bad_rows_are_named_in_their_order_whoever_looked_at_them(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        data = rows(300)
        for number in range(0, 300, 13):
            data[number]["email"] = f"nobody{number}"
        write_csv(workspace.root / "contacts.csv", data)
        alone = workspace.process("batch", *NEWS, "--processes", "1")
        both = workspace.process("batch", *NEWS, "--processes", "2")
        assert both.returncode == alone.returncode == 1
        assert named(both.stderr) == named(alone.stderr) != []
        assert "row 248" in both.stderr
        assert not server.received


def named(text: str) -> list[str]:
    return [line for line in text.splitlines() if ": row " in line]


def test_keys_that_come_twice_are_found_across_both(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        data = rows(200)
        data[150]["email"] = data[10]["email"]
        write_csv(workspace.root / "contacts.csv", data)
        with_a_second(workspace)
        answer = workspace.call("batch", *NEWS, "--key", "email")
        assert 'the key "c11@example.net" stands in row 11 already (line 12)' in answer.err
        answer = workspace.call("batch", *NEWS, "--key", "email", "--skip-invalid")
        assert (answer.json["sent"], answer.json["invalid"]) == (199, 1)
        assert set(to(server).values()) == {1}


def test_when_the_second_process_is_killed_what_it_carried_is_unknown_and_the_rest_goes_on_later(
    workspace: Workspace,
) -> None:
    with smtp_server(script={"DATA_END": "after 0.02: 250 2.0.0 ok"}) as server:
        running, second = under_way(workspace, server, 300, connections=2, after=30)
        os.kill(second, signal.SIGKILL)
        code, summary = running.end(30)
        assert code == 1
        assert "the second process of the batch was killed" in running.err
        assert "go on with:" in running.err
        assert 0 < summary["unknown"] <= 8
        code, last = Running(workspace, *COMMAND).end(60)
        assert last["sent"] + last["already_sent"] + last["unknown"] == 300
        assert last["unknown"] == summary["unknown"]
        came = arrived(server)
        assert max(came.values()) == 1
        unknown = {
            f"c{line['row']}@example.net"
            for line in lines(workspace.root / "report.ndjson")
            if line["status"] == "unknown"
        }
        assert addresses(300) - set(came) <= unknown


def test_a_second_process_that_is_killed_while_rows_are_looked_at_stops_everything(
    workspace: Workspace,
) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        contacts(workspace, 20_000)
        running = Running(workspace, *COMMAND)
        os.kill(second_of(running), signal.SIGKILL)
        code, _ = running.end(60)
        assert code == 1
        assert "the second process of the batch was killed" in running.err
        assert not server.received


def test_the_second_process_ends_with_the_first(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": "after 0.05: 250 2.0.0 ok"}) as server:
        running, second = under_way(workspace, server, 200, connections=2, after=5)
        running.process.send_signal(signal.SIGKILL)
        until(lambda: not lives(second), 5, "the second process goes on alone")
        running.kill()


def test_a_credential_that_cannot_be_used_is_told_as_ever(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        contacts(workspace, 100)
        (workspace.root / "secrets" / "ops.yaml").write_text("name: ops\n")
        alone = workspace.process("batch", *NEWS, "--processes", "1")
        both = workspace.process("batch", *NEWS, "--processes", "2")
        assert both.returncode == alone.returncode
        assert both.stderr.replace("--processes 2", "--processes 1") == alone.stderr
        assert "ESECRET" in both.stderr


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 1000])
def test_frames_come_out_whole_however_they_are_torn(cut: int) -> None:
    heard: list[tuple[Any, ...]] = []
    frames = Frames(heard.append, lambda: None)
    told = [("fill", 1, 25), ("send", [(7, None, b"x" * 5000, True)]), ("over",)]
    stream = b""
    for message in told:
        data = pickle.dumps(message)
        stream += len(data).to_bytes(4, "big") + data
    for at in range(0, len(stream), cut):
        frames.data_received(stream[at : at + cut])
    assert heard == told


async def test_what_is_told_to_an_end_that_is_gone_is_no_error() -> None:
    gone = asyncio.Event()
    frames = Frames(lambda message: None, gone.set)
    frames.tell("over")
    frames.connection_lost(None)
    assert gone.is_set()
    frames.close()
