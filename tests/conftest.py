"""What every test may ask for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest_plugins = ["template_fixtures", "databases"]

ROOT = Path(__file__).resolve().parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"


def corpus(relative: str) -> list[dict[str, object]]:
    """The cases of one public corpus file, or one marked case that skips where the corpora are absent."""
    path = CORPORA / relative
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


needs_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason="../shared/corpora is not here")


def missing_tool(name: str, how: str) -> None:
    """Skip a test for want of a tool, except in CI, where nothing may be skipped for that."""
    text = f"{name} is not here: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew; read the diff afterwards"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are written instead of compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No variable of the person running the tests reaches flowpost, and no identity of theirs."""
    for name in list(os.environ):
        if name.startswith(("FLOWPOST_", "SOPS_")) or name in ("XDG_CONFIG_HOME", "NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture
def anyio_backend() -> str:
    """Async tests (``async def test_…``) run on asyncio."""
    return "asyncio"


@pytest.fixture
def workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """An empty workspace with a key of its own."""
    from workspace import Workspace

    return Workspace(tmp_path / "acme", capsys, monkeypatch)
