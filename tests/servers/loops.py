"""Both event loops that flowpost runs on: import the fixture, and every async test of the file runs on each.

It stands in the way of ``conftest.anyio_backend``, which is asyncio's alone.
"""

from __future__ import annotations

import pytest
from conftest import missing_tool

from runner.loops import loop_factory


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """asyncio's own loop, and the one of ``runner.loops``."""
    if request.param == "asyncio":
        return "asyncio", {}
    factory = loop_factory()
    if factory is None:
        missing_tool("uvloop", "pip install uvloop")
    return "asyncio", {"loop_factory": factory}
