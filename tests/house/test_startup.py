"""Help must be quick, so it must not load what only work needs. Times are measured by bench/startup.py."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

from runner.cli.verbs import VERBS

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
    "arguments", [["--version"], ["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert loaded(arguments, tmp_path) & HEAVY == set()


def test_the_list_of_schemas_is_printed_without_anything_heavy_but_their_reader(tmp_path: Path) -> None:
    assert loaded(["schema"], tmp_path) & HEAVY == set()


def test_what_a_program_loads_is_seen(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text("nodes: [{id: a, set: {b: c}}]\n")

    assert "yaml" in loaded(["validate"], tmp_path)


@pytest.fixture
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_startup", ROOT / "bench" / "startup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bench_complains_beyond_five_times_a_bare_python(bench: ModuleType) -> None:
    assert bench.complaint({bench.BARE: 20.0, bench.HELP: 99.0}) == ""
    assert "5.05 times" in bench.complaint({bench.BARE: 20.0, bench.HELP: 101.0})


def test_the_bench_measures_the_help_of_every_verb_and_marks_a_slow_one(bench: ModuleType) -> None:
    medians = dict.fromkeys(bench.programs(), 100.0) | {"flowpost run --help": 151.0}

    table = bench.report(medians)

    assert [verb for verb in VERBS if f"flowpost {verb} --help" not in table] == []
    assert [line.split()[1] for line in table.splitlines() if "over 150 ms" in line] == ["run"]
