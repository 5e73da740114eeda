"""All flows of a workspace, and what is wrong between them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from runner.diagnostic import Diagnostic, Invalid, tidy
from runner.load.flow import LoadedFlow, read_flow
from runner.load.triggers import webhook_paths
from runner.load.workspace import flow_files
from runner.model import Flow, Settings


class Loaded(NamedTuple):
    """What lies in the flows folder.

    ``flows`` are by name, without those that have findings or share a name or a webhook path with another.
    ``documents`` are all that could be read, by path; ``files`` all paths that were looked at, relative to
    the workspace; ``diagnostics`` every finding, sorted.
    """

    flows: dict[str, Flow]
    diagnostics: tuple[Diagnostic, ...]
    documents: dict[str, LoadedFlow]
    files: tuple[str, ...]

    @property
    def refused(self) -> tuple[str, ...]:
        """The files that are no flow, for their mistakes."""
        return tuple(path for path in self.files if path not in self.documents)


def load_flows(root: Path, settings: Settings, only: Container[str] | None = None) -> Loaded:
    """Load ``flows/**/*.yaml`` and ``*.yml`` without ``*.test.yaml``; ``only`` names paths to look at.

    Never raises. What two flows cannot both have, a name or a webhook path, is a finding at both places, and
    neither is loaded.
    """
    findings: list[Diagnostic] = []
    documents: dict[str, LoadedFlow] = {}
    files: list[str] = []
    for found in flow_files(root, settings.flows):
        if isinstance(found, Diagnostic):
            findings.append(found)
            continue
        if only is not None and found not in only:
            continue
        files.append(found)
        try:
            loaded = read_flow(root, root / found, settings)
        except Invalid as exc:
            findings += exc.diagnostics
        else:
            documents[found] = loaded
            findings += loaded.warnings
    clashes = list(_clashes(documents))
    findings += clashes
    bad = {clash.path for clash in clashes}
    flows = {loaded.flow.name: loaded.flow for path, loaded in documents.items() if path not in bad}
    return Loaded(flows, tidy(findings), documents, tuple(files))


def _clashes(documents: dict[str, LoadedFlow]) -> Iterator[Diagnostic]:
    claims: dict[tuple[str, str], list[Diagnostic]] = {}
    for path, loaded in documents.items():
        place = loaded.document.at(("name",))
        claim = Diagnostic(path, place.line, place.column, "", "duplicate")
        claims.setdefault(("flow name", loaded.flow.name), []).append(claim)
        for webhook, position in webhook_paths(loaded.document):
            claim = Diagnostic(path, position.line, position.column, "", "duplicate")
            claims.setdefault(("webhook path", webhook), []).append(claim)
    for (what, name), places in claims.items():
        for mine in places:
            others = [place for place in places if place != mine]
            if others:
                other = f"{others[0].path}:{others[0].line}"
                message = f'the {what} "{name}" is taken by {other} too'
                yield Diagnostic(mine.path, mine.line, mine.column, message, "duplicate")
