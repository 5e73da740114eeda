"""The catalog kept up with the files, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from runner.catalog.catalog import Catalog
from runner.watch import Watch
from runner.watch.events import Events, Notify, SystemEvents


async def follow(
    catalog: Catalog, *, interval: float = 2.0, events: Callable[[Notify], Events] = SystemEvents
) -> None:
    """Watch the catalog's files and reload at each change, until cancelled; ``interval`` in seconds."""
    watch = Watch(catalog.root, catalog.watched, interval=interval, events=events)
    async with contextlib.aclosing(watch.changes()) as changes:
        async for paths in changes:
            await asyncio.to_thread(catalog.reload, paths)
