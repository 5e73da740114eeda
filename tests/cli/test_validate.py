"""Everything that can be known without sending is said in one go, each mistake at its own line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER = SimpleNamespace(port=465, ca_pem="")
GOOD = "nodes:\n  - id: mail\n    smtp: {credential: marketing, to: a@example.com, subject: s, body_format: text, body: b}\n"


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    workspace.smtp("marketing", SERVER, security={"min_tls": "1.2"})
    return workspace


def mail(**changes: object) -> str:
    fields = {
        "credential": "marketing",
        "to": "a@example.com",
        "subject": "s",
        "body_format": "text",
        "body": "b",
    }
    lines = [f"      {key}: {json.dumps(value)}" for key, value in {**fields, **changes}.items()]
    return "nodes:\n  - id: mail\n    smtp:\n" + "\n".join(lines) + "\n"


def findings(workspace: Workspace) -> list[dict[str, object]]:
    answer = workspace.call("validate", "--format", "json")
    report = answer.json
    assert set(report) == {"ok", "flows", "findings"}
    assert report["ok"] == (answer.code == 0)
    for finding in report["findings"]:
        assert set(finding) == {"path", "line", "column", "severity", "code", "message", "hint"}
    return list(report["findings"])


def test_a_good_workspace_has_no_findings(ready: Workspace) -> None:
    ready.flow("good", GOOD)
    answer = ready.call("validate")

    assert (answer.code, answer.out) == (0, "")
    assert "1 flow checked: no findings" in answer.err


def test_the_project_itself_is_a_workspace_without_findings(workspace: Workspace) -> None:
    for name in ("flows", "secrets"):
        shutil.rmtree(workspace.root / name)
        shutil.copytree(ROOT / name, workspace.root / name)
    shutil.copy(ROOT / ".sops.yaml", workspace.root)
    workspace.environ = {"SOPS_AGE_KEY_FILE": str(ROOT / "secrets" / "demo-key.txt")}

    assert findings(workspace) == []


@pytest.mark.parametrize(
    ("changes", "code", "line"),
    [
        ({"to": "nobody"}, "EADDRESS", 5),
        ({"to": ["a@example.com", "b@@example.com"]}, "EADDRESS", 5),
        ({"from": "a@example.com, b@example.com"}, "EADDRESS", 9),
        ({"headers": {"bcc": "x@example.com"}}, "ERESERVED", 9),
        ({"headers": [{"key": "X-A", "value": "a\nb"}]}, "EHEADER", 9),
        ({"subject": "a\r\nBcc: x@example.com"}, "EHEADER", 6),
        ({"subject": "s" * 999}, "ELIMIT", 6),
        ({"to": [f"a{n}@example.com" for n in range(101)]}, "ELIMIT", 5),
        ({"attachments": [{"filename": "a", "base64": "%%%"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"filename": "a", "file": "../x"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"filename": "a", "url": "http://127.0.0.1/x"}]}, "EBLOCKED", 9),
        ({"attachments": [{"filename": "a", "url": "http://user:pw@10.0.0.1/x"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"filename": "a", "url": "ftp://example.com/x"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"content": "a", "content_type": "text"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"content": "a", "content_type": "multipart/mixed"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"content": "a", "cid": "a b"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"content": "a", "cid": "x"}, {"content": "b", "cid": "x"}]}, "EATTACHMENT", 9),
        ({"attachments": [{"file": "nowhere.pdf"}]}, "EATTACHMENT", 9),
        ({"unsubscribe": {"url": "ftp://example.com/u"}}, "EHEADER", 9),
        ({"unsubscribe": {"url": "http://example.com/u", "one_click": True}}, "EHEADER", 9),
        ({"unsubscribe": {"mailto": "nobody"}}, "EADDRESS", 9),
        ({"priority": "high", "headers": {"X-Priority": "1"}}, "ERESERVED", 10),
        ({"priority": "low", "headers": [{"key": "importance", "value": "1"}]}, "ERESERVED", 10),
        ({"priority": "low", "headers": {"X-MSMail-Priority": "<<trigger.body.x>>"}}, "ERESERVED", 10),
        (
            {"unsubscribe": {"mailto": "u@example.com"}, "headers": {"list-unsubscribe": "<x>"}},
            "ERESERVED",
            10,
        ),
        (
            {
                "unsubscribe": {
                    "url": "https://example.com/<<run.id>>",
                    "mailto": "u@example.com",
                    "one_click": True,
                },
                "headers": {"List-Unsubscribe-Post": "x"},
            },
            "ERESERVED",
            10,
        ),
        ({"from": "eve@example.com"}, "EADDRESS", 9),
        ({"credential": "crm"}, "reference", 4),
        ({"subject": "<<trigger.bodyy.name>>"}, "ETEMPLATE", 6),
        ({"subject": "<<trigger.body.name"}, "template", 6),
        ({"credential": "marketng"}, "reference", 4),
        ({"priority": "urgent"}, "schema", 9),
        ({"prioritty": "high"}, "schema", 9),
    ],
)
def test_a_mistake_carries_its_code_and_its_line(
    ready: Workspace, changes: dict[str, object], code: str, line: int
) -> None:
    ready.smtp("marketing", SERVER, security={"min_tls": "1.2"}, sender={"allowed_from": ["ann@example.com"]})
    ready.credential("crm", {"type": "http", "auth": {"type": "bearer", "token": "correct-horse"}})
    ready.flow("flow", mail(**changes))
    found = findings(ready)

    assert [(finding["code"], finding["line"]) for finding in found] == [(code, line)], found
    assert found[0]["path"] == "flows/flow.yaml"
    assert found[0]["severity"] == "error"


def test_many_broken_files_are_reported_in_one_go(ready: Workspace) -> None:
    ready.flow("a", mail(to="nobody", subject="s" * 999, prioritty="x"))
    ready.flow("b", "nodes: [\n")
    ready.flow("c", "name: good\n" + GOOD)
    ready.flow("d", "name: good\n" + GOOD)
    ready.flow("e", "nodes: []\nnodes: []\n")
    ready.flow("f", mail(credential="nope", body="<< nodes.later.output >>"))
    ready.write("secrets/plain.yaml", "name: plain\nserver: {host: a.example}\n")
    ready.settings("workspce: x\n")
    found = findings(ready)

    paths = {str(finding["path"]) for finding in found}
    assert paths == {"flowpost.yaml", "secrets/plain.yaml", *(f"flows/{name}.yaml" for name in "abcdef")}
    codes = {
        str(finding["path"]): {f["code"] for f in found if f["path"] == finding["path"]} for finding in found
    }
    assert codes["secrets/plain.yaml"] == {"ESECRET"}
    assert codes["flows/c.yaml"] == codes["flows/d.yaml"] == {"duplicate"}
    assert codes["flows/f.yaml"] == {"reference", "ETEMPLATE"}
    assert codes["flows/e.yaml"] == {"duplicate"}
    assert codes["flows/b.yaml"] == {"yaml"}


def test_fields_that_the_body_schema_lacks_are_found(ready: Workspace) -> None:
    body = "body: {type: object, properties: {email: {type: string}, name: {type: string}}}\n"
    ready.flow("flow", body + mail(subject="Hi <<trigger.body.nmae>>"))
    (finding,) = findings(ready)

    assert finding["code"] == "ETEMPLATE"
    assert (finding["line"], finding["column"]) == (7, 35)
    assert "nmae" in str(finding["message"])
    assert "name" in str(finding["hint"])


@pytest.mark.parametrize(
    ("attachment", "words", "hint"),
    [
        ({"file": "secrets/marketing.yaml"}, "is one of flowpost's own", "nothing in secrets/ is mailed"),
        ({"content": "€", "content_type": "text/plain; charset=us-ascii"}, 'has no "€"', "use charset=utf-8"),
        ({"content": "<<trigger.body.x>>", "content_type": "text"}, "is not a content type", "for example"),
    ],
)
def test_an_attachment_that_no_run_would_send_is_found(
    ready: Workspace, attachment: dict[str, str], words: str, hint: str
) -> None:
    ready.flow("flow", mail(attachments=[attachment]))
    (finding,) = findings(ready)

    assert (finding["code"], finding["line"]) == ("EATTACHMENT", 9)
    assert words in str(finding["message"])
    assert hint in str(finding["hint"])


def test_a_path_limits_what_is_reported(ready: Workspace) -> None:
    ready.flow("a", mail(to="nobody"))
    ready.flow("b", mail(to="nobody"))
    answer = ready.call("validate", "flows/b.yaml", "--format", "json")

    assert answer.json["flows"] == 1
    assert [finding["path"] for finding in answer.json["findings"]] == ["flows/b.yaml"]


def test_a_path_that_is_not_there_is_wrong_usage(ready: Workspace) -> None:
    answer = ready.call("validate", "flows/nope.yaml")

    assert answer.code == 2
    assert "nope.yaml" in answer.err


def test_a_path_may_be_relative_to_the_current_folder_beside_c(ready: Workspace) -> None:
    ready.flow("a", mail(to="nobody"))
    ready.flow("b", mail(to="nobody"))
    ready.write("other/flows/a.yaml", GOOD)
    place = ready.root.name

    answer = ready.at(ready.root.parent, "-C", place, "validate", f"{place}/flows/a.yaml", "--format", "json")
    assert [found["path"] for found in answer.json["findings"]] == ["flows/a.yaml"]
    answer = ready.at(ready.root, "-C", "other", "validate", "flows/b.yaml")
    assert answer.code == 2
    assert 'there is no file or folder "flows/b.yaml"' in answer.err


def test_paths_in_two_workspaces_are_wrong_usage(ready: Workspace) -> None:
    ready.flow("a", GOOD)
    ready.write("other/flows/b.yaml", GOOD)
    answer = ready.call("validate", "other/flows/b.yaml", "flows/a.yaml")

    assert answer.code == 2
    assert "does not lie in the workspace" in answer.err


def test_no_workspace_is_wrong_usage(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "flows")

    assert workspace.call("validate").code == 2


def test_the_text_is_file_line_column_error_message(ready: Workspace) -> None:
    ready.flow("flow", mail(to="nobody"))
    answer = ready.call("validate")

    assert answer.code == 1
    assert answer.out.splitlines()[0].startswith("flows/flow.yaml:5:11: error: Invalid address")
    assert answer.out.splitlines()[0].endswith("[EADDRESS]")


def test_github_annotations_escape_what_the_file_says(ready: Workspace) -> None:
    ready.flow("flow", mail(to="no%0Abody"))
    answer = ready.call("validate", "--format", "github")

    assert answer.out.startswith("::error file=flows/flow.yaml,line=5,col=11,title=flowpost [EADDRESS]::")
    assert "%250Abody" in answer.out


def test_github_paths_are_relative_to_the_repository(ready: Workspace) -> None:
    (ready.root.parent / ".git").mkdir()
    ready.flow("flow", mail(to="nobody"))

    assert "file=acme/flows/flow.yaml" in ready.call("validate", "--format", "github").out


@pytest.mark.parametrize(("checkout", "path"), [("", "acme/flows/flow.yaml"), ("acme", "flows/flow.yaml")])
def test_paths_are_relative_to_the_checkout_of_github(ready: Workspace, checkout: str, path: str) -> None:
    """A checkout into a folder, or a container without .git: the runner looks from GITHUB_WORKSPACE."""
    (ready.root / ".git").mkdir()
    ready.environ["GITHUB_WORKSPACE"] = str(ready.root.parent / checkout)
    ready.flow("flow", mail(to="nobody"))

    assert f"file={path}," in ready.call("validate", "--format", "github").out
    (run,) = ready.call("validate", "--format", "sarif").json["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": path}
    assert [found["path"] for found in findings(ready)] == ["flows/flow.yaml"]


def test_a_checkout_elsewhere_changes_no_path(ready: Workspace, tmp_path: Path) -> None:
    (ready.root.parent / ".git").mkdir()
    ready.environ["GITHUB_WORKSPACE"] = str(tmp_path / "elsewhere")
    ready.flow("flow", mail(to="nobody"))

    assert "file=acme/flows/flow.yaml," in ready.call("validate", "--format", "github").out


def test_a_uri_in_sarif_is_percent_encoded(ready: Workspace) -> None:
    ready.flow("a b/c,d ü%", "name: ok\n" + mail(to="nobody"))
    (run,) = ready.call("validate", "--format", "sarif").json["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]

    assert place["artifactLocation"] == {"uri": "flows/a%20b/c%2Cd%20%C3%BC%25.yaml"}


def test_sarif_names_tool_rule_and_place(ready: Workspace) -> None:
    ready.flow("flow", mail(to="nobody"))
    (run,) = ready.call("validate", "--format", "sarif").json["runs"]

    assert run["tool"]["driver"]["name"] == "flowpost"
    (result,) = run["results"]
    assert result["ruleId"] == "EADDRESS"
    region = result["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 5, "startColumn": 11}


def test_without_a_key_the_credentials_are_checked_as_far_as_that_goes(ready: Workspace) -> None:
    ready.flow("good", GOOD)
    del ready.environ["SOPS_AGE_KEY"]

    assert [finding for finding in findings(ready) if finding["severity"] == "error"] == []
    answer = ready.call("validate")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.endswith("note: there is no key, so that the credential was not opened\n")


def test_nothing_is_noted_where_there_is_a_key_or_no_credential(ready: Workspace) -> None:
    ready.flow("good", "nodes:\n  - id: a\n    set: {x: 1}\n")
    assert "note" not in ready.call("validate").err

    shutil.rmtree(ready.root / "secrets")
    del ready.environ["SOPS_AGE_KEY"]
    assert "note" not in ready.call("validate").err


def test_port_25_is_found(workspace: Workspace) -> None:
    workspace.smtp("marketing", SimpleNamespace(port=25, ca_pem=""), security={"min_tls": "1.2"})
    (finding,) = findings(workspace)

    assert finding["code"] == "EPORT"
    assert str(finding["message"]).startswith("Port 25 is not allowed")
    assert finding["path"] == "secrets/marketing.yaml"


@pytest.mark.parametrize(
    "sections",
    [
        {"server": {"host": "mail.example.com", "port": 587, "encryption": "none"}},
        {"security": {"certificates": "accept-unverified"}},
    ],
)
def test_a_weak_credential_is_a_warning(workspace: Workspace, sections: dict[str, dict[str, object]]) -> None:
    workspace.smtp("marketing", SERVER, **{"security": {"min_tls": "1.2"}, **sections})
    found = findings(workspace)

    assert [finding["severity"] for finding in found] == ["warning"]


def test_directories_work_from_below_and_with_c(ready: Workspace, tmp_path: Path) -> None:
    ready.flow("sub/flow", mail(to="nobody"))
    ready.monkeypatch.chdir(tmp_path)
    answer = ready.call("-C", str(ready.root / "flows" / "sub"), "validate")

    assert answer.out.startswith("flows/sub/flow.yaml:5:11:")


def test_hostile_text_in_a_file_cannot_drive_the_terminal(ready: Workspace) -> None:
    ready.flow("flow", mail(to="no\x1b[31mbody\x07"))
    answer = ready.call("validate")

    assert "\x1b" not in answer.out + answer.err


@pytest.mark.parametrize("no_color", [True, False])
def test_a_terminal_gets_colour_unless_no_color_is_set(ready: Workspace, no_color: bool) -> None:
    import os
    import pty
    import subprocess
    import sys

    ready.flow("flow", mail(to="nobody"))
    environ = {**os.environ, **ready.environ, **({"NO_COLOR": "1"} if no_color else {})}
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "runner", "validate"]
    subprocess.run(command, cwd=ready.root, env=environ, stdout=writer, stderr=writer, timeout=60)
    os.close(writer)
    shown = os.read(reader, 65536).decode()
    os.close(reader)

    assert "error:" in shown
    assert ("\x1b[" in shown) is not no_color


@pytest.mark.parametrize(
    ("auth", "severities"),
    [
        ({"type": "token", "token": "short"}, ["warning"]),
        ({"type": "token", "token": "long enough to be a secret"}, []),
        ({"type": "signature", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, []),
        ({"type": "signature", "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGA"}, []),
        ({"type": "signature", "secret": "whsec_!!"}, ["error"]),
    ],
)
def test_webhook_credentials_are_judged_by_what_they_hold(
    workspace: Workspace, auth: dict[str, object], severities: list[str]
) -> None:
    workspace.credential("crm-hook", {"type": "webhook", "auth": auth})

    assert [finding["severity"] for finding in findings(workspace)] == severities


def test_a_webhook_that_names_an_smtp_credential_is_found(ready: Workspace) -> None:
    ready.flow("flow", "triggers:\n  - webhook: {path: a/b, auth: marketing}\n" + GOOD)
    (found,) = findings(ready)

    assert (found["line"], found["column"], found["code"]) == (2, 32, "reference")
    assert found["message"] == 'credential "marketing" is of type smtp, and webhook is needed here'


def test_an_http_node_that_names_an_smtp_credential_is_found(ready: Workspace) -> None:
    ready.flow("flow", "nodes:\n  - id: a\n    http: {url: 'https://example.com', credential: marketing}\n")
    (found,) = findings(ready)

    assert (found["line"], found["code"]) == (3, "reference")


def test_without_a_key_nothing_is_said_about_types_and_senders(ready: Workspace) -> None:
    ready.flow(
        "flow", "triggers:\n  - webhook: {path: a/b, auth: marketing}\n" + mail(**{"from": "x@example.org"})
    )
    del ready.environ["SOPS_AGE_KEY"]

    assert [found for found in findings(ready) if found["severity"] == "error"] == []


def test_a_credential_that_has_nobody_to_send_from_is_found_where_it_is_named(workspace: Workspace) -> None:
    auth = {"type": "password", "username": "apikey", "password": "correct horse"}
    workspace.smtp("marketing", SERVER, security={"min_tls": "1.2"}, auth=auth)
    workspace.flow("flow", GOOD)
    workspace.flow("other", mail(**{"from": "<<trigger.body.from>>"}))
    (found,) = findings(workspace)

    assert (found["path"], found["line"], found["code"]) == ("flows/flow.yaml", 3, "EADDRESS")


def test_files_that_are_too_large_together_are_found(ready: Workspace) -> None:
    for name in ("a.bin", "b.bin", "c.bin"):
        with ready.write(name, "").open("r+b") as file:
            file.truncate(10_000_000)
    ready.flow("flow", mail(attachments=[{"file": name} for name in ("a.bin", "b.bin", "c.bin")]))
    (found,) = findings(ready)

    assert found["code"] == "ELIMIT"
    assert found["message"] == "attachments pass 25,000,000 bytes in all"


@pytest.mark.parametrize("values", ["", "<<trigger.body.name>>"])
def test_mjml_that_does_not_compile_is_found_at_its_file(ready: Workspace, values: str) -> None:
    ready.write("templates/good.mjml", f"<mjml><mj-body><mj-text>{values}</mj-text></mj-body></mjml>")
    ready.write("templates/bad.mjml", f"<mjml><mj-body><mj-text>{values}</mj-body></mjml>")
    for name in ("good", "bad"):
        ready.flow(name, mail(body_format="html", html_body={"file": f"{name}.mjml"}))
    (found,) = findings(ready)

    assert (found["path"], found["code"]) == ("templates/bad.mjml", "ETEMPLATE")
    assert str(found["message"]).startswith("the MJML cannot be compiled")


def test_mjml_whose_values_make_markup_is_left_to_the_run(ready: Workspace) -> None:
    ready.write(
        "templates/a.mjml", "<mjml><mj-body><<trigger.body.x | safe>><% if vars %></mj-text><% endif %>"
    )
    ready.flow("flow", mail(body_format="html", html_body={"file": "a.mjml"}))

    assert findings(ready) == []


def test_a_value_in_an_attribute_without_quotes_is_a_warning(ready: Workspace) -> None:
    ready.flow("flow", mail(body_format="html", html_body="<p>a</p><p title=<<trigger.body.v>>>b</p>"))
    (found,) = findings(ready)

    assert (found["severity"], found["line"], found["column"]) == ("warning", 9, 36)
    assert found["hint"] == 'put quotes round it: name="<< … >>"'
