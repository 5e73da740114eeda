"""Batches of flows that are more than one message: several nodes, lists, an http node before the mail."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from batching import Running, addresses, arrived, contacts, lines, prepare, smtp_server, statuses, to, until
from servers.scripted import ScriptedServer
from workspace import Workspace

ONCE = ["batch", "news", "--data", "contacts.csv", "--yes", "--format", "json", "--report", "report.ndjson"]
TWO = """
name: news
nodes:
  - id: greeting
    set: {text: "Hello <<trigger.body.name>>"}
  - id: customer
    smtp:
      credential: ops
      to: <<trigger.body.email>>
      subject: For you
      body_format: text
      body: <<nodes.greeting.output.text>>
    retry: {attempts: 3, delay: 1500ms, max_delay: 2s}
  - id: archive
    smtp: {credential: ops, to: archive@example.org, subject: "Copy for <<trigger.body.name>>", body_format: text, body: copy}
    retry: {attempts: 3, delay: 200ms, max_delay: 300ms}
"""
LOOKED_UP = """
name: news
nodes:
  - id: contact
    http: {method: GET, url: "http://127.0.0.1:PORT/<<trigger.body.name>>"}
    on_error: continue
  - id: mail
    smtp:
      credential: ops
      to: <<trigger.body.email>>
      subject: Your city is <<nodes.contact.output.body.city>>
      body_format: text
      body: x
"""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with smtp_server() as running:
        yield running


class Contacts:
    """A CRM on loopback that counts how often it is asked for whom."""

    def __init__(self) -> None:
        asked = self.asked = Counter[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked[self.path] += 1
                body = json.dumps({"city": "Ulm"}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *given: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


@pytest.fixture
def crm() -> Iterator[Contacts]:
    contacts = Contacts()
    yield contacts
    contacts.server.shutdown()
    contacts.server.server_close()


def test_each_row_is_a_run_of_every_node(workspace: Workspace, server: ScriptedServer) -> None:
    prepare(workspace, server)
    workspace.flow("news", TWO)
    contacts(workspace, 10)
    answer = workspace.call(*ONCE)
    assert answer.code == 0, answer.err
    assert "20 messages through ops" in answer.err
    assert to(server) == {**dict.fromkeys(addresses(10), 1), "archive@example.org": 10}
    first = next(line for line in lines(workspace.root / "report.ndjson") if line["row"] == 1)
    assert len(first["message_ids"]) == 2
    assert first["accepted"] == ["c1@example.net", "archive@example.org"]


def test_a_row_that_steps_aside_mails_nobody_twice(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": ["450 4.2.0 greylisted"]}) as server:
        prepare(workspace, server)
        workspace.flow("news", TWO)
        contacts(workspace, 5)
        answer = workspace.call(*ONCE)
        assert answer.code == 0, answer.err
        assert to(server) == {**dict.fromkeys(addresses(5), 1), "archive@example.org": 5}


def test_what_a_server_will_answer_does_not_block_the_look_before(
    workspace: Workspace, server: ScriptedServer, crm: Contacts
) -> None:
    prepare(workspace, server)
    workspace.flow("news", LOOKED_UP.replace("PORT", str(crm.port)))
    contacts(workspace, 6)
    answer = workspace.call(*ONCE)
    assert answer.code == 0, answer.err
    assert "  6 messages through ops: no rate is set\n" in answer.err
    assert "  6 rows whose messages depend on what a server answers\n" in answer.err
    assert set(crm.asked.values()) == {1}
    assert to(server) == dict.fromkeys(addresses(6), 1)


def test_a_list_of_messages_a_row(workspace: Workspace, server: ScriptedServer) -> None:
    prepare(workspace, server)
    node = "for_each: << trigger.body.all >>\n    smtp: {credential: ops, to: << item >>, subject: s, body_format: text, body: b}"
    workspace.flow("news", f"name: news\nnodes:\n  - id: mail\n    {node}\n")
    workspace.write("contacts.ndjson", '{"all": ["a@example.net", "b@example.net"]}\n{"all": []}\n')
    answer = workspace.call("batch", "news", "--data", "contacts.ndjson", "--yes", "--format", "json")
    assert answer.code == 0, answer.err
    assert (answer.json["sent"], answer.json["skipped"]) == (1, 1)
    assert to(server) == {"a@example.net": 1, "b@example.net": 1}


def test_a_row_whose_second_message_is_unknown_is_unknown(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["ok", "drop"]}) as server:
        prepare(workspace, server, max_connections=1)
        workspace.flow("news", TWO)
        contacts(workspace, 1)
        answer = workspace.call(*ONCE)
        assert (answer.code, answer.json["unknown"]) == (1, 1)
        assert workspace.call(*ONCE).json["unknown"] == 1
        assert arrived(server) == {"c1@example.net": 1, "archive@example.org": 1}
        assert workspace.call(*ONCE, "--resend-unknown").json["sent"] == 1
        assert arrived(server) == {"c1@example.net": 1, "archive@example.org": 2}


def test_a_message_that_is_known_to_have_arrived_is_one_and_the_row_goes_on_behind_it(
    workspace: Workspace,
) -> None:
    with smtp_server(script={"DATA_END": ["drop"]}) as server:
        prepare(workspace, server, max_connections=1)
        workspace.flow("news", TWO)
        contacts(workspace, 1)
        assert workspace.call(*ONCE).json["unknown"] == 1
        assert arrived(server) == {"c1@example.net": 1}
        answer = workspace.call(*ONCE, "--unknown-sent", "1")
        assert (answer.code, answer.json["sent"]) == (0, 1)
        assert arrived(server) == {"c1@example.net": 1, "archive@example.org": 1}


def test_who_was_refused_stands_in_the_report_of_such_a_row(workspace: Workspace) -> None:
    script = {"RCPT": ["ok", "550 5.1.1 nobody", "ok", "550 5.1.1 nobody", "ok"]}
    with smtp_server(script=script) as server:
        prepare(workspace, server, max_connections=1)
        node = "for_each: << trigger.body.all >>\n    on_error: continue\n    smtp: {credential: ops, to: << item >>, subject: s, body_format: text, body: b}"
        workspace.flow("news", f"name: news\nnodes:\n  - id: mail\n    {node}\n")
        workspace.write(
            "c.ndjson",
            '{"all": ["a@example.net", "b@example.net"]}\n{"all": [["c@example.net", "d@example.net"]]}\n',
        )
        answer = workspace.call(
            "batch", "news", "--data", "c.ndjson", "--yes", "--report", "report.ndjson", "--concurrency", "1"
        )
    found = lines(workspace.root / "report.ndjson")
    assert [line["accepted"] for line in found] == [["a@example.net"], ["c@example.net"]], answer.err
    assert [[each["address"] for each in line["rejected"]] for line in found] == [
        ["b@example.net"],
        ["d@example.net"],
    ]


def test_what_is_left_of_such_a_batch_is_told_as_the_most_that_it_can_be(
    workspace: Workspace, server: ScriptedServer
) -> None:
    prepare(workspace, server)
    workspace.flow("news", TWO)
    contacts(workspace, 4)
    assert workspace.call(*ONCE, "--limit", "2").code == 0
    assert "at most 8 messages through ops" in workspace.call(*ONCE).err
    assert "messages through" not in workspace.call(*ONCE).err


@pytest.mark.parametrize(
    "options", [("--unknown-sent", "all"), ("--unknown-sent", "all", "--resend-unknown")]
)
def test_what_is_declared_sent_right_after_a_kill_is_not_mailed_again(
    workspace: Workspace, options: tuple[str, ...]
) -> None:
    with smtp_server(script={"DATA_END": [*["ok"] * 6, "hang"]}) as server:
        prepare(workspace, server, max_connections=1)
        workspace.flow("news", TWO)
        contacts(workspace, 8)
        running = Running(workspace, *ONCE[1:])
        until(lambda: len(server.received) >= 7, 60, running.err)
        time.sleep(0.5)  # what was answered is on disk by then
        running.kill()
        code, summary = Running(workspace, *ONCE[1:], *options).end(60)
        came = arrived(server)
    assert (code, summary["unknown"]) == (0, 0)
    assert came.pop("archive@example.org") <= 8
    assert max(came.values()) == 1


def test_a_refused_login_stops_such_a_batch_too(workspace: Workspace) -> None:
    with smtp_server(script={"AUTH": ["535 5.7.8 wrong password"]}) as server:
        prepare(workspace, server)
        workspace.flow("news", TWO)
        contacts(workspace, 40)
        answer = workspace.call(*ONCE)
        assert (answer.code, answer.json["sent"], answer.json["failed"]) == (1, 0, 0)
        assert workspace.call(*ONCE).json["sent"] == 40
        assert to(server) == {**dict.fromkeys(addresses(40), 1), "archive@example.org": 40}


def test_such_a_batch_survives_kill_9(workspace: Workspace, crm: Contacts) -> None:
    with smtp_server() as server:
        prepare(workspace, server, max_connections=3)
        workspace.flow("news", TWO)
        contacts(workspace, 300)
        for goal in (60, 200, 380):
            running = Running(workspace, *ONCE[1:])
            until(lambda goal=goal: len(server.received) >= goal, 60, running.err)
            running.kill()
        _, summary = Running(workspace, *ONCE[1:]).end(120)
        came = arrived(server)
    unknown = {
        f"c{row}@example.net"
        for row, status in statuses(workspace.root / "report.ndjson").items()
        if status == "unknown"
    }
    copies = came.pop("archive@example.org")
    assert not {name: number for name, number in came.items() if number > 1}
    assert addresses(300) - set(came) <= unknown
    assert 300 - len(unknown) <= copies <= 300
    assert summary["sent"] + summary["already_sent"] + summary["unknown"] == 300
