"""Everything that can be known without sending: settings, flows, what nodes say of them, credentials, references."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from runner import schema, source
from runner.credential import Credential
from runner.diagnostic import Diagnostic, Invalid, has_errors, tidy
from runner.errors import BlockedError, ConfigurationError, FlowpostError, LimitError, UsageError
from runner.load import Loaded, LoadedFlow, find_workspace, load_flows, load_settings
from runner.load.workspace import read_file
from runner.mail.sources import check_sizes
from runner.model import Settings
from runner.net.guard import Guard
from runner.net.url import parse_url
from runner.nodes import node_type
from runner.secret.memory import state_folder
from runner.secret.store import CredentialStore
from runner.source import Document
from runner.source.document import Pointer
from runner.template import Template, is_template, uncompiled, unquoted
from runner.template.scan import Delimiters


@dataclass(frozen=True, slots=True)
class Report:
    """What ``validate`` found. ``flows`` counts the flow files that were looked at, ``unopened`` the credentials that
    were not opened, since there is no key at all.
    """

    root: Path
    flows: int
    findings: tuple[Diagnostic, ...]
    unopened: int = 0

    @property
    def ok(self) -> bool:
        """No finding is more than a warning."""
        return not has_errors(self.findings)


def check_workspace(start: Path, paths: Sequence[str], environ: Mapping[str, str]) -> Report:
    """Check the workspace above ``start``, or only what lies at ``paths`` (relative to ``start``) in it.

    Never raises for a mistake in a file: that is a finding. Raises UsageError when there is no workspace or a
    path is not there.
    """
    chosen = [_existing(start, path) for path in paths]
    root = find_workspace(chosen[0] if chosen else start)
    findings: list[Diagnostic] = []
    settings = _settings(root, environ, findings)
    loaded = load_flows(root, settings)
    findings += loaded.diagnostics
    state = state_folder(root, settings.database)
    store = CredentialStore(root, settings.secrets, settings.workspace, environ, state=state)
    names = store.names()
    guard = _guard(settings, root, findings)
    use_key = _has_key(store, environ)
    checker = _Checker(root, settings.secrets, guard, names, store if use_key else None)
    for document in _documents(root, loaded):
        findings += checker.flow(document)
    for read in loaded.documents.values():
        findings += _bodies(read)
    for name in names:
        findings += store.check(name, use_key=use_key, unruled="error")
    files = loaded.files
    findings = _once(findings)
    if chosen:
        for path in chosen:
            if not path.is_relative_to(root):
                raise UsageError(f"{path} does not lie in the workspace {root}")
        wanted = [path.relative_to(root).as_posix() for path in chosen]
        findings = [finding for finding in findings if _within(finding.path, wanted)]
        files = tuple(path for path in files if _within(path, wanted))
        names = [name for name in names if _within(f"{settings.secrets}/{name}.yaml", wanted)]
    # Everything works without .sops.yaml, so that only `secrets verify` insists on it.
    findings += store.unruled(names, "warning")
    return Report(root, len(files), tidy(findings), 0 if use_key else len(names))


def _once(findings: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Without what a schema says of a place where a check knows the very error of a run: both are one mistake."""
    known = {
        found[:3]
        for found in findings
        if found.code.startswith("E") and found.code not in ("ETEMPLATE", "ESECRET")
    }
    return [found for found in findings if found.code != "schema" or found[:3] not in known]


def _existing(start: Path, text: str) -> Path:
    """The path, relative to ``start``, or, where that is not there, to the current folder as a shell completes it."""
    path = (start / text).resolve()
    if path.exists():
        return path
    path = Path(text).resolve()
    if path.exists() and path.is_relative_to(find_workspace(start).resolve()):
        return path
    raise UsageError(f'there is no file or folder "{text}"')


def _settings(root: Path, environ: Mapping[str, str], findings: list[Diagnostic]) -> Settings:
    """The settings; their own findings are gathered, and the defaults stand in for them."""
    try:
        return load_settings(root, environ)
    except Invalid as error:
        findings += error.diagnostics
    except ConfigurationError as error:
        findings.append(Diagnostic("flowpost.yaml", 1, 1, error.message, "schema", hint=error.hint or ""))
    return Settings()


def _guard(settings: Settings, root: Path, findings: list[Diagnostic]) -> Guard:
    try:
        return Guard(settings.network_allow)
    except ConfigurationError as error:
        findings.append(Diagnostic("flowpost.yaml", 1, 1, error.message, "schema", hint=error.hint or ""))
        return Guard()


def _has_key(store: CredentialStore, environ: Mapping[str, str]) -> bool:
    """Without any key (a fork's CI) the credentials are checked as far as that goes, and that is no mistake."""
    from runner.secret import identities

    return identities.available(environ, store.home())


def _within(path: str, wanted: Sequence[str]) -> bool:
    return any(path == name or name == "." or path.startswith(f"{name}/") for name in wanted)


@dataclass(frozen=True, slots=True)
class _Templated:
    """Stands where a flow has a template: node checks leave it alone."""

    source: str

    def render(self, scope: Mapping[str, object]) -> NoReturn:
        """Never called: nothing is rendered while checking."""
        raise NotImplementedError


def _documents(root: Path, loaded: Loaded) -> Iterator[Document]:
    """Every flow file that is YAML at all: nodes are checked in a flow with other mistakes too."""
    for path in loaded.files:
        if path in loaded.documents:
            yield loaded.documents[path].document
            continue
        try:
            yield source.read(read_file(root, path, source.MAX_BYTES), path)
        except Invalid:
            continue


@dataclass(frozen=True, slots=True)
class _Checker:
    """Asks the node types what is wrong with the parameters that are written out, and follows references."""

    root: Path
    secrets: str
    guard: Guard
    credentials: Sequence[str]
    store: CredentialStore | None
    """None where there is no key, so that nothing can be opened."""
    opened: dict[str, Credential | None] = field(default_factory=dict)

    def flow(self, document: Document) -> Iterator[Diagnostic]:
        value = document.value if isinstance(document.value, Mapping) else {}
        delimiters: Delimiters = "curly" if value.get("delimiters") == "curly" else "angle"
        for index, node in _mappings(value.get("nodes")):
            for name in sorted(set(node) & set(schema.node_types())):
                params = _masked(node[name], delimiters)
                if isinstance(params, Mapping):
                    yield from self._node(document, ("nodes", index, name), params)
        for index, trigger in _mappings(value.get("triggers")):
            for name, params in trigger.items():
                auth = params.get("auth") if isinstance(params, Mapping) else None
                if isinstance(auth, str) and auth != "none":
                    yield from self._credential(document, ("triggers", index, name, "auth"), auth, "webhook")

    def _node(self, document: Document, here: Pointer, params: Mapping[str, object]) -> Iterator[Diagnostic]:
        kind = node_type(str(here[-1]))
        for problem in kind.check(params):
            yield _finding(document, (*here, *problem.pointer), problem.error)
        references = kind.references(params)
        for type_, name, pointer in references.credentials:
            found = list(self._credential(document, (*here, *pointer), name, type_))
            yield from found
            if not found and (credential := self._opened(name)) is not None:
                for problem in kind.check_credential(params, credential):
                    yield _finding(document, (*here, *problem.pointer), problem.error)
        there = []
        for file, pointer in references.files:
            try:
                there.append(file)
                check_sizes(self.root, there, self.secrets)
            except LimitError as error:
                yield _finding(document, (*here, *pointer), error)
                break  # so it is with every further one
            except FlowpostError as error:
                there.pop()
                yield _finding(document, (*here, *pointer), error)
        for url, pointer in references.urls:
            try:
                self.guard.check_host(parse_url(url).host)
            except BlockedError as error:
                yield _finding(document, (*here, *pointer), error)
            except (FlowpostError, ValueError):
                continue  # not a URL at all: the node type's own check says so

    def _credential(self, document: Document, pointer: Pointer, name: str, kind: str) -> Iterator[Diagnostic]:
        """What is wrong with naming a credential here, whatever is wrong with the credential itself."""
        if name not in self.credentials:
            yield self._unknown(document, pointer, name)
        elif self.store is not None and self._opened(name) is not None:
            try:
                self.store.get(name, kind)
            except FlowpostError as error:
                yield document.finding(pointer, error.message, "reference", hint=error.hint or "")

    def _opened(self, name: str) -> Credential | None:
        # Once each: a passphrase that does not fit costs a second.
        if self.store is not None and name not in self.opened:
            self.opened[name] = None
            with suppress(FlowpostError):  # its own file has the finding
                self.opened[name] = self.store.get(name)
        return self.opened.get(name)

    def _unknown(self, document: Document, pointer: Pointer, name: str) -> Diagnostic:
        near = difflib.get_close_matches(name, self.credentials, 1)
        known = ", ".join(self.credentials[:10]) or "none"
        hint = f'did you mean "{near[0]}"?' if near else f"credentials of this workspace: {known}"
        return document.finding(pointer, f'there is no credential "{name}"', "reference", hint=hint)


def _bodies(loaded: LoadedFlow) -> Iterator[Diagnostic]:
    """What is wrong with the markup of HTML bodies, as far as it shows without values."""
    for node in loaded.flow.nodes:
        for value in node.params.values():
            if isinstance(value, Template):
                yield from unquoted(value)
                yield from uncompiled(value)


def _masked(value: object, delimiters: Delimiters) -> object:
    if isinstance(value, str):
        return _Templated(value) if is_template(value, delimiters) else value
    if isinstance(value, dict):
        return {key: _masked(item, delimiters) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, delimiters) for item in value]
    return value


def _mappings(value: object) -> Iterator[tuple[int, dict[str, object]]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _finding(document: Document, pointer: Pointer, error: FlowpostError) -> Diagnostic:
    return document.finding(pointer, error.message, error.code, hint=error.hint or "")
