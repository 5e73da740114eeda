"""What a person sees in an editor: the YAML language server, fed with our schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, missing_tool
from language_server import LanguageServer, Unavailable, cache_folder, install
from snippets import snippets

FLOWS = ROOT / "flows"
SCHEMA_LINE = "# yaml-language-server: $schema=../schemas/flow.schema.json\n"
SMTP = json.loads((ROOT / "schemas" / "nodes" / "smtp.schema.json").read_text(encoding="utf-8"))
NODE_TYPES = sorted(
    path.name.removesuffix(".schema.json") for path in (ROOT / "schemas" / "nodes").glob("*.json")
)
TRIGGERS = sorted(
    path.name.removesuffix(".schema.json") for path in (ROOT / "schemas" / "triggers").glob("*.json")
)
numbers = count()


@pytest.fixture(scope="module")
def start() -> Path:
    """The program that starts the server."""
    try:
        return install(cache_folder())
    except Unavailable as reason:
        missing_tool("the YAML language server", str(reason))
    raise AssertionError


@pytest.fixture(scope="module")
def server(start: Path) -> Iterator[LanguageServer]:
    with LanguageServer(start) as running:
        yield running


def fresh(folder: Path = FLOWS) -> Path:
    """A path that no document of this run has had; nothing is ever written there."""
    return folder / f"unsaved-{next(numbers)}.yaml"


def complete(server: LanguageServer, text: str, folder: Path = FLOWS) -> dict[str, dict[str, Any]]:
    """The completions where ``|`` stands in a flow."""
    before, _, after = (SCHEMA_LINE + text).partition("|")
    path = fresh(folder)
    server.open(path, before + after)
    return server.complete(path, before.count("\n"), len(before) - before.rfind("\n") - 1)


def find(server: LanguageServer, text: str) -> list[tuple[int, str]]:
    """The diagnostics of a flow: line (from 1, the schema line not counted) and message."""
    path = fresh()
    server.open(path, SCHEMA_LINE + text)
    return [(item["range"]["start"]["line"], item["message"]) for item in server.diagnostics(path)]


def documentation(item: dict[str, Any]) -> str:
    text = item.get("documentation") or ""
    return text["value"] if isinstance(text, dict) else text


def welcome(until: str) -> str:
    """The beginning of flows/welcome.yaml up to and with the line that starts with ``until``."""
    lines = (
        (FLOWS / "welcome.yaml")
        .read_text(encoding="utf-8")
        .removeprefix(SCHEMA_LINE)
        .splitlines(keepends=True)
    )
    [last] = [number for number, line in enumerate(lines) if line.strip().startswith(until)]
    return "".join(lines[: last + 1])


GOOD = """\
nodes:
  - id: hello
    smtp:
      credential: marketing
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      subject: << trigger.body.subject >>
      body_format: text
      body: Hello
"""


def test_every_flow_of_this_repository_names_the_schema_in_its_first_line() -> None:
    flows = [path for path in FLOWS.rglob("*.yaml") if not path.name.endswith(".test.yaml")]

    assert flows
    assert [path.name for path in flows if not path.read_text(encoding="utf-8").startswith(SCHEMA_LINE)] == []


def test_inside_smtp_every_parameter_that_is_not_there_yet_is_completed(server: LanguageServer) -> None:
    items = complete(server, welcome("credential:") + "      |\n")

    expected = set(SMTP["properties"]) - {"credential"}
    assert expected - items.keys() == set()
    assert "credential" not in items
    assert "url" not in items, "a parameter of another node type"


def test_each_completed_parameter_of_smtp_is_explained_in_the_words_of_the_schema(
    server: LanguageServer,
) -> None:
    items = complete(server, welcome("credential:") + "      |\n")

    for name, schema in SMTP["properties"].items():
        if name != "credential":
            assert schema["description"] in documentation(items[name]), name


@pytest.mark.parametrize("parameter", ["body_format", "priority", "on_unknown"])
def test_the_values_of_a_choice_are_completed(server: LanguageServer, parameter: str) -> None:
    items = complete(server, welcome("credential:") + f"      {parameter}: |\n")

    schema = json.dumps(SMTP["properties"][parameter])
    assert len(items) >= 2
    assert [value for value in items if json.dumps(value) not in schema] == []


def test_a_nodes_types_and_settings_are_completed_beside_its_id(server: LanguageServer) -> None:
    items = complete(server, "nodes:\n  - id: hello\n    |\n")

    assert set(NODE_TYPES) - items.keys() == set()
    assert {"when", "for_each", "on_error", "retry", "timeout"} - items.keys() == set()
    assert [name for name in NODE_TYPES if not documentation(items[name])] == []


def test_accepting_smtp_writes_its_required_parameters(server: LanguageServer) -> None:
    items = complete(server, "nodes:\n  - id: hello\n    |\n")

    assert [name for name in SMTP["required"] if f"\n  {name}:" not in items["smtp"]["insertText"]] == []


@pytest.mark.parametrize("parameter", ["to", "cc", "bcc", "body", "html_body"])
def test_accepting_a_parameter_that_takes_text_or_more_writes_the_plain_form(
    server: LanguageServer, parameter: str
) -> None:
    items = complete(server, welcome("credential:") + "      |\n")

    assert items[parameter]["insertText"].rstrip() == f"{parameter}:"


def test_the_keys_of_an_attachment_are_completed(server: LanguageServer) -> None:
    items = complete(server, welcome("credential:") + "      attachments:\n        - |\n")

    assert {"filename", "content_type", "cid", "url", "base64", "content", "file"} - items.keys() == set()


def test_every_trigger_is_completed(server: LanguageServer) -> None:
    items = complete(server, "triggers:\n  - |\nnodes: []\n")

    assert set(TRIGGERS) - items.keys() == set()


@pytest.mark.parametrize("parameter", ["credential", "to", "subject", "body_format"])
def test_hovering_over_a_parameter_shows_its_description(server: LanguageServer, parameter: str) -> None:
    text = (FLOWS / "welcome.yaml").read_text(encoding="utf-8").splitlines()
    [line] = [number for number, content in enumerate(text) if content.startswith(f"      {parameter}:")]
    path = fresh()
    server.open(path, "\n".join(text) + "\n")

    hover = server.hover(path, line, 7).replace("\\", "").replace("&lt;", "<").replace("&gt;", ">")

    assert SMTP["properties"][parameter]["description"][:40] in hover


@pytest.mark.parametrize(
    "flow", sorted(path.name for path in FLOWS.glob("*.yaml") if ".test." not in path.name)
)
def test_a_flow_of_this_repository_has_no_diagnostics(server: LanguageServer, flow: str) -> None:
    assert find(server, (FLOWS / flow).read_text(encoding="utf-8").removeprefix(SCHEMA_LINE)) == []


@pytest.mark.parametrize(
    ("wrong", "line", "word"),
    [
        pytest.param(GOOD.replace("subject:", "subjct:"), 6, "subjct", id="a misspelt parameter"),
        pytest.param(GOOD.replace("smtp:", "smpt:"), 3, "", id="a misspelt node type"),
        pytest.param(
            GOOD.replace("body_format: text", "body_format: txt"), 7, "html", id="a value that is no choice"
        ),
        pytest.param(
            GOOD.replace("      credential: marketing\n", ""), 3, "credential", id="a missing parameter"
        ),
        pytest.param(
            GOOD + "    http: {method: GET, url: https://example.com/}\n", 2, "", id="two types in one node"
        ),
        pytest.param(GOOD.replace("nodes:", "nods:"), 1, "nods", id="a misspelt key of the flow"),
        pytest.param(GOOD.replace("id: hello", "id: Hello!"), 2, "id", id="an id that is none"),
    ],
)
def test_a_mistake_is_shown_at_its_place(server: LanguageServer, wrong: str, line: int, word: str) -> None:
    assert find(server, GOOD) == []

    found = find(server, wrong)

    assert [message for at, message in found if at == line and word in message], found


def test_the_schema_that_the_command_line_prints_serves_another_repository(
    server: LanguageServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from runner.cli.main import main

    assert main(["schema", "flow"]) == 0
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "flow.schema.json").write_text(capsys.readouterr().out, encoding="utf-8")

    items = complete(server, welcome("credential:") + "      |\n", tmp_path / "flows")

    assert set(SMTP["properties"]) - {"credential"} - items.keys() == set()


def test_the_settings_of_the_workspace_are_completed_and_checked(server: LanguageServer) -> None:
    schema = json.loads((ROOT / "schemas" / "workspace.schema.json").read_text(encoding="utf-8"))
    line = "# yaml-language-server: $schema=schemas/workspace.schema.json\n"
    path = ROOT / "unsaved-settings.yaml"
    server.open(path, line + "workspace: acme\n\nnonsense: 1\n")

    items = server.complete(path, 2, 0)

    assert set(schema["properties"]) - {"workspace"} - items.keys() == set()
    assert [item["range"]["start"]["line"] for item in server.diagnostics(path)] == [3]


def test_the_documented_settings_make_the_line_in_each_flow_superfluous(start: Path) -> None:
    document = (ROOT / "docs" / "editor.md").read_text(encoding="utf-8")
    [block] = [snippet for snippet in snippets(document) if snippet.language == "json"]
    flow, settings = ROOT / "flows" / "crm" / "unsaved-mapped.yaml", ROOT / "flowpost.yaml"

    with LanguageServer(start, root=ROOT, schemas=json.loads(block.text)["yaml.schemas"]) as server:
        server.open(flow, "nodes:\n  - id: hello\n    smtp:\n      \n")
        server.open(settings, "nonsense: 1\n")

        assert set(SMTP["properties"]) - server.complete(flow, 3, 6).keys() == set()
        assert [item["message"] for item in server.diagnostics(settings)] == [
            "Property nonsense is not allowed."
        ]
