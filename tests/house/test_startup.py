"""Help must be quick, so it must not load what only work needs. Times are measured by bench/startup.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli.main import COMMANDS

HEAVY = {
    "aiosmtplib",
    "asyncio",
    "cryptography",
    "css_inline",
    "httpcore",
    "httpx",
    "jinja2",
    "jsonschema",
    "mjml",
    "pyrage",
    "re2",
    "rich",
    "sqlite3",
    "ssl",
    "watchdog",
    "yaml",
}

SCRIPT = """
import json, sys
from runner.cli.main import main
code = main(json.loads(sys.argv[1]))
print("\\n" + json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def loaded(arguments: list[str], folder: Path) -> set[str]:
    """The packages that are loaded once ``flowpost ARGUMENTS`` is done, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(names)


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], *([verb, "--help"] for verb in COMMANDS)], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert loaded(arguments, tmp_path) & HEAVY == set()


def test_the_list_of_schemas_is_printed_without_anything_heavy_but_their_reader(tmp_path: Path) -> None:
    assert loaded(["schema"], tmp_path) & HEAVY == set()


def test_what_a_program_loads_is_seen(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text("nodes: [{id: a, set: {b: c}}]\n")

    assert "yaml" in loaded(["validate"], tmp_path)
