"""The flow of the contract's third section runs, though ``validate`` has something to say about it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from workspace import LOOPBACK, Workspace

SERVER = SimpleNamespace(port=465, ca_pem="")
# As in the contract, but for the CRM's address: no test asks a name server.
WELCOME = """\
# yaml-language-server: $schema=../schemas/flow.schema.json
name: welcome                    # default: the file's stem; unique in the workspace
description: Greets a new CRM contact.
triggers:
  - webhook: {path: crm/contact, auth: crm-hook}        # POST /hooks/crm/contact
  - schedule: {cron: "0 8 * * 1-5", timezone: Europe/Berlin, body: {list: leads}}
  - files: {path: inbox/*.json}  # each new file is one event; processed files move to inbox/.done/
body:                            # optional JSON Schema (2020-12) of trigger.body
  type: object
  required: [email, name]
  properties: {email: {type: string, format: email}, name: {type: string}}
nodes:
  - id: contact
    http: {method: GET, url: "https://127.0.0.1:1/contacts/<<trigger.body.id>>", credential: crm-api}
    on_error: continue
  - id: welcome
    when: << nodes.contact.status == "succeeded" >>
    smtp:
      credential: marketing
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      subject: Welcome to <<vars.brand>>, <<trigger.body.name>>!
      body_format: html
      html_body: <h1>Hi <<trigger.body.name>></h1>
    retry: {attempts: 5, delay: 30s, max_delay: 1h}
  - id: alert
    when: << nodes.contact.status == "failed" >>
    smtp: {credential: ops, to: ops@example.com, subject: "fallback in <<flow.name>>", body_format: text, body: "<<nodes.contact.error.message>>"}
"""


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    workspace.settings(LOOPBACK + "vars: {brand: Acme}\n")
    workspace.smtp("marketing", SERVER, security={"min_tls": "1.2"})
    workspace.smtp("ops", SERVER, security={"min_tls": "1.2"})
    workspace.credential("crm-api", {"type": "http", "auth": {"type": "bearer", "token": "correct-horse"}})
    workspace.credential(
        "crm-hook", {"type": "webhook", "auth": {"type": "token", "token": "correct-horse-12345"}}
    )
    workspace.flow("welcome", WELCOME)
    return workspace


BODY = ("--set", "email=ann@example.com", "--set", "name=A", "--set", "id=7")


@pytest.mark.parametrize("command", [("run", "welcome", "--dry-run"), ("preview", "welcome")])
def test_it_runs_by_hand(ready: Workspace, command: tuple[str, ...]) -> None:
    answer = ready.call(*command, *BODY)

    assert answer.code == 0, answer.out + answer.err
    assert re.search("Subject: +fallback in welcome", answer.out)


def test_plan_and_batch_take_it(ready: Workspace) -> None:
    ready.write("rows.ndjson", '{"email": "ann@example.com", "name": "A", "id": 7}\n')

    assert "1 message for 1 row" in ready.call("plan", "welcome", "--data", "rows.ndjson").out
    answer = ready.call("batch", "welcome", "--data", "rows.ndjson", "--dry-run")
    assert answer.code == 0, answer.out + answer.err


def test_a_field_that_no_event_brought_is_told_when_it_is_read(ready: Workspace) -> None:
    answer = ready.call("run", "welcome", "--dry-run", *BODY[:4], "--format", "json")

    error = answer.json["nodes"]["contact"]["error"]
    assert error["code"] == "ETEMPLATE"
    assert 'unknown name "id"' in error["message"]


def test_validate_tells_both_findings_as_errors(ready: Workspace) -> None:
    answer = ready.call("validate", "--format", "json")

    assert answer.code == 1
    assert [(found["line"], found["severity"]) for found in answer.json["findings"]] == [
        (6, "error"),
        (6, "error"),
        (14, "error"),
    ]


def test_a_misspelt_field_refuses_the_flow(ready: Workspace) -> None:
    ready.flow("welcome", WELCOME.replace("<<trigger.body.email>>", "<<trigger.body.emial>>"))
    answer = ready.call("run", "welcome", "--dry-run", *BODY)

    assert answer.code == 2
    assert 'error: unknown name "emial" in trigger.body' in answer.err
    assert 'warning: unknown name "id" in trigger.body' in answer.err
