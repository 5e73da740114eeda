"""The message as it would be sent, without sending."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import default
from types import SimpleNamespace

import pytest
from workspace import Workspace

FLOW = """
nodes:
  - id: lookup
    http: {url: "http://127.0.0.1:1/never"}
    on_error: continue
  - id: mail
    when: << trigger.body.send | default(false) >>
    smtp:
      credential: marketing
      to: <<trigger.body.email>>
      subject: Hello <<trigger.body.name>>
      body_format: html
      body: text for <<trigger.body.name>>
      html_body: <p><<trigger.body.name>></p>
  - id: other
    smtp: {credential: marketing, to: b@example.com, subject: other, body_format: text, body: only text}
"""
BODY = json.dumps({"email": "ann@example.com", "name": "Ann & <Co>"})


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    workspace.smtp("marketing", SimpleNamespace(port=465, ca_pem=""), security={"min_tls": "1.2"})
    workspace.flow("f", FLOW)
    return workspace


def test_a_node_is_shown_whatever_its_when_says(ready: Workspace) -> None:
    answer = ready.call("preview", "f", "--node", "mail", "--body", BODY)

    assert answer.code == 0, answer.err
    assert "Subject:     Hello Ann & <Co>" in answer.out
    assert "<p>Ann &amp; &lt;Co&gt;</p>" in answer.out
    assert "only text" not in answer.out


def test_without_a_node_the_flow_decides(ready: Workspace) -> None:
    answer = ready.call("preview", "f", "--body", BODY)

    assert "only text" in answer.out
    assert "Hello Ann" not in answer.out


@pytest.mark.parametrize("suffix", [".eml", ".html", ".txt"])
def test_a_file_holds_the_message_or_the_part(ready: Workspace, suffix: str) -> None:
    answer = ready.call("preview", "f", "--node", "mail", "--body", BODY, "-o", f"out{suffix}")
    data = (ready.root / f"out{suffix}").read_bytes()

    assert answer.code == 0
    assert answer.out == ""
    if suffix == ".eml":
        message = BytesParser(policy=default).parsebytes(data)
        assert message["Subject"] == "Hello Ann & <Co>"
    else:
        assert data == {".html": b"<p>Ann &amp; &lt;Co&gt;</p>", ".txt": b"text for Ann & <Co>"}[suffix]


def test_the_sample_beside_the_flow_is_the_body(ready: Workspace) -> None:
    ready.write("flows/f.sample.json", json.dumps({"email": "zoe@example.com", "name": "Zoë"}))

    assert "Zoë" in ready.call("preview", "f", "--node", "mail").out
    assert "Max" in ready.call("preview", "f", "--node", "mail", "--set", "name=Max").out


def test_json_names_envelope_headers_and_parts(ready: Workspace) -> None:
    (message,) = ready.call("preview", "f", "--node", "mail", "--body", BODY, "--format", "json").json

    assert message["envelope"] == {"from": "ann@example.com", "to": ["ann@example.com"]}
    assert ["Subject", "Hello Ann & <Co>"] in message["headers"]
    assert message["text"] == "text for Ann & <Co>"


def test_without_the_key_a_stand_in_sends(ready: Workspace) -> None:
    del ready.environ["SOPS_AGE_KEY"]
    answer = ready.call("preview", "f", "--node", "mail", "--body", BODY)

    assert answer.code == 0
    assert "marketing@preview.invalid" in answer.out
    assert "stand-in" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["f", "--node", "nope"],
        ["f", "--node", "lookup"],
        ["nope"],
        ["f", "-o", "x.pdf"],
        ["f", "--body", "{"],
        ["f", "--body", "@nope.json"],
        ["f", "--set", "novalue"],
        ["f", "--node", "mail", "--body", BODY, "-o", "no/such/folder/x.eml"],
    ],
)
def test_wrong_usage_is_explained(ready: Workspace, arguments: list[str]) -> None:
    answer = ready.call("preview", *arguments)

    assert answer.code == 2
    assert answer.err.strip()
    assert "Traceback" not in answer.err


def test_control_characters_of_a_value_do_not_reach_the_terminal(ready: Workspace) -> None:
    body = json.dumps({"email": "ann@example.com", "name": "A\u001b]0;owned\u0007"})
    answer = ready.call("preview", "f", "--node", "mail", "--body", body)

    assert "\x1b" not in answer.out + answer.err
