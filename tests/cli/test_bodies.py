"""``--body`` and ``--set``: what becomes ``trigger.body``, and what is refused before anything happens."""

from __future__ import annotations

import json

import pytest
from workspace import Workspace

FLOW = """
body:
  type: object
  required: [email]
  properties: {email: {type: string, format: email}, zip: {type: string}, n: {type: integer}, tags: {type: array}}
nodes:
  - id: show
    set: {body: << trigger.body >>, type: << trigger.type >>}
"""


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    workspace.flow("f", FLOW)
    return workspace


def body(workspace: Workspace, *arguments: str, stdin: str | None = None) -> object:
    answer = workspace.call("run", "f", "--format", "json", *arguments, stdin=stdin)
    assert answer.code == 0, answer.err
    output = answer.json["nodes"]["show"]["output"]
    assert output["type"] == "manual"
    return output["body"]


def test_json_a_file_and_standard_input_give_the_body(ready: Workspace) -> None:
    ready.write("b.json", '\ufeff{"email": "a@example.com"}')

    assert body(ready, "--body", '{"email": "a@example.com"}') == {"email": "a@example.com"}
    assert body(ready, "--body", "@b.json") == {"email": "a@example.com"}
    assert body(ready, "--body", "-", stdin='{"email": "a@example.com"}') == {"email": "a@example.com"}


def test_set_reads_json_unless_the_schema_asks_for_text(ready: Workspace) -> None:
    pairs = ["email=a@example.com", "zip=01234", "n=3", 'tags=["a", 1]', "deep.er=x=y"]
    arguments = [word for pair in pairs for word in ("--set", pair)]

    assert body(ready, *arguments) == {
        "email": "a@example.com",
        "zip": "01234",
        "n": 3,
        "tags": ["a", 1],
        "deep": {"er": "x=y"},
    }


def test_set_lies_over_the_body(ready: Workspace) -> None:
    given = ["--body", '{"email": "a@example.com", "n": 1}', "--set", "n=2"]

    assert body(ready, *given) == {"email": "a@example.com", "n": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"email": NaN}', "not usable JSON"),
        ("[" * 100_000, "not usable JSON"),
        ("{}", '"email" is missing'),
        ('{"email": "nobody"}', "/email"),
        ('{"email": "a@example.com", "n": "x"}', "/n"),
        ("[]", "expected a mapping"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_before_anything_runs(
    ready: Workspace, text: str, said: str
) -> None:
    ready.write("b.json", text)
    answer = ready.call("run", "f", "--body", "@b.json")

    assert answer.code == 2
    assert said in answer.err


def test_a_catastrophic_pattern_does_not_hang(ready: Workspace) -> None:
    ready.flow(
        "f", "body: {properties: {x: {type: string, pattern: '^(a+)+$'}}}\nnodes: [{id: a, set: {b: 1}}]\n"
    )
    answer = ready.call("run", "f", "--set", "x=" + "a" * 40 + "!")

    assert answer.code == 2


def test_a_broken_flow_is_not_run(ready: Workspace) -> None:
    ready.flow("f", "nodes:\n  - id: a\n    set: {b: '<< trigger.body.'}\n")
    answer = ready.call("run", "f")

    assert answer.code == 2
    assert answer.err.startswith("flows/f.yaml:3:")


def test_another_flows_mistake_does_not_stop_this_one(ready: Workspace) -> None:
    ready.flow("broken", "nodes: [")

    assert ready.call("run", "f", "--set", "email=a@example.com").code == 0


def test_a_flow_is_found_by_its_name_and_by_its_path(ready: Workspace) -> None:
    ready.write("flows/deep/file.yaml", "name: other-name\n" + FLOW)

    for name in ("other-name", "flows/deep/file.yaml"):
        assert ready.call("run", name, "--set", "email=a@example.com").code == 0, name
    answer = ready.call("run", "other-nam")
    assert answer.code == 2
    assert "other-name" in answer.err


def test_a_process_of_its_own_answers_the_same(ready: Workspace) -> None:
    done = ready.process("run", "f", "--body", json.dumps({"email": "a@example.com"}), "--format", "json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "succeeded"
