"""A catalog that follows its files, and what it showed while it did."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.catalog import Catalog, Change, follow
from runner.load import load_settings


@dataclass
class Following:
    """``sets``: after each reload that changed something, the text of each live flow."""

    root: Path
    catalog: Catalog
    sets: list[dict[str, object]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def texts(self) -> dict[str, object]:
        return {name: flow.nodes[0].params["text"] for name, flow in self.catalog.flows().items()}

    async def until(self, expected: Callable[[], bool], seconds: float = 15.0) -> float:
        """Wait; the seconds it took. Fails when it does not come true."""
        start = time.monotonic()
        while not expected():
            if time.monotonic() - start > seconds:
                raise AssertionError(f"still {self.texts()}, {self.catalog.findings}, {self.catalog.fault}")
            await asyncio.sleep(0.005)
        return time.monotonic() - start

    async def shows(self, **texts: str) -> float:
        return await self.until(lambda: self.texts() == texts)


@contextlib.asynccontextmanager
async def following(root: Path, **options: Any) -> AsyncIterator[Following]:
    """Load, follow, and wait until watching has begun."""
    catalog = Catalog(root, load_settings(root, {}), {})
    await asyncio.to_thread(catalog.reload)
    here = Following(root, catalog)
    begun = catalog.reload
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard(change: Change) -> None:
        here.changes.append(change)
        here.sets.append(here.texts())

    def reload(changed: Any = None) -> Change:
        loop.call_soon_threadsafe(ready.set)
        return begun(changed)

    catalog.reload = reload  # type: ignore[method-assign]
    catalog.subscribe(heard)
    task = asyncio.create_task(follow(catalog, **options))
    try:
        await asyncio.wait_for(ready.wait(), 15)
        yield here
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        catalog.close()
