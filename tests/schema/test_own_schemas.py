"""The project's own schemas: complete, consistent, and explained for editors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from jsonschema import Draft202012Validator

from runner import schema
from runner.schema.catalog import compose, folder
from runner.template import Kind

NAMES = schema.names()
FORMER_HOUSE_KEYS = {"x-template", "x-limit", "x-output"}


def subschemas(value: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its place."""
    yield place, value
    for keyword in ("properties", "$defs", "patternProperties"):
        for name, inner in value.get(keyword, {}).items():
            yield from subschemas(inner, f"{place}/{keyword}/{name}")
    for keyword in ("items", "additionalProperties", "if", "then", "not"):
        if isinstance(value.get(keyword), dict):
            yield from subschemas(value[keyword], f"{place}/{keyword}")
    for keyword in ("allOf", "anyOf", "oneOf"):
        for number, inner in enumerate(value.get(keyword, ())):
            yield from subschemas(inner, f"{place}/{keyword}/{number}")


def test_the_schemas_of_the_contract_are_there() -> None:
    expected = {"flow", "workspace", "nodes/smtp", "nodes/http", "nodes/set"}
    expected |= {"triggers/webhook", "triggers/schedule", "triggers/files"}

    assert expected <= set(NAMES)


def test_the_folders_are_the_lists_of_types() -> None:
    assert set(schema.node_types()) == {
        path.name.split(".")[0] for path in (ROOT / "schemas/nodes").iterdir()
    }
    assert set(schema.trigger_types()) == {
        path.name.split(".")[0] for path in (ROOT / "schemas/triggers").iterdir()
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_property_has_a_description(name: str) -> None:
    bare = []
    for place, part in subschemas(schema.load(name)):
        if "/if" in place or "/then" in place or "/not" in place:
            continue
        bare += [
            f"{place}/{key}"
            for key, inner in part.get("properties", {}).items()
            if "description" not in inner
        ]

    assert bare == []


@pytest.mark.parametrize("name", NAMES)
def test_descriptions_are_sentences(name: str) -> None:
    texts = [part["description"] for _, part in subschemas(schema.load(name)) if "description" in part]

    assert texts
    assert [text for text in texts if not text.endswith((".", ".)")) or len(text) < 8] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_says_who_it_is(name: str) -> None:
    found = schema.load(name)

    Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"]
    assert found["title"]


def test_no_two_schemas_have_one_identity() -> None:
    identities = [schema.load(name)["$id"] for name in NAMES]

    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("name", NAMES)
def test_examples_and_defaults_keep_to_their_own_schema(name: str) -> None:
    root = schema.load(name)
    wrong = []
    for place, part in subschemas(root):
        rules = {**part, "$defs": root.get("$defs", {})}
        for value in [*part.get("examples", ()), *([part["default"]] if "default" in part else ())]:
            if not Draft202012Validator(rules).is_valid(value):
                wrong.append((place, value))

    assert wrong == []


def test_what_says_how_templates_are_escaped_is_a_kind_of_template() -> None:
    known = {str(kind) for kind in Kind} | {"none"}

    used = {
        part["x-template"]
        for name in NAMES
        for _, part in subschemas(schema.load(name))
        if "x-template" in part
    }

    assert used <= known
    assert {"text", "html", "url", "address", "expression", "none"} <= used


def test_house_keywords_are_known() -> None:
    used = {
        key
        for name in NAMES
        for _, part in subschemas(schema.load(name))
        for key in part
        if key.startswith("x-")
    }

    assert used <= FORMER_HOUSE_KEYS


def test_the_flow_schema_on_disk_is_the_composition(update_golden: bool) -> None:
    path = folder() / "flow.schema.json"
    composed = json.dumps(schema.load("flow"), indent=2, ensure_ascii=False) + "\n"
    if update_golden:
        path.write_text(composed, encoding="utf-8")

    assert path.read_text(encoding="utf-8") == composed, "pytest --update-golden writes it"


def test_a_new_node_type_is_one_more_schema() -> None:
    wait = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:example:wait",
        "description": "Waits.",
        "type": "object",
        "properties": {"for": {"$ref": "#/$defs/time"}},
        "$defs": {"time": {"type": "string"}},
    }
    flow = compose(schema.load("flow"), {"wait": wait}, {"tick": wait})
    valid = Draft202012Validator(flow).is_valid

    assert valid({"nodes": [{"id": "a", "wait": {"for": "1s"}}], "triggers": [{"tick": {}}]})
    assert not valid({"nodes": [{"id": "a", "wait": {"for": 1}}]})
    assert not valid({"nodes": [{"id": "a", "smtp": {}}]})
    assert flow["$defs"]["node"]["properties"]["wait"]["description"] == "Waits."


def test_composing_twice_is_composing_once() -> None:
    once = schema.load("flow")
    nodes = {kind: schema.load(f"nodes/{kind}") for kind in schema.node_types()}
    triggers = {kind: schema.load(f"triggers/{kind}") for kind in schema.trigger_types()}

    assert compose(once, nodes, triggers) == once


def test_an_unknown_schema_is_an_error() -> None:
    with pytest.raises(KeyError):
        schema.load("../pyproject")


def test_the_parameters_of_smtp_are_those_of_the_contract() -> None:
    spec = ROOT.parent / "shared" / "SPEC.md"
    if not spec.exists():
        pytest.skip("../shared/SPEC.md is not here")
    section = spec.read_text(encoding="utf-8").partition("## 5.")[2].partition("Output:")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    promised = {name.strip(" `") for row in rows for name in row[1].split(",")}
    required = {name.strip(" `") for row in rows for name in row[1].split(",") if row[2].strip() == "yes"}

    smtp = schema.load("nodes/smtp")

    assert promised <= set(smtp["properties"])
    assert set(smtp["properties"]) - promised == {"inline_css"}
    assert set(smtp["required"]) == required


def test_schemas_are_found_beside_the_package_in_a_wheel(tmp_path: Path) -> None:
    """The same function, on a tree laid out as the wheel lays it out."""
    import shutil
    import subprocess
    import sys

    shutil.copytree(ROOT / "runner", tmp_path / "runner", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "schemas", tmp_path / "runner" / "_schemas")
    code = "from runner import schema; from runner.schema.catalog import folder; print(folder(), len(schema.names()))"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == [str(tmp_path / "runner" / "_schemas"), str(len(NAMES))]
