"""The loop that is made where uvloop is installed, and where it is not."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from conftest import ROOT
from servers.loops import anyio_backend  # noqa: F401

from runner.loops import loop_factory


async def test_these_tests_run_on_the_loop_that_they_name(request: pytest.FixtureRequest) -> None:
    module = type(asyncio.get_running_loop()).__module__

    assert module.startswith("uvloop") == ("uvloop" in request.node.name)


def test_without_uvloop_it_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert loop_factory() is None
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert type(runner.get_loop()).__module__.startswith("asyncio")


def test_uvloop_is_loaded_only_when_it_is_asked_for() -> None:
    check = "import sys, runner.loops, runner.smtp.pool; sys.exit('uvloop' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0
