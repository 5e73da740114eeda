"""The GitHub Actions job of docs/batch.md, run step by step in a shell, as the runner does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from batching import addresses, contacts, lines, prepare, smtp_server, to
from postgres import Postgres
from workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def job() -> dict[str, Any]:
    text = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    found = next(block for block in blocks if "runs-on" in block)
    parsed = yaml.safe_load(found)
    assert isinstance(parsed, dict)
    send = parsed["jobs"]["send"]
    assert isinstance(send, dict)
    return send


def filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: values[match[1]], text)


def run(workspace: Workspace, values: dict[str, str]) -> list[subprocess.CompletedProcess[str]]:
    """Every step that is a command, with the job's environment; the package is there already."""
    environ = {name: filled(value, values) for name, value in job()["env"].items()}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(workspace.root.parent),
        "CI": "true",
    }
    done = []
    for step in job()["steps"]:
        if "run" in step and not step["run"].startswith("pip install"):
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", filled(step["run"], values)]
            done.append(
                subprocess.run(
                    command,
                    cwd=workspace.root,
                    env=environ,
                    capture_output=True,
                    text=True,
                    timeout=120,
                    check=False,
                )
            )
    return done


def test_the_job_mails_everybody_once_however_often_it_is_run(
    workspace: Workspace, postgresql: Postgres
) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        contacts(workspace, 25)
        values = {
            "secrets.SOPS_AGE_KEY": workspace.identity,
            "secrets.FLOWPOST_DATABASE": postgresql.fresh(),
            "inputs.issue": "2026-11",
        }
        for _ in range(2):
            steps = run(workspace, values)
            assert len(steps) == 3
            assert [step.returncode for step in steps] == [0, 0, 0], [step.stderr for step in steps]
            # The runner's disk is new for each job.
            assert not (workspace.root / ".flowpost" / "state.db").exists()
        assert to(server) == dict.fromkeys(addresses(25), 1)
    assert {line["status"] for line in lines(workspace.root / "report.ndjson")} == {"already_sent"}
