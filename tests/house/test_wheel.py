"""What people install: the wheel, in an environment that cannot see the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

DEMO = ("flows/welcome.yaml", "flows/welcome.sample.json", "secrets/demo.yaml", "secrets/demo-key.txt")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def command(*arguments: object, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program as a person does who has no Python settings of their own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=environment | {"HOME": str(cwd)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source archive and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(archives: Path) -> Path:
    [path] = archives.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment: the wheel, and our dependencies without our checkout."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    programs = home / "bin"
    options = ["--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "--python", programs / "python"]
    command(*pip, "install", *options, wheel, cwd=home)
    # A path in a .pth file is searched, but the .pth files in it, such as our editable one, are not read.
    site = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def workspace(folder: Path, nodes: str) -> Path:
    (folder / "flows").mkdir()
    (folder / "flows" / "tiny.yaml").write_text(f"nodes:\n{nodes}")
    return folder


def test_the_wheel_holds_every_schema(wheel: Path) -> None:
    expected = {
        f"runner/_schemas/{path.relative_to(ROOT / 'schemas')}" for path in (ROOT / "schemas").rglob("*.json")
    }

    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("runner/_schemas/")}

    assert names == expected
    assert "runner/_schemas/nodes/smtp.schema.json" in names


def test_the_wheel_holds_the_demo_and_no_other_flow_or_secret(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("runner/_demo/")}

    assert names == {f"runner/_demo/{name}" for name in DEMO}


def test_the_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert [
        name for name in names if not name.startswith(("runner/", f"flowpost-{VERSION}.dist-info/"))
    ] == []
    assert [name for name in names if "__pycache__" in name] == []
    assert "runner/py.typed" in names


def test_the_source_archive_holds_what_the_wheel_and_the_tests_need(archives: Path) -> None:
    [path] = archives.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "pyproject.toml",
        "README.md",
        "schemas/flow.schema.json",
        "tests/conftest.py",
        *DEMO,
    } - names == set()


def test_the_environment_sees_the_wheel_and_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    script = "import runner, sys; print(runner.__file__); print(*sys.path, sep='\\n')"

    place, *path = command(installed / "python", "-c", script, cwd=tmp_path).stdout.splitlines()

    assert Path(place).is_relative_to(installed.parent)
    assert str(ROOT) not in path


@pytest.mark.parametrize("program", [["flowpost"], ["python", "-m", "runner"]], ids=" ".join)
def test_the_installed_program_knows_its_version(installed: Path, tmp_path: Path, program: list[str]) -> None:
    done = command(installed / program[0], *program[1:], "--version", cwd=tmp_path)

    assert done.stdout == f"flowpost {VERSION}\n"


def test_the_installed_program_prints_the_schema_that_editors_get(installed: Path, tmp_path: Path) -> None:
    printed = json.loads(command(installed / "flowpost", "schema", "flow", cwd=tmp_path).stdout)

    assert printed == json.loads((ROOT / "schemas" / "flow.schema.json").read_text(encoding="utf-8"))


def test_the_installed_program_validates_a_good_flow(installed: Path, tmp_path: Path) -> None:
    folder = workspace(tmp_path, "  - {id: greeting, set: {text: hello}}\n")

    done = command(installed / "flowpost", "validate", cwd=folder)

    assert (done.stdout, done.stderr) == ("", "1 flow checked: no findings\n")


def test_the_installed_program_finds_a_mistake(installed: Path, tmp_path: Path) -> None:
    folder = workspace(tmp_path, "  - {id: greeting, smtp: {subjct: hello}}\n")

    done = command(installed / "flowpost", "validate", cwd=folder, expect=1)

    assert "flows/tiny.yaml:2:" in done.stdout
    assert '"subjct"' in done.stdout


def test_the_installed_demo_sends_a_message_and_leaves_nothing_behind(
    installed: Path, tmp_path: Path
) -> None:
    done = command(installed / "flowpost", "demo", cwd=tmp_path)

    assert "delivered" in done.stdout
    assert "Subject:" in done.stdout
    assert list(tmp_path.iterdir()) == []
