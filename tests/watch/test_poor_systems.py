"""A system that refuses: no inotify watches or instances left, or files that may not be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, missing_tool


def flow(text: str) -> str:
    return f'nodes:\n  - id: a\n    set: {{text: "{text}"}}\n'


def shown(**texts: str) -> str:
    return json.dumps(texts, sort_keys=True)


def poor(root: Path, changes: list[tuple[str, str, str]], *, limit: str = "", bound: bool = False) -> Any:
    """``limit``: a file of /proc/sys/user and its value, set in a user namespace, so that nobody else is hurt.

    ``bound``: file modes hold for root too.
    """
    given = json.dumps({"root": str(root), "changes": changes})
    command = [sys.executable, str(Path(__file__).with_name("poor.py")), given]
    if limit:
        name, value = limit.split()
        inner = f'echo {value} > /proc/sys/user/{name} && exec "$@"'
        command = ["unshare", "-Ur", "sh", "-c", inner, "sh", *command]
    if bound and os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            missing_tool("setpriv", "install util-linux")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def can_unshare() -> None:
    inner = ["unshare", "-Ur", "sh", "-c", "echo 5 > /proc/sys/user/max_inotify_watches"]
    if shutil.which("unshare") is None or subprocess.run(inner, capture_output=True, check=False).returncode:
        pytest.skip("this system gives no user namespaces")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "acme"
    for name in ("a", "sub/x", "sub/y/z"):
        path = root / "flows" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(flow("1"))
    return root


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("max_inotify_watches 0", "inotify watch limit reached"),
        ("max_inotify_instances 0", "inotify instance limit reached"),
        ("max_inotify_watches 3", ""),
    ],
    ids=["no watches", "no instances", "too few watches for the folders inside"],
)
def test_without_inotify_changes_are_found_by_looking_and_the_log_says_so_once(
    root: Path, limit: str, reason: str
) -> None:
    can_unshare()
    changes = [
        ("flows/sub/y/z.yaml", flow("2"), shown(a="1", x="1", z="2")),
        ("flows/sub/y/z.yaml", flow("3"), shown(a="1", x="1", z="3")),
        ("flows/a.yaml", flow("4"), shown(a="4", x="1", z="3")),
        ("flows/sub/y/z.yaml", flow("5"), shown(a="4", x="1", z="5")),
    ]

    answer = poor(root, changes, limit=limit)

    assert min(answer["seconds"]) >= 0, answer
    told = [line for line in answer["log"] if "file events do not reach" in line]
    assert len(told) == 1, answer["log"]
    assert reason in told[0]


def test_a_file_that_may_no_longer_be_read_keeps_its_flow_until_it_may_again(root: Path) -> None:
    all_one = shown(a="1", x="1", z="1")

    answer = poor(
        root,
        [
            ("flows/a.yaml", "mode 000", all_one),
            ("flows/sub/x.yaml", flow("2"), shown(a="1", x="2", z="1")),
            ("flows/sub", "mode 000", shown(a="1", x="2", z="1")),
        ],
        bound=True,
    )

    assert min(answer["seconds"]) >= 0, answer
    assert answer["stale"] == ["a", "x", "z"]
    assert [line.split(": ")[0] for line in answer["findings"]] == ["flows/a.yaml:1:1", "flows/sub:1:1"]


def test_a_flows_folder_that_may_no_longer_be_read_is_a_fault_until_it_may_again(root: Path) -> None:

    answer = poor(
        root,
        [
            ("flows", "mode 000", shown(a="1", x="1", z="1")),
            ("flows", "mode 755", shown(a="1", x="1", z="1")),
            ("flows/a.yaml", flow("2"), shown(a="2", x="1", z="1")),
        ],
        bound=True,
    )

    assert min(answer["seconds"]) >= 0, answer
    assert (answer["stale"], answer["findings"]) == ([], [])
