"""The live set: built aside from the files that changed, then swapped whole."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from runner.catalog import credentials, settings
from runner.catalog.audit import Audit
from runner.catalog.change import Change, Live
from runner.catalog.entry import Entry, load_entry
from runner.catalog.folder import Folder, Listing
from runner.catalog.owners import Candidate, owners, settle
from runner.catalog.settings import Reread
from runner.diagnostic import Diagnostic, Invalid, has_errors, tidy
from runner.errors import ConfigurationError
from runner.load import SETTINGS_FILE, LoadedFlow, load_again
from runner.model import Flow, Settings
from runner.watch import ABSENT, Marks
from runner.watch.scan import scan

_LOG = logging.getLogger("flowpost.catalog")
_ROUNDS = 3

Entries = dict[str, Entry]


class Catalog:
    """The flows of the workspace at ``root`` that runs are started from.

    ``settings`` are those the service began with, ``environ`` what overrides the file, ``audit`` looks at the
    credentials that live flows name. Empty until the first ``reload``. A file that is missing is looked for again
    after ``patience`` seconds before its flow is unloaded: editors rename the old file away before they write the
    new one. Readers never wait and never see half a change.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        audit: Audit | None = None,
        patience: float = 0.15,
    ) -> None:
        self.root = root.absolute()
        self.patience = patience
        self.succeeded_at = 0.0
        self.ok = False
        self._environ = environ
        self._audit = audit
        self._live = Live(settings)
        self._marks = Marks(self.root)
        self._folder = Folder(self.root, settings.flows)
        self._entries: dict[str, Entries] = {}
        self._served: dict[str, LoadedFlow] = {}
        self._secrets: dict[str, tuple[str, ...]] | None = None
        self._reread: tuple[str, Reread] | None = None
        self._had_settings = (self.root / SETTINGS_FILE).is_file()
        self._listeners: list[Callable[[Change], None]] = []
        self._lock = threading.RLock()

    @property
    def live(self) -> Live:
        """Everything that is live, of one moment."""
        return self._live

    @property
    def settings(self) -> Settings:
        """The settings that hold now: those of the start, with what may change while the service runs."""
        return self._live.settings

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the files as they lie there, sorted."""
        return self._live.findings

    @property
    def stale(self) -> frozenset[str]:
        """Names of the flows that are served from their last good version."""
        return self._live.stale

    @property
    def fault(self) -> str:
        """Why the last good set stays as a whole; empty when it does not."""
        return self._live.fault

    @property
    def watched(self) -> tuple[str, ...]:
        """The files and folders to watch, relative to the root."""
        live = self._live.settings
        return (SETTINGS_FILE, live.flows, live.templates, live.secrets)

    def flow(self, name: str) -> Flow | None:
        """The live flow of that name."""
        return self._live.flows.get(name)

    def flows(self) -> Mapping[str, Flow]:
        """All live flows by name; the mapping never changes, the next reload makes another."""
        return self._live.flows

    def users(self, credential: str) -> frozenset[str]:
        """The live flows that name the credential."""
        return credentials.users(self._live.flows, credential)

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Call ``listener`` after each reload that changed what is live or what is wrong.

        It is called in the thread that reloads, one call at a time.
        """
        self._listeners.append(listener)

    def close(self) -> None:
        """Let go of the flows folder."""
        with self._lock:
            self._folder.close()

    def reload(self, changed: Iterable[str] | None = None) -> Change:
        """Load what changed and swap; blocking, to be called in a thread. Never raises for what lies in files.

        ``changed`` are paths that are read whatever their status says; None reads every file. What has not changed
        costs a stat.
        """
        with self._lock:
            before = self._live
            if changed is None:
                scan(self.root, self.watched, self._marks, again=True)
            else:
                for name in changed:
                    self._marks.of(self.root / name, again=True)
            self._live, change = self._build(before, again=changed is None)
            self.ok = change.ok
            if change.ok:
                self.succeeded_at = time.time()
            self._tell(before, self._live, change)
            return change

    def _build(self, before: Live, *, again: bool) -> tuple[Live, Change]:
        listing = self._list()
        wanted = self._wanted(before.settings)
        if listing.fault is not None:
            found = tidy((*wanted.findings, *listing.findings))
            # Who turns delivery off in a fault must be heard; other names for the flows must wait for the flows.
            used = wanted.settings if _key(wanted.settings) == _key(before.settings) else before.settings
            live = Live(used, before.flows, found, frozenset(before.flows), listing.fault.message)
            effect = settings.took_effect(before.settings, used)
            return live, Change(ok=False, failed=frozenset({listing.fault.path}), settings=effect)
        entries, used, findings = self._consistent(listing, wanted)
        candidates = []
        for path in sorted({*listing.paths, *(path for path in self._served if listing.hides(path))}):
            versions = [entry.loaded] if (entry := entries.get(path)) and entry.loaded else []
            if (last := self._served.get(path)) and last not in versions:
                versions.append(last)
            candidates.append(Candidate(path, versions))
        served, clashes = settle(candidates, owners(before.flows))
        current = {path: entry.loaded for path, entry in entries.items()}
        flows = {loaded.flow.name: loaded.flow for _, loaded in sorted(served.items())}
        stale = {loaded.flow.name for path, loaded in served.items() if current.get(path) is not loaded}
        failed = {
            path for path, loaded in current.items() if loaded is None or served.get(path) is not loaded
        }
        findings += [*listing.findings, *clashes]
        findings += [finding for entry in entries.values() for finding in entry.findings]
        self._served = served
        marks = credentials.credential_marks(self.root, used.secrets, self._marks)
        if self._audit is not None:
            findings += self._audit.findings(served.values(), marks, again=again)
        live = Live(used, MappingProxyType(flows), tidy(findings), frozenset(stale))
        return live, Change(
            added=frozenset(flows.keys() - before.flows.keys()),
            removed=frozenset(before.flows.keys() - flows.keys()),
            changed=frozenset(
                name
                for name in flows.keys() & before.flows.keys()
                if (flows[name].digest, flows[name].path)
                != (before.flows[name].digest, before.flows[name].path)
            ),
            failed=frozenset(failed | set(listing.hidden)),
            credentials=self._credentials(marks),
            settings=settings.took_effect(before.settings, used),
            restart=wanted.restart,
            ok=not has_errors(live.findings),
        )

    def _list(self) -> Listing:
        listing = self._folder.list(expected=bool(self._served))
        there = set(listing.paths)
        missing = [path for path in self._served if path not in there and not listing.hides(path)]
        if missing or (listing.fault and self._served):
            time.sleep(self.patience)
            listing = self._folder.list(expected=bool(self._served))
        return listing

    def _wanted(self, live: Settings) -> Reread:
        """What flowpost.yaml asks for; read again when it changed or could not be used."""
        mark = self._marks.of(self.root / SETTINGS_FILE)
        if self._reread is None or self._reread[0] != mark or not self._reread[1].good:
            self._reread = mark, settings.reread(self.root, self._environ, live, had_file=self._had_settings)
        self._had_settings = self._had_settings or mark != ABSENT
        return self._reread[1]

    def _consistent(self, listing: Listing, wanted: Reread) -> tuple[Entries, Settings, list[Diagnostic]]:
        """The files' entries, of one moment as far as that can be had, the settings to use, and their findings.

        A checkout or a swapped link in the middle of it would make a set that nobody wrote.
        """
        old = self._live.settings
        for _ in range(_ROUNDS):
            real = os.path.realpath(self.root)
            findings = list(wanted.findings)
            used, key = wanted.settings, _key(wanted.settings)
            entries, loads = self._load(listing, used)
            broken = self._broken(entries, old) if key != _key(old) else []
            unfit = self._unfit(entries, used) if key != _key(old) else []
            if broken or unfit:
                findings += [_refused(path) for path in sorted({*broken, *unfit})]
                findings += [finding for path in broken for finding in entries[path].findings]
                used = old
                entries, more = self._load(listing, used)
                loads += more
            steady = real == os.path.realpath(self.root)
            if not loads or (steady and all(entry.fresh(self._marks.of) for entry in entries.values())):
                break
        self._entries = {kept: self._entries[kept] for kept in {key, _key(used)}}
        return entries, used, findings

    def _load(self, listing: Listing, used: Settings) -> tuple[Entries, int]:
        """The entry of each file, and how many had to be loaded."""
        known = self._entries.get(_key(used), {})
        templates: dict[str, str] | None = None
        seen: dict[str, str] = {}

        def look(path: str) -> str:
            if path not in seen:
                seen[path] = self._marks.of(path)
            return seen[path]

        entries: Entries = {}
        loads = 0
        for path in listing.paths:
            entry = known.get(path)
            if entry is None or not entry.fresh(look):
                if templates is None:
                    found = scan(self.root, (used.templates,), self._marks).files
                    templates = {f"{self.root}/{name}": mark for name, mark in found.items()}
                entry = load_entry(self.root, path, used, self._marks, templates)
                loads += 1
            entries[path] = entry
        self._entries[_key(used)] = entries
        return entries, loads

    def _broken(self, entries: Entries, old: Settings) -> list[str]:
        """Files that were good, did not change, and are wrong under other settings: the settings are to blame."""
        before = self._entries.get(_key(old), {})
        return [
            path
            for path, entry in entries.items()
            if entry.loaded is None
            and (was := before.get(path)) is not None
            and was.loaded is not None
            and path in self._served
            and all(entry.marks.get(file, mark) == mark for file, mark in was.marks.items())
        ]

    def _unfit(self, entries: Entries, used: Settings) -> list[str]:
        """Files whose last good version would go on being served, and is wrong under other settings."""
        live = self._live
        clashing = {finding.path for finding in live.findings if finding.code == "duplicate"}
        held = [
            loaded.flow
            for path, loaded in self._served.items()
            if (entry := entries.get(path)) is None
            or entry.loaded is None
            or (path in clashing and loaded.flow.name in live.stale)
        ]
        return sorted(flow.path for flow in held if not _loads(flow, used))

    def _credentials(self, now: dict[str, tuple[str, ...]]) -> frozenset[str]:
        before, self._secrets = self._secrets, now
        if before is None:
            return frozenset()
        return frozenset(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))

    def _tell(self, before: Live, live: Live, change: Change) -> None:
        for finding in live.findings:
            if finding not in before.findings:
                _LOG.log(logging.ERROR if finding.severity == "error" else logging.WARNING, "%s", finding)
        if not change and (before.findings, before.stale, before.fault) == (
            live.findings,
            live.stale,
            live.fault,
        ):
            return
        _LOG.info(
            "%d flows live, %d of them from their last good version: %d added, %d changed, %d removed",
            len(live.flows),
            len(live.stale),
            len(change.added),
            len(change.changed),
            len(change.removed),
        )
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:  # noqa: BLE001  (one listener's bug must not keep the news from the others)
                _LOG.exception("a listener of the catalog failed")


def _key(of: Settings) -> str:
    """What of the settings a flow's load depends on."""
    return json.dumps(settings.names(of.vars), sort_keys=True)


def _loads(flow: Flow, used: Settings) -> bool:
    try:
        load_again(flow.path, flow.sources, used)
    except (Invalid, ConfigurationError):
        return False
    return True


def _refused(path: str) -> Diagnostic:
    message = f'"vars" lacks a name that {path} reads, the settings from before stay'
    return Diagnostic(SETTINGS_FILE, 1, 1, message, "schema", hint="change the flow first, or both at once")
