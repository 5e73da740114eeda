"""The report of a batch: a line a row, whole whatever stops the batch, and never in place of something else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest
from batching import NEWS, addresses, contacts, lines, prepare, rows, smtp_server, statuses, to, write_csv
from servers.scripted import ScriptedServer
from workspace import Workspace

BATCH = ["batch", "news", "--data", "contacts.csv", "--yes"]
ONCE = [*BATCH, "--format", "json"]
REPORTED = [*ONCE, "--report", "report.ndjson"]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def ready(workspace: Workspace, server: ScriptedServer) -> Workspace:
    prepare(workspace, server)
    return workspace


def report(workspace: Workspace) -> Path:
    return workspace.root / "report.ndjson"


def mixed(workspace: Workspace) -> None:
    """Rows 2 and 5 are bad."""
    data = rows(5)
    data[1]["email"] = data[4]["email"] = "nobody"
    write_csv(workspace.root / "contacts.csv", data)


@pytest.mark.parametrize("kind", ["name", "link", "hard link"])
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_report_in_place_of_the_data_is_refused(
    ready: Workspace, server: ScriptedServer, kind: str, options: tuple[str, ...]
) -> None:
    data = contacts(ready, 3)
    before = data.read_bytes()
    other = data if kind == "name" else ready.root / "other"
    if kind == "link":
        other.symlink_to(data)
    elif kind == "hard link":
        os.link(data, other)
    answer = ready.call(*BATCH, "--report", str(other), *options)
    assert (answer.code, "is the data" in answer.err) == (2, True)
    assert data.read_bytes() == before
    assert not server.received


@pytest.mark.parametrize(
    "target",
    ["flows/news.yaml", "secrets/ops.yaml", "flowpost.yaml", ".flowpost/state.db", "templates/a.html"],
)
def test_a_report_in_place_of_what_the_workspace_is_made_of_is_refused(ready: Workspace, target: str) -> None:
    contacts(ready, 2)
    assert ready.call(*BATCH).code == 0
    ready.write("templates/a.html", "<p>")
    before = (ready.root / target).read_bytes()
    for new in ("flows/new.yaml", ".flowpost/state.db-wal"):
        # The latter is not there now, and would be read as the ledger's own.
        assert ready.call(*BATCH, "--report", new).code == 2
    answer = ready.call(*BATCH, "--report", target)
    assert (answer.code, "written over" in answer.err) == (2, True)
    assert (ready.root / target).read_bytes() == before


def test_a_plan_is_not_written_over_the_data(ready: Workspace) -> None:
    data = contacts(ready, 2)
    assert ready.call("plan", "news", "--data", "contacts.csv", "-o", "contacts.csv").code == 2
    assert len(data.read_text().splitlines()) == 3


def test_a_command_that_is_refused_leaves_the_last_report_as_it_was(ready: Workspace) -> None:
    contacts(ready, 3)
    assert ready.call(*REPORTED, "--batch-id", "b").code == 0
    before = report(ready).read_bytes()
    contacts(ready, 4)
    assert ready.call(*REPORTED, "--batch-id", "b").code == 2
    write_csv(ready.root / "contacts.csv", rows(3))
    (ready.root / "contacts.csv").write_bytes(b'email,name\n"c1@example.net,x\n')
    assert ready.call(*REPORTED).code == 2
    assert report(ready).read_bytes() == before


def test_a_command_that_is_refused_leaves_no_empty_report(ready: Workspace) -> None:
    (ready.root / "contacts.csv").write_text("email,name\n")
    assert ready.call(*REPORTED).code == 2
    assert not report(ready).exists()


def test_bad_rows_that_stop_a_batch_stand_in_the_report(ready: Workspace, server: ScriptedServer) -> None:
    mixed(ready)
    answer = ready.call(*REPORTED)
    assert (answer.code, answer.json["invalid"], answer.json["sent"]) == (1, 2, 0)
    assert statuses(report(ready)) == {2: "invalid", 5: "invalid"}
    assert "go on with" not in answer.err
    assert not server.received


def test_bad_rows_that_stop_a_batch_that_had_begun_hide_nothing_of_it(
    ready: Workspace, server: ScriptedServer
) -> None:
    mixed(ready)
    assert ready.call(*REPORTED, "--limit", "1").code == 0
    answer = ready.call(*REPORTED)
    assert (answer.code, answer.json["invalid"], answer.json["already_sent"]) == (1, 2, 1)
    assert statuses(report(ready)) == {1: "already_sent", 2: "invalid", 5: "invalid"}


def test_the_ids_of_messages_stand_in_every_report(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 4)
    ready.flow(
        "news", NEWS.replace("      to:", "      from: <<trigger.body.name>> <ann@example.com>\n      to:")
    )
    assert ready.call(*REPORTED).code == 0
    first = {line["row"]: line["message_ids"] for line in lines(report(ready))}
    assert ready.call(*REPORTED).json["already_sent"] == 4
    assert {line["row"]: line["message_ids"] for line in lines(report(ready))} == first
    sent = {
        mail.recipients[0]: [str(message_from_bytes(mail.data)["Message-ID"])] for mail in server.received
    }
    assert sent == {f"c{row}@example.net": ids for row, ids in first.items()}


def test_a_report_on_standard_output(ready: Workspace) -> None:
    contacts(ready, 3)
    answer = ready.call(*BATCH, "--report", "-")
    assert answer.code == 0
    assert [json.loads(line)["status"] for line in answer.out.splitlines()] == ["sent"] * 3
    both = ready.call(*ONCE, "--report", "-")
    assert (both.code, both.out) == (2, "")
    assert not (ready.root / "-").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_report_that_cannot_be_written_to_its_end_stops_no_mail_and_is_told(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 5)
    answer = ready.call(*ONCE, "--report", "/dev/full")
    assert (answer.code, answer.json["sent"]) == (1, 5)
    assert "/dev/full could not be written to its end: No space left" in answer.err
    assert to(server) == dict.fromkeys(addresses(5), 1)


def test_a_key_that_comes_twice_counts_once_everywhere(ready: Workspace, server: ScriptedServer) -> None:
    data = [*rows(3), {"email": "c1@example.net", "name": "again"}, {"email": "nobody", "name": "N"}]
    write_csv(ready.root / "contacts.csv", data)
    rehearsal = ready.call(*REPORTED, "--key", "email", "--dry-run")
    assert (rehearsal.code, rehearsal.json["invalid"]) == (1, 2)
    assert statuses(report(ready)) == {
        1: "rendered",
        2: "rendered",
        3: "rendered",
        4: "invalid",
        5: "invalid",
    }
    assert "3 messages through ops" in rehearsal.err
    assert "3 rendered" in rehearsal.err
    answer = ready.call(*REPORTED, "--key", "email", "--skip-invalid")
    assert (answer.json["sent"], answer.json["invalid"]) == (3, 2)
    assert "3 messages through ops" in answer.err
    assert statuses(report(ready))[4] == "invalid"
    assert to(server) == dict.fromkeys(addresses(3), 1)


def test_without_a_look_a_key_that_comes_twice_leaves_its_row_out(
    ready: Workspace, server: ScriptedServer
) -> None:
    data = [*rows(2), {"email": "c1@example.net", "name": "again"}, {"email": "", "name": "N"}]
    write_csv(ready.root / "contacts.csv", data)
    answer = ready.call(*REPORTED, "--key", "email", "--no-preflight")
    assert (answer.code, answer.json["sent"], answer.json["invalid"]) == (1, 2, 2)
    assert "a message a row through ops: no rate is set" in answer.err
    assert to(server) == dict.fromkeys(addresses(2), 1)


def test_a_row_with_nothing_to_send_is_skipped_in_a_rehearsal_too(ready: Workspace) -> None:
    ready.flow(
        "news", NEWS.replace("    smtp:", '    when: << trigger.body.name != "Person 2" >>\n    smtp:')
    )
    contacts(ready, 3)
    answer = ready.call(*REPORTED, "--dry-run")
    assert (answer.code, answer.json["skipped"]) == (0, 1)
    assert statuses(report(ready)) == {1: "rendered", 2: "skipped", 3: "rendered"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_summary_that_cannot_be_written_is_told(ready: Workspace) -> None:
    contacts(ready, 2)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "runner", *ONCE], cwd=ready.root, env={**os.environ, **ready.environ},
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert "2 sent" in done.stderr
    assert done.stderr.endswith("flowpost: cannot write: No space left on device\n")


def test_an_array_that_is_called_csv_is_told_to_be_json(ready: Workspace) -> None:
    (ready.root / "contacts.csv").write_text('[\n {"email": "c1@example.net", "name": "x"}]')
    answer = ready.call(*BATCH)
    assert (answer.code, "this is JSON and not CSV" in answer.err) == (2, True)
    assert ready.call(*BATCH, "--data-format", "json").code == 0


@pytest.mark.parametrize("options", [("--data", ""), ("--rate", "9999999999/s")])
def test_an_option_that_cannot_be_meant_is_a_mistake_of_the_command(
    ready: Workspace, options: tuple[str, ...]
) -> None:
    contacts(ready, 1)
    assert ready.call(*BATCH, *options).code == 2
