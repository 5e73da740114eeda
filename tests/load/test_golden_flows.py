"""Golden files: what ``load`` says of wrong flows, to the letter, and that it is silent about right ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.diagnostic import Diagnostic, Invalid
from runner.load import load_flow, read_flow
from runner.model import Settings

FLOWS = Path(__file__).resolve().parent.parent / "flows"
WRONG = sorted((FLOWS / "err").glob("*.yaml"))
RIGHT = sorted((FLOWS / "ok").glob("*.yaml"))
SETTINGS = Settings(vars={"brand": "Acme"})


def told(finding: Diagnostic) -> str:
    hint = f"  hint: {finding.hint}\n" if finding.hint else ""
    return f"{finding}\n{hint}"


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_flow_gets_exactly_these_findings(path: Path, update_golden: bool) -> None:
    with pytest.raises(Invalid) as caught:
        load_flow(FLOWS, path, SETTINGS)

    found = "".join(told(finding) for finding in caught.value.diagnostics)
    golden = path.with_suffix(".out")
    if update_golden:
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_a_right_flow_loads_in_silence(path: Path) -> None:
    assert read_flow(FLOWS, path, SETTINGS).warnings == ()


def test_there_are_cases() -> None:
    assert len(WRONG) >= 40
    assert len(RIGHT) >= 5


def test_no_golden_file_is_left_without_its_case() -> None:
    assert sorted(path.stem for path in (FLOWS / "err").glob("*.out")) == sorted(path.stem for path in WRONG)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_findings_speak_with_one_voice(path: Path) -> None:
    """Lower case, no full stop, one line, a place inside the file, never the name of a Python class."""
    with pytest.raises(Invalid) as caught:
        load_flow(FLOWS, path, SETTINGS)

    lines = path.read_text(encoding="utf-8").count("\n") + 1
    for finding in caught.value.diagnostics:
        assert finding.message
        assert finding.message[0] == finding.message[0].lower() or finding.message.split()[0] == "TRUE"
        assert not finding.message.endswith(".")
        assert "\n" not in finding.message
        assert "<class" not in finding.message
        assert "Error" not in finding.message
        assert 1 <= finding.line <= lines
        assert finding.column >= 1
        assert finding.path == f"err/{path.name}"
