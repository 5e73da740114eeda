"""The same flow at a git revision, ready to be rehearsed; or why it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.diagnostic import Invalid
from runner.errors import ConfigurationError
from runner.load import load_flow, load_flows, load_settings
from runner.load.workspace import SETTINGS_FILE
from runner.model import Flow, Settings
from runner.nodes import node_type
from runner.nodes.base import is_literal
from runner.plan.result import Against
from runner.plan.revision import Revision
from runner.plan.whereto import as_meant


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the revision has: ``flow`` is None where nothing can be compared, and ``against.note`` says why."""

    against: Against
    settings: Settings
    flow: Flow | None = None


def earlier(revision: Revision, flow: Flow, settings: Settings, environ: Mapping[str, str]) -> Earlier:
    """``flow`` as it was at ``revision``, found by its path or else by its name, with the settings of that time.

    Workspace name and delivery are those of today: they make no message read differently.
    """
    against = Against(revision.name, revision.short)
    revision.take([SETTINGS_FILE])
    try:
        then = load_settings(revision.root, environ)
    except ConfigurationError as error:
        against.note = f"{SETTINGS_FILE} has a mistake at {revision.name}: {_first(error)}"
        return Earlier(against, settings)
    then = as_meant(then._replace(workspace=settings.workspace))
    revision.take([then.flows, then.templates], without=[then.secrets])
    found = _find(revision, flow, then, against)
    if found is not None:
        _take_files(revision, found, then)
    return Earlier(against, then, found)


def _find(revision: Revision, flow: Flow, then: Settings, against: Against) -> Flow | None:
    path = revision.root / flow.path
    try:
        if path.is_file():
            return load_flow(revision.root, path, then)
    except Invalid as error:
        against.note = f"the flow has a mistake at {revision.name}: {_first(error)}"
        return None
    named = (
        load_flows(revision.root, then).flows.get(flow.name)
        if (revision.root / then.flows).is_dir()
        else None
    )
    if named is None:
        against.new_flow = True
        against.note = f"the flow is new: {revision.name} has neither {flow.path} nor a flow of that name"
    return named


def _take_files(revision: Revision, flow: Flow, then: Settings) -> None:
    """The files that the flow attaches; all of the workspace where a template says which."""
    names: list[str] = []
    for node in flow.nodes:
        attachments = node.params.get("attachments")
        if attachments is None:
            continue
        names += [name for name, _ in node_type(node.type).references(node.params).files]
        if not is_literal(attachments):
            names.append(".")
    if names:
        revision.take(["."] if "." in names else names, without=[then.secrets])


def _first(error: ConfigurationError) -> str:
    return str(error.diagnostics[0]) if isinstance(error, Invalid) and error.diagnostics else error.message
