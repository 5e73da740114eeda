"""The house rules that a linter does not know."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT, missing_tool
from imports import cycles, imported, modules

from runner import errors

RUNNER = modules(ROOT / "runner")
SPEC = ROOT.parent / "shared" / "SPEC.md"
BIN = Path(sys.executable).parent

ONLY = {
    "aiosmtplib": ("runner.smtp",),
    "httpx": ("runner.net",),
    "httpcore": ("runner.net",),
    "yaml": ("runner.source", "runner.secret"),
    "jinja2": ("runner.template",),
    "jsonschema": ("runner.schema",),
    "pyrage": ("runner.secret",),
}
"""Which room alone may import a library; above it, nobody meets its values and exceptions."""

COMES_ALONG = {
    "certifi": "httpx",
    "jsonschema_specifications": "jsonschema",
    "markupsafe": "jinja2",
    "referencing": "jsonschema",
}
"""Imported packages that a declared dependency needs itself."""

OUTSIDE_THE_TABLE = {"EINTERNAL", "EUSAGE", "ECONFIG", "ECONFLICT", "EUNAVAILABLE"}
"""Codes that no node of a run fails with: of what ends a command, and of events that are not taken."""


def tracked() -> list[Path]:
    """The files that git knows and that are here."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        missing_tool("git", "install git")
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def belongs(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


@cache
def imports_of_runner() -> dict[str, list[tuple[str, int]]]:
    return {name: list(imported(path, name, RUNNER)) for name, path in RUNNER.items()}


def foreign_imports() -> Iterator[tuple[str, str, int]]:
    """(module of runner, top-level package imported, line), without runner's own."""
    for name, found in imports_of_runner().items():
        for target, line in found:
            if (top := target.partition(".")[0]) != "runner":
                yield name, top, line


def test_no_module_is_over_400_lines() -> None:
    sizes = {name: length(path) for name, path in RUNNER.items()}
    long = {name: size for name, size in sizes.items() if size > 400}
    growing = {name: size for name, size in sizes.items() if 300 < size <= 400}

    assert long == {}, f"look for the second subject; near the limit: {growing}"


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}

    assert [name for name in RUNNER if drawers & {part.strip("_") for part in name.split(".")}] == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {
        name: {target for target, _ in found if target in RUNNER and target != name}
        for name, found in imports_of_runner().items()
    }

    found = [" -> ".join(members) for members in cycles(graph)]

    assert found == [], "\n".join(found)


def test_the_search_finds_every_cycle_and_only_cycles() -> None:
    assert cycles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == [["b", "c", "b"], ["d", "d"]]


def test_an_import_is_seen_wherever_it_stands_but_not_for_the_type_checker(tmp_path: Path) -> None:
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("from . import door\n")
    (room / "door.py").write_text(
        "def f():\n    import yaml\nif TYPE_CHECKING:\n    import jinja2\nfrom .. import x\n"
    )
    known = modules(tmp_path / "house")

    assert [list(imported(known[name], name, known)) for name in ("house.room", "house.room.door")] == [
        [("house.room.door", 1)],
        [("house", 5), ("yaml", 2)],
    ]


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_by_its_room_alone(library: str) -> None:
    strangers = [
        f"{module}:{line}"
        for module, top, line in foreign_imports()
        if top == library and not belongs(module, ONLY[library])
    ]

    assert strangers == [], f"only {' and '.join(ONLY[library])} may import {library}"


def test_everything_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    distributions = {re.split(r"[<>=~!\[ ]", item)[0].lower() for item in project["dependencies"]}
    as_imported = {"google-re2": "re2", "mjml-python": "mjml", "pyyaml": "yaml"}
    declared = {as_imported.get(name, name.replace("-", "_")) for name in distributions}

    undeclared = {
        f"{top} in {module}:{line}"
        for module, top, line in foreign_imports()
        if top not in sys.stdlib_module_names and COMES_ALONG.get(top, top) not in declared
    }
    assert undeclared == set()


def test_mocks_are_used_nowhere() -> None:
    found = []
    for path in tracked():
        if path.suffix == ".py":
            named = {target for target, _ in imported(path, path.stem, {"unittest.mock": path})}
            found += [path.name] if named & {"unittest.mock", "mock"} else []

    assert found == [], "write a small fake of our own contract, or use a real server"


def test_only_the_command_line_prints() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, path in RUNNER.items()
        if not belongs(name, ("runner.cli",))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert found == []


def test_no_file_names_a_workplace_or_a_registry() -> None:
    # Put together here, so that this file does not find itself.
    hosts = [
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
    ]
    hosts += [("proxy", "golang", "org"), ("crates", "io")]
    words = [re.escape(".".join(host)) for host in hosts]
    words += [rf"(?<![\w.$}}-]){re.escape('/' + 'work')}(?![\w-])", "-".join(("farm", "(bench|studio)"))]
    denied = re.compile("|".join(words), re.IGNORECASE)
    assert denied.search(f"cd /{'work'}/main")
    assert not denied.search("docs/workspace, a/work, /worker")

    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in denied.finditer(text)]

    assert found == []


def test_the_linter_asks_for_a_docstring_of_everything_public() -> None:
    bare = "def f():\n    return 1\n\n\nclass A:\n    def g(self):\n        return 2\n"
    command = [
        BIN / "ruff",
        "check",
        "--output-format=concise",
        "--no-cache",
        "--stdin-filename",
        "runner/bare.py",
        "-",
    ]

    done = subprocess.run(command, input=bare, cwd=ROOT, capture_output=True, text=True, check=False)

    assert {"D100", "D101", "D102", "D103"} <= set(re.findall(r"\bD\d+\b", done.stdout)), (
        done.stdout + done.stderr
    )


def test_every_error_code_is_in_the_contract() -> None:
    if not SPEC.exists():
        pytest.skip("../shared/SPEC.md is not here")
    section = SPEC.read_text(encoding="utf-8").partition("## 7. Errors")[2].partition("\n## ")[0]
    promised = set(re.findall(r"^\| `(E[A-Z]+)` \|", section, re.MULTILINE))

    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.FlowpostError)
    ]

    assert {kind.code for kind in kinds} - OUTSIDE_THE_TABLE == promised


def test_test_modules_have_names_of_their_own() -> None:
    """Two of one name in different folders cannot be collected in one run."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]

    assert sorted(name for name in set(names) if names.count(name) > 1) == []
