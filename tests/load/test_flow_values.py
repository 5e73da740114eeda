"""What a flow file becomes: typed values, templates of the right kind, and a hash of everything it uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.diagnostic import Invalid
from runner.load import LoadedFlow, read_flow
from runner.model import Flow, OnError, Retry, Settings
from runner.template import Template


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "templates").mkdir()
    return tmp_path


def load(root: Path, text: str, settings: Settings | None = None) -> LoadedFlow:
    path = root / "flows" / "hello.yaml"
    path.write_text(text, encoding="utf-8")
    return read_flow(root, path, settings or Settings())


def flow(root: Path, text: str) -> Flow:
    return load(root, text).flow


def findings(root: Path, text: str, settings: Settings | None = None) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load(root, text, settings)
    return [str(found) for found in caught.value.diagnostics]


def smtp(**extra: str) -> str:
    fields = {
        "credential": "ops",
        "to": "a@example.com",
        "subject": "Hi",
        "body_format": "text",
        "body": "Hi",
        **extra,
    }
    return "nodes:\n  - id: mail\n    smtp:\n" + "".join(
        f"      {key}: {value}\n" for key, value in fields.items()
    )


def kind(value: object) -> str:
    assert isinstance(value, Template)
    return str(value.kind)


def test_a_flow_has_every_value_in_its_type(root: Path) -> None:
    found = flow(
        root,
        "name: greet\ndescription: Greets\n"
        "triggers: [{schedule: {cron: 0 8 * * *, timezone: Europe/Berlin}}, {webhook: {path: a, auth: none}}]\n"
        "body: {type: object}\n"
        "nodes:\n  - id: one\n    on_error: continue\n    timeout: 90s\n"
        "    retry: {attempts: 3, delay: 200ms}\n    set: {a: 1}\n  - id: two\n    set: {b: [x]}\n",
    )

    assert (found.name, found.path, found.description) == ("greet", "flows/hello.yaml", "Greets")
    assert found.body == {"type": "object"}
    assert [(trigger.type, dict(trigger.params)) for trigger in found.triggers] == [
        ("schedule", {"cron": "0 8 * * *", "timezone": "Europe/Berlin"}),
        ("webhook", {"path": "a", "auth": "none"}),
    ]
    one, two = found.nodes
    assert (one.id, one.type, one.params, one.on_error, one.timeout) == (
        "one",
        "set",
        {"a": 1},
        OnError.CONTINUE,
        90.0,
    )
    assert one.retry == Retry(attempts=3, delay=0.2, max_delay=3600.0)
    assert (two.params, two.on_error, two.retry, two.timeout, two.when, two.for_each) == (
        {"b": ["x"]},
        OnError.STOP,
        None,
        None,
        None,
        None,
    )
    assert one.position.line == 6


def test_the_name_is_the_files_stem_unless_it_is_written(root: Path) -> None:
    assert flow(root, smtp()).name == "hello"


def test_each_field_is_a_template_of_its_own_kind_and_plain_text_stays_text(root: Path) -> None:
    found = flow(
        root,
        smtp(
            to="<<trigger.body.a>>",
            cc='[plain@example.com, "<<trigger.body.b>>"]',
            reply_to="<<trigger.body.c>>",
            subject="<<trigger.body.d>>",
            body_format="html",
            body="<<trigger.body.e>>",
            html_body="<<trigger.body.f>>",
            headers='{X-A: "<<trigger.body.g>>", X-B: plain}',
            attachments='[{url: "https://x.example/<<trigger.body.h>>", filename: "<<trigger.body.i>>"}]',
            unsubscribe='{url: "https://x.example/<<trigger.body.j>>"}',
        ),
    )
    params: dict[str, Any] = dict(found.nodes[0].params)

    assert kind(params["to"]) == "address"
    assert params["cc"][0] == "plain@example.com"
    assert kind(params["cc"][1]) == "address"
    assert kind(params["reply_to"]) == "address"
    assert kind(params["subject"]) == "text"
    assert kind(params["body"]) == "text"
    assert kind(params["html_body"]) == "html"
    assert kind(params["headers"]["X-A"]) == "text"
    assert params["headers"]["X-B"] == "plain"
    assert kind(params["attachments"][0]["url"]) == "url"
    assert kind(params["attachments"][0]["filename"]) == "text"
    assert kind(params["unsubscribe"]["url"]) == "url"


def test_a_body_that_is_the_html_is_escaped_as_html(root: Path) -> None:
    found = flow(root, smtp(body_format="html", body="<p><<trigger.body.a>></p>"))

    assert kind(found.nodes[0].params["body"]) == "html"


def test_a_body_with_an_empty_html_body_is_the_html_too(root: Path) -> None:
    found = flow(root, smtp(body_format="html", html_body='""', body="<p><<trigger.body.a>></p>"))

    assert kind(found.nodes[0].params["body"]) == "html"


def test_what_is_wrong_with_a_body_that_may_become_the_html_is_told_once(root: Path) -> None:
    wrong = smtp(body_format="html", html_body="<<trigger.body.a>>", body="a <<trigger.boby>>")
    odd = smtp(body_format="html", html_body="<<trigger.body.a>>", body="'{{ trigger.body.a }}'")

    assert len(findings(root, wrong)) == 1
    assert len(load(root, odd).warnings) == 1


def test_http_and_set_have_templates_at_every_depth(root: Path) -> None:
    found = flow(
        root,
        'nodes:\n  - id: a\n    http: {url: "https://x.example/<<run.id>>", json: {a: [{b: "<<trigger.body>>"}]}}\n'
        '  - id: b\n    when: trigger.body\n    for_each: "<< trigger.body.list >>"\n    set: {a: [{b: "<<item>>"}]}\n',
    )
    http, values = (dict(node.params) for node in found.nodes)

    assert kind(http["url"]) == "url"
    assert kind(http["json"]["a"][0]["b"]) == "text"  # type: ignore[index]
    assert kind(values["a"][0]["b"]) == "text"  # type: ignore[index]
    assert kind(found.nodes[1].when) == "expression"
    assert kind(found.nodes[1].for_each) == "expression"


def test_a_file_is_a_template_of_its_fields_kind(root: Path) -> None:
    (root / "templates" / "mail.html").write_text("<p><<trigger.body.a>></p>", encoding="utf-8")

    for name in ("mail.html", "templates/mail.html"):
        found = flow(root, smtp(body_format="html", html_body=f"{{file: {name}}}"))
        value = found.nodes[0].params["html_body"]
        assert kind(value) == "html"
        assert value.render({"trigger": {"body": {"a": "<b>"}}}) == "<p>&lt;b&gt;</p>"  # type: ignore[attr-defined]


def test_a_mistake_in_a_file_is_told_in_that_file(root: Path) -> None:
    (root / "templates" / "mail.html").write_text("<p>\n  << trigger.bdy.a >></p>", encoding="utf-8")

    [found] = findings(root, smtp(body_format="html", html_body="{file: templates/mail.html}"))

    assert found.startswith("templates/mail.html:2:")
    assert '"bdy"' in found


def test_a_file_that_is_not_there_is_told_where_it_is_named(root: Path) -> None:
    [found] = findings(root, smtp(body_format="html", html_body="{file: mial.html}"))

    assert found.startswith("flows/hello.yaml:9:")
    assert '"mial.html"' in found


def test_a_file_outside_the_templates_is_refused(root: Path) -> None:
    (root / "secret.txt").write_text("x", encoding="utf-8")

    for name in ("../secret.txt", "/etc/hostname", "templates/../../secret.txt"):
        assert len(findings(root, smtp(body=f'{{file: "{name}"}}'))) == 1


def test_an_attachments_file_is_no_template(root: Path) -> None:
    found = flow(root, smtp(attachments="[{file: assets/logo.png}]"))

    assert found.nodes[0].params["attachments"] == [{"file": "assets/logo.png"}]


def test_the_hash_changes_with_the_file_and_with_every_template_file_it_uses(root: Path) -> None:
    mail, part = root / "templates" / "mail.html", root / "templates" / "part.html"
    mail.write_text('<% include "part.html" %>', encoding="utf-8")
    part.write_text("one", encoding="utf-8")
    text = smtp(body_format="html", html_body="{file: mail.html}")
    digests = [flow(root, text).digest, flow(root, text).digest]
    part.write_text("two", encoding="utf-8")
    digests.append(flow(root, text).digest)
    mail.write_text('<% include "part.html" %>!', encoding="utf-8")
    digests.append(flow(root, text).digest)
    digests.append(flow(root, text + "# a comment\n").digest)

    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_vars_are_known_from_the_settings(root: Path) -> None:
    text = smtp(subject="<<vars.brand.name>> <<vars.brnd>>")

    assert findings(root, text, Settings(vars={"brand": {"name": "Acme"}})) == [
        'flows/hello.yaml:6:43: error: unknown name "brnd" in vars [ETEMPLATE]'
    ]


def test_a_repeated_nodes_output_is_a_list(root: Path) -> None:
    text = (
        "nodes:\n  - id: a\n    for_each: << trigger.body >>\n    http: {url: https://x.example/}\n"
        "  - id: b\n    set: {a: << nodes.a.output | length >>, b: << nodes.a.output.anything >>}\n"
    )

    assert flow(root, text)


def test_a_node_that_is_wrong_itself_brings_no_unknown_names_into_later_ones(root: Path) -> None:
    text = "nodes:\n  - id: a\n    stmp: {}\n  - id: b\n    set: {a: << nodes.a.output.message_id >>}\n"

    assert len(findings(root, text)) == 1


def test_schema_and_template_and_trigger_mistakes_come_together_sorted(root: Path) -> None:
    text = (
        "nmae: x\ntriggers: [{schedule: {cron: x}}]\nnodes:\n  - id: a\n    set: {a: << 1 + >>}\n"
        "  - id: a\n    set: {b: << nodes.x >>}\n    timeout: x\n"
    )

    found = findings(root, text)

    assert [line.split(":")[1] for line in found] == ["1", "2", "5", "6", "7", "8"]
    assert [line.rsplit("[", 1)[1] for line in found] == [
        "schema]",
        "schema]",
        "template]",
        "duplicate]",
        "ETEMPLATE]",
        "schema]",
    ]


def test_braces_in_a_flow_with_angles_are_warned_of(root: Path) -> None:
    [warning] = load(root, smtp(subject="Hello {{ trigger.body.name }}")).warnings

    assert str(warning).startswith("flows/hello.yaml:6:22: warning: {{ … }} is plain text here")


def test_angles_in_a_flow_with_braces_are_warned_of(root: Path) -> None:
    [warning] = load(root, "delimiters: curly\n" + smtp(subject="Hello << trigger.body.name >>")).warnings

    assert str(warning).startswith("flows/hello.yaml:7:22: warning: << … >> is plain text here")


def test_style_rules_with_braces_are_not_warned_of(root: Path) -> None:
    assert load(root, smtp(body="'@media x {p {color: red}} {{ other }}'")).warnings == ()


def test_a_finding_of_a_later_floor_finds_its_line(root: Path) -> None:
    found = load(root, smtp(to="[a@example.com, nobody]"))

    assert found.document.at(("nodes", 0, "smtp", "to", 1)).line == 5
    assert found.document.at(("nodes", 0, "smtp", "to", 1)).column == 27


def files(path: str) -> str:
    return f"triggers:\n  - files: {{path: {path}}}\n" + smtp()


def test_a_files_trigger_on_a_folder_says_how_to_mean_the_files_in_it(root: Path) -> None:
    (root / "inbox").mkdir()
    [warning] = load(root, files("inbox")).warnings

    assert str(warning).startswith('flows/hello.yaml:2:19: warning: "inbox" is a folder')
    assert warning.hint == "inbox/* stands for the files in it"
    assert load(root, files("inbox/*")).warnings == ()


@pytest.mark.parametrize("path", ["mine/secrets/*", "mine/secrets/old/*", "aside/*"])
def test_a_files_trigger_does_not_eat_the_workspace_wherever_its_folders_are(root: Path, path: str) -> None:
    (root / "mine/secrets").mkdir(parents=True)
    (root / "aside").symlink_to("mine/secrets")

    [found] = findings(root, files(path), Settings(secrets="mine/secrets"))
    assert "would take the workspace's own secrets" in found
    assert load(root, files(path), Settings(flows=".")).warnings == ()


def test_a_warning_stands_beside_a_flow_that_loads(root: Path) -> None:
    found = load(root, "body: {properties: {a: {type: string, maxLenght: 5}}}\n" + smtp())

    assert [warning.severity for warning in found.warnings] == ["warning"]
    assert found.flow.name == "hello"


def test_a_text_that_a_comment_cuts_short_is_warned_of(root: Path) -> None:
    [warning] = load(root, smtp(subject="Order #<<trigger.body.id>> is on its way")).warnings

    assert str(warning) == (
        'flows/hello.yaml:6:22: warning: "#<<trigger.body.id>> is on its way" is a comment, '
        "and not part of the value [yaml]"
    )


@pytest.mark.parametrize("subject", ["Hi # a comment", '"Order #5"', "Hi#5", "'x' #y", "Hi ## y"])
def test_an_honest_comment_is_not_warned_of(root: Path, subject: str) -> None:
    assert load(root, smtp(subject=subject)).warnings == ()
