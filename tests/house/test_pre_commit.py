"""The hooks: ours before a commit, and the one that repositories with flows take from us."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from conftest import ROOT

from runner.cli.verbs import VERBS

OURS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
THEIRS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


def hook(name: str) -> dict[str, Any]:
    [found] = [item for repository in OURS for item in repository["hooks"] if item["id"] == name]
    return dict(found)


def test_our_hooks_need_nothing_but_the_environment_of_the_project() -> None:
    assert {repository["repo"] for repository in OURS} == {"local"}
    hooks = [item for repository in OURS for item in repository["hooks"]]
    assert {item["language"] for item in hooks} == {"system"}
    assert [item["id"] for item in hooks if not shlex.split(item["entry"])[0].startswith(".venv/bin/")] == []


def test_what_make_checks_is_checked_before_a_commit() -> None:
    tools = {shlex.split(item["entry"])[0] for repository in OURS for item in repository["hooks"]}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checks = set(re.findall(r"^\t\$\(BIN\)/(ruff|mypy|lint-imports)", makefile, re.MULTILINE))

    assert checks == {"ruff", "mypy", "lint-imports"}
    assert {f".venv/bin/{name}" for name in checks} - tools == set()


def test_the_hook_for_other_repositories_runs_a_verb_that_exists() -> None:
    [theirs] = THEIRS
    program, verb = shlex.split(theirs["entry"])

    assert (theirs["id"], theirs["language"], program) == ("flowpost-validate", "python", "flowpost")
    assert verb in VERBS


@pytest.mark.parametrize(
    "path", ["flows/a.yaml", "flows/crm/a.yaml", "mail/flows/a.yaml", "templates/a.html"]
)
def test_the_hook_runs_when_a_file_of_a_workspace_changes(path: str) -> None:
    assert re.search(THEIRS[0]["files"], path)


@pytest.mark.parametrize("path", ["secrets/a.yaml", "flowpost.yaml", ".sops.yaml", "mail/.sops.yaml"])
def test_the_hook_runs_when_secrets_or_settings_change(path: str) -> None:
    assert re.search(THEIRS[0]["files"], path)


@pytest.mark.parametrize("path", ["README.md", "src/workflows/a.yaml", "notflowpost.yaml", "docs/flows.md"])
def test_the_hook_sleeps_when_other_files_change(path: str) -> None:
    assert not re.search(THEIRS[0]["files"], path)


def test_our_own_flows_are_validated_before_a_commit() -> None:
    assert shlex.split(hook("flowpost-validate")["entry"])[1] == "validate"
