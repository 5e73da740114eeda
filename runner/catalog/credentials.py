"""Which credentials changed, and who uses them. Contents are hashed, never opened here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.model import Flow
from runner.nodes import node_type
from runner.source.document import Pointer
from runner.watch import ABSENT, FOLDER, Marks

_ENDINGS = (".yaml", ".age")


def credential_marks(root: Path, folder: str, marks: Marks) -> dict[str, tuple[str, ...]]:
    """The marks of each credential's files, by its name; nothing when the folder is not there."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        paths = sorted((root / folder).iterdir())
    except OSError:
        return found
    for path in paths:
        if path.suffix in _ENDINGS and not path.name.startswith("."):
            mark = marks.of(path)
            if mark not in (ABSENT, FOLDER):
                found[path.stem] = (*found.get(path.stem, ()), f"{path.suffix}:{mark}")
    return found


def users(flows: Mapping[str, Flow], credential: str) -> frozenset[str]:
    """The flows whose nodes or webhooks name ``credential`` in plain text."""
    return frozenset(
        name for name, flow in flows.items() if any(found == credential for _, found, _ in mentions(flow))
    )


def mentions(flow: Flow) -> Iterator[tuple[str, str, Pointer]]:
    """Type, name and place of each credential that the flow names in plain text."""
    for index, node in enumerate(flow.nodes):
        for kind, name, pointer in node_type(node.type).references(node.params).credentials:
            yield kind, name, ("nodes", index, node.type, *pointer)
    for index, trigger in enumerate(flow.triggers):
        if isinstance(auth := trigger.params.get("auth"), str) and auth != "none":
            yield "webhook", auth, ("triggers", index, trigger.type, "auth")
