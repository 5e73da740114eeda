"""``flowpost plan --against``: what has changed in the rendered messages since a git revision."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from gitspace import LOGIN, SERVER, commit, git
from workspace import Answer, Workspace

FLOW = """
body:
  type: object
  required: [email, name]
  properties: {email: {type: string, format: email}, name: {type: string}, number: {type: integer}}
nodes:
  - id: greet
    smtp:
      credential: main
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      subject: Hi <<trigger.body.name>>
      body_format: html
      body: Hello <<trigger.body.name>>, welcome to <<vars.brand>>.
      html_body: {file: templates/hi.html}
"""
PAGE = "<h1>Hi <<trigger.body.name>></h1>\n<p>one</p>\n<p>two</p>\n<p>three</p>\n<p>four</p>\n<p>Yours, <<vars.brand>></p>\n"


@pytest.fixture
def space(workspace: Workspace) -> Workspace:
    workspace.flow("welcome", FLOW)
    workspace.write("templates/hi.html", PAGE)
    workspace.settings("vars: {brand: Acme}\n")
    workspace.credential(
        "main", {"server": SERVER, "auth": LOGIN, "sender": {"default_from": "post@acme.com"}}
    )
    workspace.write(
        "rows.csv",
        "email,name,number\n" + "".join(f"p{n}@example.com,{n} Person,{n}\n" for n in range(1, 13)),
    )
    commit(workspace.root)
    return workspace


def plan(space: Workspace, *options: str, against: str = "HEAD") -> Answer:
    return space.call("plan", "welcome", "--data", "rows.csv", "--against", against, *options)


def since(space: Workspace, *options: str, against: str = "HEAD") -> Any:
    answer = plan(space, *options, "--format", "json", against=against)
    assert answer.err == ""
    return answer.json["against"]


def diff(found: Any) -> dict[str, list[str]]:
    [change] = found["changes"]
    result: dict[str, list[str]] = change["diff"]
    return result


def edit(space: Workspace, name: str, old: str, new: str) -> None:
    path = space.root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_has_changed(space: Workspace) -> None:
    found = since(space)

    assert (found["unchanged"], found["changed"], found["changes"]) == (12, 0, [])
    assert "12 messages stay as they are" in plan(space).out


def test_a_change_of_the_flow_is_shown_once_for_all_rows(space: Workspace) -> None:
    edit(
        space,
        "flows/welcome.yaml",
        "subject: Hi <<trigger.body.name>>",
        "subject: Hello, <<trigger.body.name>>!",
    )

    answer = plan(space)

    assert answer.code == 0
    assert "12 messages change" in answer.out
    assert "    - Subject: Hi 1 Person\n    + Subject: Hello, 1 Person!\n" in answer.out
    assert "the same change in 11 other messages" in answer.out


def test_a_change_of_a_template_file_shows_html_with_its_surroundings(space: Workspace) -> None:
    edit(space, "templates/hi.html", "Yours", "Kind regards")
    edit(space, "templates/hi.html", "<h1>Hi", "<h1>Dear")

    assert diff(since(space)) == {
        "HTML": [
            "-<h1>Hi 1 Person</h1>",
            "+<h1>Dear 1 Person</h1>",
            " <p>one</p>",
            " <p>two</p>",
            " <p>three</p>",
            " <p>four</p>",
            "-<p>Yours, Acme</p>",
            "+<p>Kind regards, Acme</p>",
        ]
    }


def test_lines_between_two_changes_are_left_out(space: Workspace) -> None:
    edit(space, "templates/hi.html", "<p>three</p>", "\n".join(f"<p>{n}</p>" for n in range(9)))
    commit(space.root)
    edit(space, "templates/hi.html", "<h1>Hi", "<h1>Dear")
    edit(space, "templates/hi.html", "Yours", "Bye")

    lines = diff(since(space))["HTML"]

    assert [line for line in lines if line.startswith("@")] == ["@ line 12"]
    assert lines[2:4] == [" <p>one</p>", " <p>two</p>"]


def test_a_change_of_the_settings_changes_messages_too(space: Workspace) -> None:
    edit(space, "flowpost.yaml", "Acme", "Acme Ltd")

    found = since(space)

    assert found["changed"] == 12
    assert set(diff(found)) == {"text", "HTML"}


def test_a_new_name_of_the_workspace_and_another_delivery_mode_change_no_message(space: Workspace) -> None:
    space.settings("workspace: other\ndelivery: {mode: redirect, to: qa@acme.com}\nvars: {brand: Acme}\n")

    assert since(space)["unchanged"] == 12


def test_different_changes_are_told_apart_and_limited(space: Workspace) -> None:
    edit(
        space,
        "flows/welcome.yaml",
        "subject: Hi",
        "subject: <% if trigger.body.number > 9 %>Late<% elif trigger.body.number > 4 %>Soon<% else %>Hi<% endif %>",
    )

    found = since(space)
    limited = since(space, "--limit", "1")

    assert found["unchanged"] == 4
    assert [(change["row"], change["messages"]) for change in found["changes"]] == [(5, 5), (10, 3)]
    assert [(change["row"], change["messages"]) for change in limited["changes"]] == [(5, 5)]
    assert (limited["more_kinds"], limited["more_messages"]) == (1, 3)
    assert "1 other change in 3 messages; --limit shows more" in plan(space, "--limit", "1").out


def test_a_message_that_is_new_or_gone_is_counted(space: Workspace) -> None:
    edit(space, "flows/welcome.yaml", "    smtp:", "    when: << trigger.body.number > 5 >>\n    smtp:")

    found = since(space)
    commit(space.root)
    edit(space, "flows/welcome.yaml", "number > 5", "number < 10")
    later = since(space)

    assert (found["removed"], found["unchanged"]) == (5, 7)
    assert (later["added"], later["removed"], later["unchanged"]) == (5, 3, 4)
    text = plan(space).out
    assert "5 messages are new; 3 messages are no longer sent; 4 messages stay as they are" in text
    assert "the first that is no longer sent: row 10 (line 11), of node greet" in text


def test_a_recipient_who_is_in_no_header_is_seen(space: Workspace) -> None:
    edit(space, "flows/welcome.yaml", "      subject:", "      bcc: archive@acme.com\n      subject:")

    assert diff(since(space)) == {"headers": ["+Bcc: archive@acme.com"]}


def test_a_renamed_node_is_the_same_message(space: Workspace) -> None:
    edit(space, "flows/welcome.yaml", "id: greet", "id: hello")

    assert since(space)["unchanged"] == 12


def test_an_attachment_is_read_from_the_revision(space: Workspace) -> None:
    edit(
        space,
        "flows/welcome.yaml",
        "      subject:",
        "      attachments: [{file: files/offer.txt}]\n      subject:",
    )
    space.write("files/offer.txt", "old")
    commit(space.root)
    space.write("files/offer.txt", "newer")

    lines = diff(since(space))["attachments"]

    assert [line.partition(", sha")[0] for line in lines] == [
        "-offer.txt (text/plain, 3 bytes",
        "+offer.txt (text/plain, 5 bytes",
    ]


def test_an_attachment_named_by_a_template_is_read_from_the_revision(space: Workspace) -> None:
    edit(space, "flows/welcome.yaml", "      subject:", '      attachments: [{file: "files/<<trigger.body.number>>.txt"}]\n      subject:')  # fmt: skip
    for number in range(1, 13):
        space.write(f"files/{number}.txt", f"old {number}")
    commit(space.root)
    for number in range(1, 13):
        space.write(f"files/{number}.txt", f"newer {number}")

    found = since(space)
    assert found["changed"] == 12
    assert set(diff(found)) == {"attachments"}


def test_rows_that_break_and_rows_that_are_mended(space: Workspace) -> None:
    edit(space, "flows/welcome.yaml", "number: {type: integer}", "number: {type: integer, maximum: 10}")

    found = since(space)
    commit(space.root)
    edit(space, "flows/welcome.yaml", "maximum: 10", "maximum: 11")

    assert (found["broken"], found["unchanged"]) == (2, 10)
    assert since(space)["mended"] == 1
    edit(space, "flows/welcome.yaml", "maximum: 11", "maximum: 9")
    assert "1 row could be sent then and cannot now, first row 10 (line 11)" in plan(space).out


def test_a_new_flow_is_new(space: Workspace) -> None:
    space.flow("other", FLOW)

    answer = space.call("plan", "other", "--data", "rows.csv", "--against", "HEAD")

    assert answer.code == 0
    assert "the flow is new: HEAD has neither flows/other.yaml nor a flow of that name" in answer.out


def test_a_flow_that_moved_is_found_by_its_name(space: Workspace) -> None:
    (space.root / "flows" / "mail").mkdir()
    (space.root / "flows" / "welcome.yaml").rename(space.root / "flows" / "mail" / "welcome.yaml")

    assert since(space)["unchanged"] == 12


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        pytest.param("flows/welcome.yaml", "nodes: [", "the flow has a mistake at HEAD: flows/welcome.yaml:1:", id="flow"),
        pytest.param("flowpost.yaml", "nonsense: 1\n", "flowpost.yaml has a mistake at HEAD: flowpost.yaml:1:1", id="settings"),
        pytest.param("templates/hi.html", "<<trigger.body.nme>>", "the flow has a mistake at HEAD: templates/hi.html:1:", id="template"),
    ],
)  # fmt: skip
def test_mistakes_of_the_revision_are_told_and_the_plan_goes_on(
    space: Workspace, name: str, text: str, told: str
) -> None:
    good = (space.root / name).read_bytes()
    space.write(name, text)
    commit(space.root)
    space.write(name, good)

    answer = plan(space)

    assert answer.code == 0
    assert told in answer.out
    assert "12 messages for 12 rows" in answer.out


def test_a_workspace_below_the_repository(tmp_path: Path, space: Workspace) -> None:
    git_folder = space.root / ".git"
    above = space.root.parent
    for entry in git_folder.rglob("index"):
        entry.unlink()
    git_folder.rename(above / ".git")
    commit(above)
    edit(space, "flows/welcome.yaml", "subject: Hi", "subject: Hello")

    assert since(space)["changed"] == 12


def test_any_name_of_a_revision_will_do(space: Workspace) -> None:
    first = git(space.root, "rev-parse", "HEAD")
    git(space.root, "tag", "v1")
    edit(space, "flows/welcome.yaml", "subject: Hi", "subject: Hello")
    commit(space.root)

    found = {
        name: since(space, against=name)["changed"]
        for name in ("HEAD~1", "v1", first[:10], "main", ":/change")
    }

    assert found == {"HEAD~1": 12, "v1": 12, first[:10]: 12, "main": 0, ":/change": 0}


@pytest.mark.parametrize("name", ["-x", "--output=/tmp/x", "", " ", "a\nb", "x" * 300])
def test_what_is_no_revision_never_reaches_git(space: Workspace, name: str) -> None:
    answer = plan(space, against=name)

    assert answer.code == 2
    assert "is not a git revision" in answer.err


@pytest.mark.parametrize(
    "name", ["nowhere", "HEAD~99", "HEAD:flows", "v1; touch x", "$(touch x)", "deadbeef"]
)
def test_an_unknown_revision_is_told_with_a_hint(space: Workspace, name: str) -> None:
    answer = plan(space, against=name)

    assert answer.code == 2
    assert f'git knows no revision "{name}"' in answer.err
    assert "hint: git log" in answer.err
    assert not (space.root / "x").exists()


def test_a_shallow_clone_says_how_to_fetch(space: Workspace, tmp_path: Path) -> None:
    commit(space.root)
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{space.root}", str(tmp_path / "clone"))
    space.root = tmp_path / "clone"
    space.write("rows.csv", "email,name\na@b.com,Ann\n")

    answer = plan(space, against="HEAD~1")

    assert answer.code == 2
    assert "this clone is shallow: fetch the revision first" in answer.err


def test_a_partial_clone_fetches_nothing_and_says_so(space: Workspace, tmp_path: Path) -> None:
    edit(space, "templates/hi.html", "Yours", "Bye")
    commit(space.root)
    git(space.root, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{space.root}", str(tmp_path / "clone"))
    space.root = tmp_path / "clone"
    space.write("rows.csv", "email,name\na@b.com,Ann\n")

    answer = plan(space, against="HEAD~1")

    assert answer.code == 2
    assert "a partial clone leaves files out" in answer.err


def test_a_workspace_that_did_not_exist_then(space: Workspace) -> None:
    git(space.root, "checkout", "-q", "--orphan", "empty")
    git(space.root, "rm", "-q", "-r", "--cached", ".")
    git(space.root, "commit", "-q", "--allow-empty", "-m", "nothing")

    answer = plan(space)

    assert answer.code == 0
    assert "the flow is new" in answer.out


def test_outside_of_a_repository(workspace: Workspace, tmp_path: Path) -> None:
    workspace.flow("welcome", FLOW.replace("{file: templates/hi.html}", "x").replace("<<vars.brand>>", "us"))
    workspace.write("rows.csv", "email,name\na@b.com,Ann\n")
    workspace.environ["GIT_CEILING_DIRECTORIES"] = str(tmp_path)

    answer = plan(workspace)

    assert answer.code == 2
    assert "is not in a git repository" in answer.err


def test_without_git(space: Workspace, tmp_path: Path) -> None:
    space.environ["PATH"] = str(tmp_path / "empty")

    answer = plan(space)

    assert answer.code == 2
    assert "--against needs git, which is not installed" in answer.err


def test_the_variables_of_a_git_hook_lead_nowhere_else(space: Workspace, tmp_path: Path) -> None:
    space.environ["GIT_DIR"] = str(tmp_path)
    space.environ["GIT_INDEX_FILE"] = str(tmp_path / "index")

    assert since(space)["unchanged"] == 12


def test_nothing_of_the_work_tree_or_the_repository_is_touched(space: Workspace) -> None:
    edit(space, "flows/welcome.yaml", "subject: Hi", "subject: Hello")
    before = {
        path: path.stat().st_mtime_ns for path in sorted(space.root.rglob("*")) if "state" not in path.name
    }

    plan(space)

    after = {
        path: path.stat().st_mtime_ns for path in sorted(space.root.rglob("*")) if "state" not in path.name
    }
    assert {
        path for path in after if before.get(path) != after[path] and ".flowpost" not in str(path)
    } == set()


def test_no_credential_of_the_revision_is_taken(space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from runner.plan.revision import workspace_at

    with workspace_at(space.root, "HEAD", os.environ) as revision:
        revision.take(["."], without=["secrets"])

        assert (revision.root / "templates" / "hi.html").read_text() == PAGE
        assert not (revision.root / "secrets").exists()
        folder = revision.root
    assert not folder.exists()


def test_a_link_in_the_revision_that_leads_out_is_left_out(space: Workspace) -> None:
    from runner.plan.revision import workspace_at

    (space.root / "templates" / "out").symlink_to("/etc/passwd")
    (space.root / "templates" / "up").symlink_to("../../../x")
    (space.root / "templates" / "in").symlink_to("hi.html")
    commit(space.root)

    with workspace_at(space.root, "HEAD", os.environ) as revision:
        revision.take(["templates"])

        assert sorted(path.name for path in (revision.root / "templates").iterdir()) == ["hi.html", "in"]
        assert (revision.root / "templates" / "in").read_text() == PAGE


def test_a_tree_that_holds_a_name_twice_writes_nothing_outside(space: Workspace, tmp_path: Path) -> None:
    """A link, and a folder of the same name: what lies in the folder must not go through the link."""
    from runner.plan.revision import workspace_at

    outside = tmp_path / "outside"
    outside.mkdir()
    blob = git(space.root, "hash-object", "-w", "--stdin", given="evil")
    link = git(space.root, "hash-object", "-w", "--stdin", given=str(outside))
    up = git(space.root, "hash-object", "-w", "--stdin", given="../flows")
    inner = git(space.root, "mktree", given=f"100644 blob {blob}\tx\n")
    made = git(space.root, "mktree", given=f"120000 blob {link}\tout\n040000 tree {inner}\tout\n120000 blob {up}\tup\n040000 tree {inner}\tup\n")  # fmt: skip
    root = git(space.root, "mktree", given=f"040000 tree {made}\ttemplates\n")
    evil = git(space.root, "commit-tree", root, "-m", "evil")

    with workspace_at(space.root, evil, os.environ) as revision:
        revision.take(["."])

        inside = {path.relative_to(revision.root).as_posix() for path in revision.root.rglob("*")}
    assert list(outside.iterdir()) == []
    assert "templates/out/x" in inside


def test_a_revision_with_too_many_files_is_refused(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.plan.revision.MAX_FILES", 1)

    answer = plan(space)

    assert answer.code == 2
    assert "HEAD has more than 1 files in flows, templates: too many to compare" in answer.err
