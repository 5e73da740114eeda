"""What goes wrong is told once, and in words that fit."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from types import SimpleNamespace

import pytest
from workspace import LOOPBACK, Workspace

SERVER = SimpleNamespace(port=465, ca_pem="")
MAIL = {"credential": "marketing", "to": "a@example.com", "subject": "s", "body_format": "text", "body": "b"}


def nodes(*found: dict[str, object]) -> str:
    return json.dumps({"nodes": list(found)})


def test_preview_says_nothing_of_when_after_a_failure(workspace: Workspace) -> None:
    workspace.smtp("marketing", SERVER, security={"min_tls": "1.2"})
    workspace.flow("f", nodes({"id": "a", "smtp": {**MAIL, "to": "<<trigger.body.to>>"}}))
    workspace.flow("g", nodes({"id": "a", "when": "<< false >>", "smtp": MAIL}))
    answer = workspace.call("preview", "f", "--set", "to=nobody")

    assert answer.code == 1
    assert "node a: Invalid address" in answer.err
    assert "no message" not in answer.err
    assert "no message: no smtp node ran" in workspace.call("preview", "g").err


def test_an_http_node_that_takes_too_long_has_no_hint_about_mail_ports(workspace: Workspace) -> None:
    workspace.settings(LOOPBACK)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        node = {"id": "a", "http": {"url": url}, "timeout": "50ms", "retry": {"attempts": 1}}
        workspace.flow("f", nodes(node))
        error = workspace.call("run", "f", "--format", "json").json["nodes"]["a"]["error"]

    assert error["code"] == "ETIMEDOUT"
    assert error["hint"] == "give it more time with timeout, or see what it waits for"


@pytest.mark.parametrize(
    ("first", "expression", "told"),
    [
        ({"when": "<< false >>"}, "nodes.a.output.x", 'node "a" was skipped, and has no output'),
        ({"when": "<< false >>"}, "nodes.a.output['x']", 'node "a" was skipped, and has no output'),
        ({"when": "<< false >>"}, "nodes.a.output.x.y", 'node "a" was skipped, and has no output'),
        ({}, "nodes.a.error.message", 'node "a" succeeded, and has no error'),
        ({}, "nodes.a.error.message ~ 'x'", 'node "a" succeeded, and has no error'),
    ],
)
def test_what_a_node_did_not_leave_is_told_with_its_reason(
    workspace: Workspace, first: dict[str, object], expression: str, told: str
) -> None:
    workspace.flow(
        "f", nodes({"id": "a", **first, "set": {"x": "1"}}, {"id": "b", "set": {"y": f"<< {expression} >>"}})
    )
    error = workspace.call("run", "f", "--format", "json").json["nodes"]["b"]["error"]

    assert error["code"] == "ETEMPLATE"
    assert str(error["message"]).startswith(f"{told} (field set.y, flows/f.yaml:1:")
    assert error["hint"] == "test nodes.a.status before"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"headers": {f"X-{n}": "1" for n in range(51)}}, "ELIMIT"),
        ({"headers": [{"key": f"X-{n}", "value": "1"} for n in range(51)]}, "ELIMIT"),
        ({"attachments": [{"filename": "", "content": "x"}]}, "EATTACHMENT"),
    ],
)
def test_one_mistake_is_one_finding(workspace: Workspace, changes: dict[str, object], code: str) -> None:
    workspace.smtp("marketing", SERVER, security={"min_tls": "1.2"})
    workspace.flow("f", nodes({"id": "a", "smtp": {**MAIL, **changes}}))
    found = workspace.call("validate", "--format", "json").json["findings"]

    assert [finding["code"] for finding in found] == [code]


def test_a_flow_that_is_not_found_names_the_files_with_mistakes(workspace: Workspace) -> None:
    workspace.flow("a", "name: zz\nnodes: [\n")
    workspace.flow("good", nodes({"id": "a", "set": {"x": 1}}))
    answer = workspace.call("run", "zz")

    assert answer.code == 2
    assert 'there is no flow "zz"' in answer.err
    assert "with mistakes: flows/a.yaml: see flowpost validate" in answer.err


def test_a_flow_with_a_mistake_is_found_by_the_name_in_its_file(workspace: Workspace) -> None:
    workspace.flow("a", "name: zz\nnodes:\n  - id: x\n    set: {}\n")
    answer = workspace.call("run", "zz")

    assert answer.code == 2
    assert answer.err.startswith("flows/a.yaml:4:")
