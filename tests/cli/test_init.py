"""A new workspace runs at once, and sends nothing until its owner says so."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


def test_a_new_workspace_validates_and_runs(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "mail"]) == 0
    assert main(["-C", "mail", "validate"]) == 0
    capsys.readouterr()
    arguments = ["-C", "mail", "run", "welcome", "--set", "name=Ann", "--set", "email=ann@example.com"]
    code = main(arguments)
    out, err = capsys.readouterr()

    assert code == 0, out + err
    assert "Welcome to Acme, Ann!" in out
    assert "nothing was sent" in err


def test_the_key_is_private_and_outside_the_repository(home: Path, tmp_path: Path) -> None:
    main(["init", "mail"])
    key = home / ".config" / "sops" / "age" / "keys.txt"

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    identity = next(line for line in key.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))
    texts = [path.read_bytes() for path in (tmp_path / "mail").rglob("*") if path.is_file()]
    assert not any(identity.encode() in text for text in texts)
    assert not any(b"replace-me" in text for text in texts)


def test_a_second_workspace_uses_the_key_that_is_there(home: Path, tmp_path: Path) -> None:
    main(["init", "one"])
    key = (home / ".config" / "sops" / "age" / "keys.txt").read_bytes()
    main(["init", "two"])

    assert (home / ".config" / "sops" / "age" / "keys.txt").read_bytes() == key
    assert (tmp_path / "one" / ".sops.yaml").read_text() == (tmp_path / "two" / ".sops.yaml").read_text()


@pytest.mark.parametrize("name", ["flowpost.yaml", "flows/welcome.yaml", ".sops.yaml", "secrets/mail.yaml"])
def test_nothing_that_is_there_is_overwritten(
    home: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mail" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    code = main(["init", "mail"])

    assert code == 2
    assert name in capsys.readouterr().err
    assert [path for path in (tmp_path / "mail").rglob("*") if path.is_file()] == [mine]


def test_a_gitignore_that_is_there_keeps_its_lines(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / ".gitignore").write_text("node_modules/\n")
    assert main(["init", "mail"]) == 0

    lines = (tmp_path / "mail" / ".gitignore").read_text().splitlines()
    assert "node_modules/" in lines
    assert ".flowpost/" in lines


def test_a_folder_that_cannot_be_written_is_wrong_usage(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert main(["init", "file/mail"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_schema_that_init_writes_is_the_one_that_flows_name(home: Path, tmp_path: Path) -> None:
    from runner import schema

    main(["init", "mail"])
    first = (tmp_path / "mail" / "flows" / "welcome.yaml").read_text().splitlines()[0]
    named = first.partition("$schema=")[2]

    import json

    assert json.loads((tmp_path / "mail" / "flows" / named).read_text()) == schema.load("flow")
