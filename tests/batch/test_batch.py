"""``flowpost batch`` from outside: what a person or a CI job relies on (SPEC section 10)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from batching import (
    NEWS,
    addresses,
    contacts,
    lines,
    prepare,
    rows,
    smtp_server,
    statuses,
    subjects,
    to,
    write_csv,
)
from servers.scripted import ScriptedServer
from workspace import Workspace

ONCE = ["batch", "news", "--data", "contacts.csv", "--yes", "--format", "json"]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def ready(workspace: Workspace, server: ScriptedServer) -> Workspace:
    prepare(workspace, server)
    return workspace


def test_every_row_gets_its_message_once(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 60)
    answer = ready.call(*ONCE)
    assert answer.code == 0, answer.err
    assert to(server) == dict.fromkeys(addresses(60), 1)
    assert "News for Person 17" in subjects(server)


def test_the_summary_has_the_fields_of_the_contract(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 3)
    summary = ready.call(*ONCE).json
    assert summary.pop("batch_id").startswith("news-")
    assert summary.pop("seconds") > 0
    assert summary == {
        "flow": "news",
        "total": 3,
        "sent": 3,
        "failed": 0,
        "unknown": 0,
        "invalid": 0,
        "skipped": 0,
        "already_sent": 0,
    }


def test_a_batch_that_is_complete_sends_nothing_again(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 5)
    ready.call(*ONCE)
    again = ready.call(*ONCE)
    assert again.code == 0
    assert (again.json["sent"], again.json["already_sent"]) == (0, 5)
    assert len(server.received) == 5


def test_a_limit_sends_the_first_rows_and_the_rest_follows_later(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 30)
    assert ready.call(*ONCE, "--limit", "7").json["sent"] == 7
    assert to(server) == dict.fromkeys(addresses(7), 1)
    rest = ready.call(*ONCE).json
    assert (rest["sent"], rest["already_sent"], rest["total"]) == (23, 7, 30)
    assert to(server) == dict.fromkeys(addresses(30), 1)


@pytest.mark.parametrize("form", ["ndjson", "json"])
def test_rows_may_be_json(ready: Workspace, server: ScriptedServer, form: str) -> None:
    data = rows(4)
    text = json.dumps(data) if form == "json" else "\n".join(map(json.dumps, data))
    ready.write(f"contacts.{form}", text)
    assert ready.call("batch", "news", "--data", f"contacts.{form}", "--yes").code == 0
    assert to(server) == dict.fromkeys(addresses(4), 1)


def test_standard_input_is_a_file_too_and_the_same_batch(ready: Workspace, server: ScriptedServer) -> None:
    text = contacts(ready, 6).read_text()
    command = ["batch", "news", "--data", "-", "--yes", "--format", "json"]
    assert ready.process(*command, input=text).returncode == 0
    again = ready.process(*command, input=text)
    assert json.loads(again.stdout)["already_sent"] == 6, again.stderr
    assert len(server.received) == 6
    left = {path.name for path in (ready.root / ".flowpost").iterdir() if "state.db" not in path.name}
    assert left <= {"secrets.json"}


def test_without_a_terminal_it_says_what_it_would_do_and_wants_yes(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 5)
    answer = ready.call("batch", "news", "--data", "contacts.csv")
    assert answer.code == 2
    assert "5 messages through ops" in answer.err
    assert "--yes" in answer.err
    assert not server.received


def test_bad_rows_stop_it_before_the_first_mail_and_are_named(
    ready: Workspace, server: ScriptedServer
) -> None:
    data = rows(6)
    data[1]["email"] = "nobody"
    data[4]["name"] = "x\r\nBcc: all@example.org"
    write_csv(ready.root / "contacts.csv", data)
    answer = ready.call(*ONCE)
    assert answer.code == 1
    assert "contacts.csv:3: row 2" in answer.err
    assert "contacts.csv:6: row 5" in answer.err
    assert answer.json["invalid"] == 2
    assert not server.received


def test_bad_rows_can_be_left_out_and_are_reported(ready: Workspace, server: ScriptedServer) -> None:
    data = rows(6)
    data[1]["email"] = "nobody"
    write_csv(ready.root / "contacts.csv", data)
    answer = ready.call(*ONCE, "--skip-invalid", "--report", "report.ndjson")
    assert answer.code == 1
    assert (answer.json["sent"], answer.json["invalid"]) == (5, 1)
    assert to(server) == dict.fromkeys(addresses(6) - {"c2@example.net"}, 1)
    found = statuses(ready.root / "report.ndjson")
    assert found == {1: "sent", 2: "invalid", 3: "sent", 4: "sent", 5: "sent", 6: "sent"}


def test_a_ragged_row_is_a_bad_row(ready: Workspace, server: ScriptedServer) -> None:
    ready.write("contacts.csv", "email,name\na@example.net,Ann\nb@example.net,Bob,extra\n")
    answer = ready.call(*ONCE)
    assert answer.code == 1
    assert "contacts.csv:3: row 2: has 3 fields, the header has 2 [EUSAGE]" in answer.err
    assert not server.received


def test_without_a_preflight_a_bad_row_stops_nobody(ready: Workspace, server: ScriptedServer) -> None:
    data = rows(6)
    data[5]["email"] = "nobody"
    write_csv(ready.root / "contacts.csv", data)
    answer = ready.call(*ONCE, "--no-preflight")
    assert answer.code == 1
    assert (answer.json["total"], answer.json["sent"], answer.json["invalid"]) == (6, 5, 1)


def test_a_key_that_comes_twice_is_named_with_both_lines(ready: Workspace, server: ScriptedServer) -> None:
    data = rows(4)
    data[3]["email"] = data[1]["email"]
    write_csv(ready.root / "contacts.csv", data)
    answer = ready.call(*ONCE, "--key", "email")
    assert answer.code == 1
    assert 'contacts.csv:5: row 4: the key "c2@example.net" stands in row 2 already (line 3)' in answer.err
    assert not server.received


@pytest.mark.parametrize("more", [[], ["--no-preflight"]], ids=["preflight", "no-preflight"])
def test_of_a_key_that_comes_twice_the_first_row_is_sent_when_the_others_are_left_out(
    ready: Workspace, server: ScriptedServer, more: list[str]
) -> None:
    data = rows(4)
    data[3] = {**data[1], "name": "Another"}
    write_csv(ready.root / "contacts.csv", data)
    answer = ready.call(*ONCE, "--key", "email", "--skip-invalid", *more)
    assert (answer.json["sent"], answer.json["invalid"]) == (3, 1)
    assert to(server) == dict.fromkeys(addresses(3), 1)
    assert "News for Another" not in subjects(server)


def test_a_key_that_is_no_column_is_a_mistake_of_the_command(ready: Workspace) -> None:
    contacts(ready, 3)
    answer = ready.call(*ONCE, "--key", "mail")
    assert answer.code == 2
    assert "email, name" in answer.err


@pytest.mark.parametrize("text", ["", "email,name\n", "email,email\na@b.example,c@d.example\n"])
def test_a_file_that_has_no_rows_to_speak_of_is_a_mistake_of_the_command(
    ready: Workspace, server: ScriptedServer, text: str
) -> None:
    ready.write("contacts.csv", text)
    answer = ready.call(*ONCE)
    assert answer.code == 2
    assert "contacts.csv" in answer.err


def test_data_that_changed_under_one_batch_id_are_refused(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 3)
    ready.call(*ONCE, "--batch-id", "november")
    write_csv(ready.root / "contacts.csv", [{**row, "city": "Ulm"} for row in rows(4)])
    answer = ready.call(*ONCE, "--batch-id", "november")
    assert answer.code == 2
    assert "column city new" in answer.err
    assert len(server.received) == 3


def test_another_flow_of_one_batch_id_is_refused(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 3)
    ready.call(*ONCE, "--batch-id", "november")
    ready.flow("other", NEWS.replace("name: news", "name: other", 1))
    answer = ready.call("batch", "other", "--data", "contacts.csv", "--yes", "--batch-id", "november")
    assert answer.code == 2
    assert 'belongs to flow "news"' in answer.err


def test_a_flow_that_changed_in_the_middle_is_refused_unless_that_is_accepted(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 6)
    ready.call(*ONCE, "--limit", "2")
    ready.flow("news", NEWS.replace("News for", "New news for"))
    refused = ready.call(*ONCE)
    assert refused.code == 2
    assert "--accept-changed-flow" in refused.err
    assert ready.call(*ONCE, "--accept-changed-flow").json["sent"] == 4
    assert to(server) == dict.fromkeys(addresses(6), 1)
    assert {"News for Person 2", "New news for Person 3"} <= subjects(server)


def test_a_dry_run_checks_every_row_and_sends_nothing(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 5)
    answer = ready.call("batch", "news", "--data", "contacts.csv", "--dry-run", "--format", "json")
    assert answer.code == 0, answer.err
    assert (answer.json["total"], answer.json["sent"], answer.json["dry_run"]) == (5, 0, True)
    assert not server.connections
    assert not (ready.root / ".flowpost" / "state.db").exists()


def test_a_dry_run_that_finds_bad_rows_fails(ready: Workspace) -> None:
    data = rows(3)
    data[2]["email"] = "nobody"
    write_csv(ready.root / "contacts.csv", data)
    answer = ready.call("batch", "news", "--data", "contacts.csv", "--dry-run", "--report", "report.ndjson")
    assert answer.code == 1
    assert statuses(ready.root / "report.ndjson") == {1: "rendered", 2: "rendered", 3: "invalid"}


def test_the_report_tells_each_row_with_what_the_server_said(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 2)
    ready.call(*ONCE, "--key", "email", "--report", "report.ndjson")
    first = next(line for line in lines(ready.root / "report.ndjson") if line["row"] == 1)
    assert first["line"] == 2
    assert first["key"] == "c1@example.net"
    assert first["accepted"] == ["c1@example.net"]
    assert first["response"].startswith("250")
    assert first["message_ids"][0].encode() in server.received[0].data + server.received[1].data


def test_the_report_of_a_batch_that_goes_on_has_every_row(ready: Workspace) -> None:
    contacts(ready, 50)
    ready.call(*ONCE, "--limit", "25")
    ready.call(*ONCE, "--report", "report.ndjson")
    found = statuses(ready.root / "report.ndjson")
    assert found == {n: "already_sent" if n <= 25 else "sent" for n in range(1, 51)}


def test_a_row_that_has_nothing_to_send_is_skipped(ready: Workspace, server: ScriptedServer) -> None:
    ready.flow(
        "news", NEWS.replace("- id: mail", "- id: mail\n    when: << trigger.body.name != 'Person 2' >>")
    )
    contacts(ready, 3)
    answer = ready.call(*ONCE)
    assert answer.code == 0
    assert (answer.json["sent"], answer.json["skipped"]) == (2, 1)


def test_cells_become_what_the_body_schema_says(ready: Workspace, server: ScriptedServer) -> None:
    ready.flow(
        "news",
        NEWS.replace(
            "    name: {type: string}", "    name: {type: string}\n    age: {type: integer}"
        ).replace("body: Hello <<trigger.body.name>>", "body: <<trigger.body.age + 1>>"),
    )
    ready.write("contacts.csv", "email,name,age\na@example.net,Ann,41\n")
    assert ready.call(*ONCE).code == 0
    assert server.received[0].data.rstrip().endswith(b"42")


def test_a_batch_id_that_is_no_name_is_refused(ready: Workspace) -> None:
    contacts(ready, 1)
    assert ready.call(*ONCE, "--batch-id", "../x").code == 2


def test_redirect_sends_to_one_address_and_is_another_batch_than_the_live_one(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 3)
    settings = ready.root / "flowpost.yaml"
    live = settings.read_text()
    settings.write_text(live + "delivery: {mode: redirect, to: qa@example.org}\n")
    staged = ready.call(*ONCE)
    assert staged.code == 0, staged.err
    assert "redirect to qa@example.org" in staged.err
    assert to(server) == {"qa@example.org": 3}
    settings.write_text(live)
    assert ready.call(*ONCE).json["sent"] == 3


def test_a_rehearsal_under_a_name_is_another_batch_than_the_real_one_of_that_name(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 3)
    settings = ready.root / "flowpost.yaml"
    live = settings.read_text()
    for address in ("qa@example.org", "boss@example.org"):
        settings.write_text(live + f"delivery: {{mode: redirect, to: {address}}}\n")
        staged = ready.call(*ONCE, "--batch-id", "november")
        assert (staged.json["sent"], staged.json["batch_id"]) == (3, "november")
        assert ready.call(*ONCE, "--batch-id", "november").json["already_sent"] == 3
    settings.write_text(live)
    assert ready.call(*ONCE, "--batch-id", "november").json["sent"] == 3
    assert to(server) == {"qa@example.org": 3, "boss@example.org": 3, **dict.fromkeys(addresses(3), 1)}


def test_what_an_allowlist_let_through_is_not_mailed_again_live(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 3)
    settings = ready.root / "flowpost.yaml"
    live = settings.read_text()
    settings.write_text(live + "delivery: {mode: allowlist, allow: [c2@example.net]}\n")
    assert ready.call(*ONCE, "--skip-invalid").json["sent"] == 1
    settings.write_text(live)
    answer = ready.call(*ONCE)
    assert (answer.code, answer.json["sent"], answer.json["already_sent"]) == (0, 2, 1)
    assert to(server) == dict.fromkeys(addresses(3), 1)


@pytest.mark.parametrize("what", ["vars", "attached files"])
def test_what_messages_are_made_of_beside_the_flow_is_refused_when_it_changed(
    ready: Workspace, server: ScriptedServer, what: str
) -> None:
    contacts(ready, 4)
    settings = ready.root / "flowpost.yaml"
    text = settings.read_text()
    settings.write_text(text + "vars: {brand: Acme}\n")
    ready.write("a.txt", "one")
    attached = "      attachments: [{file: a.txt}]\n    retry:"
    ready.flow(
        "news", NEWS.replace("subject: News", "subject: <<vars.brand>> News").replace("    retry:", attached)
    )
    assert ready.call(*ONCE, "--limit", "2").code == 0
    assert ready.call(*ONCE, "--limit", "3").code == 0
    if what == "vars":
        settings.write_text(text + "vars: {brand: Other}\n")
    else:
        ready.write("a.txt", "two")
    answer = ready.call(*ONCE)
    assert (answer.code, f"the {what} have changed" in answer.err) == (2, True)
    assert ready.call(*ONCE, "--accept-changed-flow").json["sent"] == 1
    assert ready.call(*ONCE).json["already_sent"] == 4


def test_a_key_that_is_missing_is_a_mistake_of_the_configuration(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 2)
    ready.environ["SOPS_AGE_KEY"] = "garbage"
    answer = ready.call(*ONCE)
    assert (answer.code, answer.out, "[ESECRET]" in answer.err) == (2, "", True)


def test_an_allowlist_refuses_other_rows_before_the_first_mail(
    ready: Workspace, server: ScriptedServer
) -> None:
    data = [*rows(2), {"email": "qa@acme.example", "name": "QA"}]
    write_csv(ready.root / "contacts.csv", data)
    settings = ready.root / "flowpost.yaml"
    settings.write_text(settings.read_text() + 'delivery: {mode: allowlist, allow: ["*@acme.example"]}\n')
    assert ready.call(*ONCE).code == 1
    assert not server.received
    assert ready.call(*ONCE, "--skip-invalid").json["sent"] == 1
    assert to(server) == {"qa@acme.example": 1}


def test_capture_sends_nothing_and_remembers_nothing(ready: Workspace, server: ScriptedServer) -> None:
    contacts(ready, 3)
    settings = ready.root / "flowpost.yaml"
    live = settings.read_text()
    settings.write_text(live + "delivery: {mode: capture}\n")
    captured = ready.call(*ONCE)
    assert captured.code == 0
    assert (captured.json["sent"], captured.json["skipped"]) == (0, 3)
    assert not server.received
    settings.write_text(live)
    assert ready.call(*ONCE).json["sent"] == 3


def test_the_report_that_cannot_be_written_is_told_before_anything_is_sent(
    ready: Workspace, server: ScriptedServer
) -> None:
    contacts(ready, 3)
    answer = ready.call(*ONCE, "--report", str(Path("nowhere") / "report.ndjson"))
    assert answer.code == 2
    assert not server.received
