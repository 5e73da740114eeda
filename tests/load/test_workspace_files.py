"""Finding a workspace and its flow files, on a disk that others write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.diagnostic import Invalid
from runner.errors import UsageError
from runner.load import find_workspace, load_flow, load_flows, load_settings
from runner.model import Settings

FLOW = "nodes:\n  - id: a\n    set: {a: 1}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    (folder / "flows").mkdir(parents=True)
    return folder


def write(root: Path, name: str, text: str = FLOW) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def loaded(root: Path, **kwargs: object) -> tuple[list[str], list[str]]:
    found = load_flows(root, Settings(), **kwargs)  # type: ignore[arg-type]
    return sorted(found.flows), [str(finding) for finding in found.diagnostics]


def test_a_workspace_is_the_first_folder_above_with_settings_or_flows(root: Path) -> None:
    deep = root / "flows" / "a" / "b"
    deep.mkdir(parents=True)

    assert find_workspace(deep) == root
    write(root, "flows/a/flowpost.yaml", "")
    assert find_workspace(deep) == root / "flows" / "a"


def test_without_a_workspace_the_user_is_told_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "flows").write_text("a file", encoding="utf-8")

    with pytest.raises(UsageError) as caught:
        find_workspace(tmp_path)

    assert "flowpost init" in (caught.value.hint or "")


def test_flows_are_found_at_every_depth_and_tests_and_hidden_files_are_left_out(root: Path) -> None:
    for name in ("a.yaml", "sub/b.yml", "sub/deep/c.yaml"):
        write(root, f"flows/{name}")
    for name in (
        "a.test.yaml",
        "x.test.yml",
        ".hidden.yaml",
        ".git/d.yaml",
        "a.yaml~",
        "notes.txt",
        ".#a.yaml",
        "a.yaml.swp",
    ):
        write(root, f"flows/{name}", "not: a flow\n")

    found = load_flows(root, Settings())

    assert found.diagnostics == ()
    assert sorted(found.flows) == ["a", "b", "c"]
    assert found.files == ("flows/a.yaml", "flows/sub/b.yml", "flows/sub/deep/c.yaml")
    assert found.flows["b"].path == "flows/sub/b.yml"


def test_one_wrong_flow_does_not_hide_the_others(root: Path) -> None:
    write(root, "flows/good.yaml")
    write(root, "flows/bad.yaml", "nodes: 5\n")

    names, findings = loaded(root)

    assert names == ["good"]
    assert findings == ['flows/bad.yaml:1:8: error: 5 is a number, expected a list for "nodes" [schema]']


def test_two_flows_of_one_name_are_told_at_both_places_and_neither_is_loaded(root: Path) -> None:
    write(root, "flows/a.yaml", f"description: x\nname: same\n{FLOW}")
    write(root, "flows/sub/same.yaml")
    write(root, "flows/other.yaml")

    names, findings = loaded(root)

    assert names == ["other"]
    assert findings == [
        'flows/a.yaml:2:7: error: the flow name "same" is taken by flows/sub/same.yaml:1 too [duplicate]',
        'flows/sub/same.yaml:1:1: error: the flow name "same" is taken by flows/a.yaml:2 too [duplicate]',
    ]


def test_one_webhook_path_in_two_flows_is_told_at_both_places(root: Path) -> None:
    hook = "triggers: [{webhook: {path: crm/contact, auth: none}}]\n"
    write(root, "flows/a.yaml", hook + FLOW)
    write(root, "flows/b.yaml", f"# b\n{hook}{FLOW}")

    names, findings = loaded(root)

    assert names == []
    assert findings == [
        'flows/a.yaml:1:29: error: the webhook path "crm/contact" is taken by flows/b.yaml:2 too [duplicate]',
        'flows/b.yaml:2:29: error: the webhook path "crm/contact" is taken by flows/a.yaml:1 too [duplicate]',
    ]


def test_only_the_files_that_are_named_are_looked_at(root: Path) -> None:
    write(root, "flows/a.yaml")
    write(root, "flows/b.yaml", "nodes: 5\n")

    assert loaded(root, only=["flows/a.yaml"]) == (["a"], [])


def test_a_link_out_of_the_workspace_is_not_followed(root: Path) -> None:
    outside = write(root.parent, "outside/secret.yaml")
    (root / "flows" / "link.yaml").symlink_to(outside)
    (root / "flows" / "folder").symlink_to(outside.parent)

    names, findings = loaded(root)

    assert names == []
    assert [finding.split(": error: ")[1] for finding in findings] == [
        "the link leads out of the workspace and is not followed [yaml]"
    ] * 2
    with pytest.raises(Invalid, match="leads out of the workspace"):
        load_flow(root, root / "flows" / "link.yaml", Settings())


def test_a_config_map_with_its_links_is_read_once(root: Path) -> None:
    """Kubernetes: flows/a.yaml -> ..data/a.yaml, ..data -> ..2026_01_01/."""
    write(root, "flows/..2026_01_01/a.yaml")
    (root / "flows" / "..data").symlink_to("..2026_01_01")
    (root / "flows" / "a.yaml").symlink_to("..data/a.yaml")

    assert loaded(root) == (["a"], [])


def test_a_workspace_behind_a_link_is_read(root: Path) -> None:
    """git-sync: current -> a work tree."""
    write(root, "flows/a.yaml")
    link = root.parent / "current"
    link.symlink_to(root)

    assert loaded(link) == (["a"], [])
    assert load_flow(link, link / "flows" / "a.yaml", Settings()).path == "flows/a.yaml"
    assert load_settings(link, {}) == Settings()


def test_links_in_a_circle_end(root: Path) -> None:
    write(root, "flows/sub/a.yaml")
    (root / "flows" / "sub" / "again").symlink_to("..")
    (root / "flows" / "self.yaml").symlink_to("self.yaml")

    names, findings = loaded(root)

    assert names == ["a"]
    assert len(findings) == 1
    assert "flows/self.yaml" in findings[0]


@pytest.mark.timeout(20)
def test_a_pipe_or_a_folder_in_place_of_a_flow_is_an_error_and_blocks_nothing(root: Path) -> None:
    os.mkfifo(root / "flows" / "pipe.yaml")
    (root / "flows" / "folder.yaml").mkdir()
    write(root, "flows/folder.yaml/a.yaml")

    assert loaded(root) == (["a"], ["flows/pipe.yaml:1:1: error: this is not a regular file [yaml]"])


def test_a_device_is_refused(root: Path) -> None:
    (root / "flows" / "zero.yaml").symlink_to("/dev/zero")

    with pytest.raises(Invalid, match="leads out"):
        load_flow(root, root / "flows" / "zero.yaml", Settings())


def test_a_file_that_is_too_large_is_refused_without_being_read_whole(root: Path) -> None:
    path = root / "flows" / "large.yaml"
    with path.open("wb") as file:
        file.truncate(5 * 1024**3)

    with pytest.raises(Invalid, match="1 MiB"):
        load_flow(root, path, Settings())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(root: Path) -> None:
    write(root, "flows/a.yaml").chmod(0)

    assert "permission denied" in loaded(root)[1][0]


def test_a_flows_folder_that_is_not_there_is_an_error(root: Path) -> None:
    (root / "flows").rmdir()

    assert loaded(root) == ([], ['flows:1:1: error: the folder "flows" is not there [yaml]'])


def test_a_file_that_is_gone_is_an_error(root: Path) -> None:
    with pytest.raises(Invalid, match="no such file"):
        load_flow(root, root / "flows" / "gone.yaml", Settings())


def test_a_flow_may_be_named_from_the_current_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "flows/sub/a.yaml")
    monkeypatch.chdir(root / "flows" / "sub")

    assert load_flow(root, Path("a.yaml"), Settings()).path == "flows/sub/a.yaml"
    assert load_flow(root, Path("flows/sub/a.yaml"), Settings()).path == "flows/sub/a.yaml"
