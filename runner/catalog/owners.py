"""Who may have a flow name or a webhook path that several files claim: the one who has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runner.diagnostic import Diagnostic
from runner.load import LoadedFlow
from runner.load.triggers import webhook_paths
from runner.model import Flow

Claim = tuple[str, str]
"""What is claimed, in words, and its name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file's versions that could be served, the newest first: as it lies there, and the last good one."""

    path: str
    versions: Sequence[LoadedFlow]


def owners(flows: Mapping[str, Flow]) -> dict[Claim, str]:
    """The path of the file that has each name and webhook path among ``flows``."""
    return {claim: flow.path for flow in flows.values() for claim in _claims(flow)}


def settle(
    candidates: Sequence[Candidate], held: Mapping[Claim, str]
) -> tuple[dict[str, LoadedFlow], list[Diagnostic]]:
    """The version to serve of each file, by path, such that none shares a claim with another; and the findings.

    Of files that claim the same, the one in ``held`` keeps it, and where none does, none gets it: the loser falls
    back to its next version, or is not served.
    """
    left = {candidate.path: list(candidate.versions) for candidate in candidates if candidate.versions}
    findings: list[Diagnostic] = []
    while True:
        contested = _contested(left)
        losers: set[str] = set()
        for claim, paths in contested.items():
            owner = held.get(claim)
            losers |= {path for path in paths if path != owner}
            findings += _findings(claim, {path: left[path][0] for path in paths})
        if not losers:
            return {path: versions[0] for path, versions in left.items()}, findings
        for path in losers:
            left[path].pop(0)
            if not left[path]:
                del left[path]


def _contested(left: Mapping[str, Sequence[LoadedFlow]]) -> dict[Claim, list[str]]:
    claims: dict[Claim, list[str]] = {}
    for path, versions in left.items():
        for claim in _claims(versions[0].flow):
            claims.setdefault(claim, []).append(path)
    return {claim: paths for claim, paths in claims.items() if len(paths) > 1}


def _findings(claim: Claim, versions: Mapping[str, LoadedFlow]) -> Iterator[Diagnostic]:
    what, name = claim
    places = {
        path: (line, column)
        for path, loaded in versions.items()
        for found, line, column in _places(loaded)
        if found == claim
    }
    for path, (line, column) in places.items():
        other = next(rival for rival in sorted(places) if rival != path)
        message = f'the {what} "{name}" is taken by {other}:{places[other][0]} too'
        yield Diagnostic(path, line, column, message, "duplicate")


def _claims(flow: Flow) -> Iterator[Claim]:
    yield "flow name", flow.name
    for trigger in flow.triggers:
        if trigger.type == "webhook":
            yield "webhook path", str(trigger.params.get("path"))


def _places(loaded: LoadedFlow) -> Iterator[tuple[Claim, int, int]]:
    place = loaded.document.at(("name",))
    yield ("flow name", loaded.flow.name), place.line, place.column
    for webhook, position in webhook_paths(loaded.document):
        yield ("webhook path", webhook), position.line, position.column
