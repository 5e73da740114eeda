"""The composition root: settings become wired objects; the only place that chooses adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runner.credential import HttpCredential, SmtpCredential
from runner.diagnostic import refuse
from runner.errors import UsageError
from runner.load import Loaded, find_workspace, load_flow, load_flows, load_settings, name_in
from runner.model import Flow, Settings

if TYPE_CHECKING:
    from runner.batch.program import Batch
    from runner.batch.report import Report
    from runner.batch.wishes import Face, Wishes
    from runner.net.guard import Guard
    from runner.nodes.base import Context, Credentials
    from runner.rows import RowFile
    from runner.secret.store import CredentialStore
    from runner.serve.service import Service


class App(NamedTuple):
    """One workspace, opened: its root, its settings, and the environment it was opened with."""

    root: Path
    settings: Settings
    environ: Mapping[str, str]

    @classmethod
    def open(cls, start: Path, environ: Mapping[str, str]) -> App:
        """Find the workspace above ``start``; raises UsageError, or Invalid for wrong settings."""
        if not start.is_dir():
            raise UsageError(f"there is no folder {start}", hint="give an existing folder to -C")
        root = find_workspace(start)
        return cls(root, load_settings(root, environ), environ)

    def flow(self, name: str) -> Flow:
        """The flow of that name, or of that path; raises UsageError or the flow's own findings."""
        path = self._flow_path(name)
        if path is not None:
            flow = load_flow(self.root, path, self.settings)
            if path.suffix in (".yaml", ".yml") and (
                flow.name == name or "/" in name or name.endswith(path.suffix)
            ):
                return flow
        loaded = load_flows(self.root, self.settings)
        if name in loaded.flows:
            return loaded.flows[name]
        for file in loaded.refused:
            # A file with a mistake that gives itself this name: its findings are the answer.
            if name_in(self.root, file) == name:
                return load_flow(self.root, self.root / file, self.settings)
        raise self._no_flow(name, list(loaded.flows), loaded)

    def store(self) -> CredentialStore:
        """The workspace's encrypted credentials."""
        return self._store(keep_last_good=False)

    @asynccontextmanager
    async def context(
        self,
        *,
        credentials: Credentials | None = None,
        allow: tuple[str, ...] = (),
        rehearsal: bool = False,
        guard: Guard | None = None,
    ) -> AsyncIterator[Context]:
        """What nodes use, wired: guard, http client, pool, credentials. ``allow`` opens the guard further."""
        from runner.net.guard import Guard
        from runner.net.http import HttpClient
        from runner.nodes.base import Context
        from runner.smtp.ending import Ending

        guard = guard or Guard((*self.settings.network_allow, *allow))
        async with HttpClient(guard) as http, Ending(guard) as sender:
            yield Context(
                key=(self.settings.workspace,),
                node="",
                started=datetime.now(UTC),
                root=self.root,
                settings=self.settings,
                credentials=credentials or StoredCredentials(self.store()),
                http=http,
                sender=sender,
                rehearsal=rehearsal,
            )

    @asynccontextmanager
    async def service(self, *, node: str | None = None, drain: float = 30.0) -> AsyncIterator[Service]:
        """The service, wired and ready to run; its endpoint is bound and its flows are loaded.

        Raises ConfigurationError for a port that is taken or a database that another process holds, Unavailable
        for a database that cannot be reached.
        """
        import asyncio

        from runner.catalog import Audit, Catalog
        from runner.engine.service import Engine
        from runner.net.guard import Guard
        from runner.serve.metrics import Metrics
        from runner.serve.narrate import Narrator
        from runner.serve.service import Service
        from runner.smtp.ending import Ending
        from runner.web.server import bind

        settings, metrics = self.settings, Metrics()
        guard = Guard(settings.network_allow)
        store = self._store(keep_last_good=True)
        catalog = Catalog(self.root, settings, self.environ, audit=Audit(store))
        narrator = Narrator(metrics)
        with bind(settings) as listener:
            await asyncio.to_thread(catalog.reload)
            async with (
                self.context(credentials=StoredCredentials(store), guard=guard) as context,
                Engine(
                    context, node=node, listener=narrator, watcher=metrics, ended=narrator.run_ended
                ) as engine,
            ):
                sender = context.sender
                assert isinstance(sender, Ending)

                def use(changed: Settings) -> None:
                    guard.follow(changed.network_allow)
                    engine.use(replace(context, settings=changed))

                yield Service(
                    catalog=catalog,
                    engine=engine,
                    store=store,
                    metrics=metrics,
                    listener=listener,
                    use=use,
                    hurry=sender.hurry,
                    drain=drain,
                )
            catalog.close()

    @asynccontextmanager
    async def batch(
        self, flow: Flow, file: RowFile, wishes: Wishes, face: Face, report: Report
    ) -> AsyncIterator[Batch]:
        """A batch of ``flow`` over the rows of ``file``, wired and ready to run."""
        from runner.batch.program import Batch
        from runner.ledger.direct import open_database
        from runner.smtp.pool import Sender

        async with self.context() as context:
            assert isinstance(context.sender, Sender)
            yield Batch(
                flow=flow,
                file=file,
                context=context,
                sender=context.sender,
                open_database=lambda: open_database(self.settings.database, self.root),
                wishes=wishes,
                face=face,
                report=report,
            )

    def _store(self, *, keep_last_good: bool) -> CredentialStore:
        from runner.secret.memory import state_folder
        from runner.secret.store import CredentialStore

        settings = self.settings
        return CredentialStore(
            self.root,
            settings.secrets,
            settings.workspace,
            self.environ,
            keep_last_good=keep_last_good,
            state=state_folder(self.root, settings.database),
        )

    def _flow_path(self, name: str) -> Path | None:
        candidates = [self.root / self.settings.flows / f"{name}{suffix}" for suffix in (".yaml", ".yml")]
        if name.endswith((".yaml", ".yml")):
            candidates = [Path(name), self.root / name]
        return next((path for path in candidates if path.is_file()), None)

    def _no_flow(self, name: str, names: list[str], loaded: Loaded) -> UsageError:
        import difflib

        near = difflib.get_close_matches(name, names, 1)
        known = ", ".join(sorted(names)[:10]) or "none"
        hint = f'did you mean "{near[0]}"?' if near else f"flows of this workspace: {known}"
        broken = sorted({found.path for found in loaded.diagnostics if refuse([found])})
        if broken:
            more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
            hint += f"; with mistakes: {', '.join(broken[:5])}{more}: see flowpost validate"
        return UsageError(f'there is no flow "{name}" in {self.root / self.settings.flows}', hint=hint)


class StoredCredentials(NamedTuple):
    """Credentials from the workspace's encrypted files, decrypted at the moment of use."""

    store: CredentialStore

    async def smtp(self, name: str) -> SmtpCredential:
        """The SMTP credential of that name; raises SecretError or PortError."""
        credential = await self.store.fetch(name, "smtp")
        assert isinstance(credential, SmtpCredential)
        return credential

    async def http(self, name: str) -> HttpCredential:
        """The http credential of that name; raises SecretError."""
        credential = await self.store.fetch(name, "http")
        assert isinstance(credential, HttpCredential)
        return credential
