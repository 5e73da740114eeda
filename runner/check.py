"""Everything that can be known without sending: settings, flows, what nodes say of them, credentials, references."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runner.diagnostic import Diagnostic, Invalid, has_errors, tidy
from runner.errors import ConfigurationError, FlowpostError, UsageError
from runner.load import LoadedFlow, find_workspace, load_flows, load_settings
from runner.mail.sources import resolve_inside
from runner.model import Settings
from runner.net.guard import Guard
from runner.nodes import node_type
from runner.nodes.base import References
from runner.secret.store import CredentialStore


@dataclass(frozen=True, slots=True)
class Report:
    """What ``validate`` found. ``flows`` counts the flow files that were looked at."""

    root: Path
    flows: int
    findings: tuple[Diagnostic, ...]

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
    store = CredentialStore(root, settings.secrets, settings.workspace, environ)
    names = store.names()
    guard = _guard(settings, root, findings)
    for flow in loaded.documents.values():
        findings += _check_flow(flow, root, settings, names, guard)
    use_key = _has_key(store, environ)
    for name in names:
        findings += store.check(name, use_key=use_key)
    files = loaded.files
    if chosen:
        wanted = [path.relative_to(root).as_posix() for path in chosen]
        findings = [finding for finding in findings if _within(finding.path, wanted)]
        files = tuple(path for path in files if _within(path, wanted))
    return Report(root, len(files), tidy(findings))


def _existing(start: Path, text: str) -> Path:
    path = (start / text).absolute()
    if not path.exists():
        raise UsageError(f'there is no file or folder "{text}"')
    return path.resolve()


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


def _check_flow(
    loaded: LoadedFlow, root: Path, settings: Settings, credentials: Sequence[str], guard: Guard
) -> Iterator[Diagnostic]:
    for index, node in enumerate(loaded.flow.nodes):
        kind = node_type(node.type)
        here: tuple[str | int, ...] = ("nodes", index, node.type)
        for problem in kind.check(node.params):
            yield _finding(loaded, (*here, *problem.pointer), problem.error)
        yield from _check_references(loaded, here, kind.references(node.params), root, credentials, guard)
    for index, trigger in enumerate(loaded.flow.triggers):
        name = trigger.params.get("auth")
        if isinstance(name, str) and name != "none" and name not in credentials:
            place: tuple[str | int, ...] = ("triggers", index, trigger.type, "auth")
            yield _unknown_credential(loaded, place, name, credentials)


def _check_references(
    loaded: LoadedFlow,
    here: tuple[str | int, ...],
    references: References,
    root: Path,
    credentials: Sequence[str],
    guard: Guard,
) -> Iterator[Diagnostic]:
    for _, name, pointer in references.credentials:
        if name not in credentials:
            yield _unknown_credential(loaded, (*here, *pointer), name, credentials)
    for file, pointer in references.files:
        try:
            resolve_inside(root, file)
        except FlowpostError as error:
            yield _finding(loaded, (*here, *pointer), error)
    for url, pointer in references.urls:
        try:
            guard.check_host(urlsplit(url).hostname or "")
        except (FlowpostError, ValueError) as error:
            if isinstance(error, FlowpostError) and error.code == "EBLOCKED":
                yield _finding(loaded, (*here, *pointer), error)


def _unknown_credential(
    loaded: LoadedFlow, pointer: tuple[str | int, ...], name: str, credentials: Sequence[str]
) -> Diagnostic:
    near = difflib.get_close_matches(name, credentials, 1)
    known = ", ".join(credentials[:10]) or "none"
    place = loaded.document.at(pointer)
    return Diagnostic(
        loaded.flow.path,
        place.line,
        place.column,
        f'there is no credential "{name}"',
        "reference",
        hint=f'did you mean "{near[0]}"?' if near else f"credentials of this workspace: {known}",
    )


def _finding(loaded: LoadedFlow, pointer: tuple[str | int, ...], error: FlowpostError) -> Diagnostic:
    place = loaded.document.at(pointer)
    return Diagnostic(
        loaded.flow.path, place.line, place.column, error.message, error.code, hint=error.hint or ""
    )
