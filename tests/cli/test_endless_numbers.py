"""Infinity and NaN: JSON and PostgreSQL have neither, so no result of a run holds one."""

from __future__ import annotations

import json
import math

import pytest
from workspace import Answer, Workspace

from runner.engine.values import dump, load
from runner.errors import TemplateError
from runner.template import Kind, Templates, Where


def strictly(answer: Answer) -> dict[str, object]:
    def refuse(name: str) -> object:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, object] = json.loads(answer.out, parse_constant=refuse)
    return found


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "<< 1e308 * 10 >>", "[1, {y: .inf}]"])
def test_set_refuses_a_number_without_end(workspace: Workspace, value: str) -> None:
    workspace.flow("f", f"nodes:\n  - id: a\n    set:\n      x: {value}\n")
    answer = workspace.call("run", "f", "--dry-run", "--format", "json")

    assert answer.code == 1
    error = strictly(answer)["nodes"]["a"]["error"]  # type: ignore[index]
    assert error["code"] == "ETEMPLATE"
    assert "is no number in JSON" in error["message"]


def test_validate_finds_one_that_is_written_out(workspace: Workspace) -> None:
    workspace.flow("f", "nodes:\n  - id: a\n    set: {x: 1, y: [1, .inf]}\n")
    (found,) = workspace.call("validate", "--format", "json").json["findings"]

    assert (found["line"], found["column"], found["code"]) == (3, 24, "ETEMPLATE")
    assert found["message"] == '"y.1" is inf, which is no number in JSON'


def test_one_that_came_with_an_event_keeps_its_type_in_the_database() -> None:
    text = dump({"a": math.inf, "b": [-math.inf, math.nan, 1.5]})
    found = load(json.dumps(json.loads(text, parse_constant=lambda name: pytest.fail(name))))

    assert found["a"] == math.inf
    assert found["b"][0] == -math.inf
    assert math.isnan(found["b"][1])


def test_tojson_refuses_it(where: Where) -> None:
    template = Templates(None).compile("<< x | tojson >>", Kind.TEXT, where)

    with pytest.raises(TemplateError, match="cannot be written as JSON"):
        template.render({"x": math.inf})


def test_json_for_machines_shows_nothing_instead() -> None:
    from runner.cli.present import as_json

    assert json.loads(as_json({"x": [math.inf, math.nan, 1.5]})) == {"x": [None, None, 1.5]}


def test_a_dry_run_in_json_always_has_its_messages(workspace: Workspace) -> None:
    workspace.flow("f", "nodes:\n  - id: a\n    set: {x: 1}\n")

    assert workspace.call("run", "f", "--dry-run", "--format", "json").json["messages"] == []
