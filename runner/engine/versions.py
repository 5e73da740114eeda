"""Flows as they were: each run ends on the text it began with, whatever the folder holds by then."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING

from runner.diagnostic import Invalid
from runner.errors import ConfigurationError
from runner.ledger.database import Database, execute, first
from runner.load import load_again
from runner.model import Flow, Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

KEPT = 256
"""Flows that stay in memory."""


class Versions:
    """Stores the text of flows and makes flows of it again."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._known: OrderedDict[tuple[str, str], Flow] = OrderedDict()
        self._stored: set[tuple[str, str]] = set()

    def store(self, connection: Connection, flow: Flow) -> None:
        """Keep a flow's text, in the caller's transaction."""
        key = (flow.digest, flow.path)
        if key in self._stored:
            return
        store_version(connection, flow, self._settings.templates)

    def stored(self, flow: Flow) -> None:
        """The transaction of ``store`` is on disk."""
        self._stored.add((flow.digest, flow.path))
        self._keep(flow)

    def pruned(self) -> None:
        """Texts may have been deleted."""
        self._stored.clear()

    async def flow_of(self, digest: str, path: str) -> Flow:
        """The flow of that content. Raises ConfigurationError when its text is gone or has become invalid."""
        import asyncio

        known = self._known.get((digest, path))
        if known is not None:
            return known
        row = await self._database.read(
            lambda connection: first(connection, "runs.get_version", digest=digest, path=path)
        )
        if row is None:
            raise ConfigurationError(f'the text of the flow in "{path}" that the run began with is gone')
        flow = await asyncio.to_thread(self._rebuild, path, row["templates"], json.loads(row["sources"]))
        self._keep(flow)
        return flow

    def _rebuild(self, path: str, templates: str, sources: dict[str, str]) -> Flow:
        texts = {name: text.encode("utf-8", "surrogateescape") for name, text in sources.items()}
        try:
            return load_again(path, texts, self._settings, templates)
        except Invalid as exc:
            found = exc.diagnostics[0].message if exc.diagnostics else "it has findings"
            raise ConfigurationError(
                f'the version of the flow in "{path}" that the run began with no longer loads: {found}',
                hint="the settings it relied on, such as vars, have changed",
            ) from exc

    def _keep(self, flow: Flow) -> None:
        self._known[flow.digest, flow.path] = flow
        self._known.move_to_end((flow.digest, flow.path))
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


def store_version(connection: Connection, flow: Flow, templates: str) -> None:
    """Write a flow's text, unless it is there; ``templates`` is the folder that its includes are looked for in."""
    sources = {name: data.decode("utf-8", "surrogateescape") for name, data in flow.sources.items()}
    execute(
        connection,
        "runs.insert_version",
        digest=flow.digest,
        path=flow.path,
        name=flow.name,
        templates=templates,
        sources=json.dumps(sources),
    )
