"""One flow file as it lies there now: its load, and what that load depended on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.diagnostic import Diagnostic, Invalid, to_runners
from runner.load import LoadedFlow, read_flow
from runner.model import Settings
from runner.watch import ABSENT, Marks

_LOG = logging.getLogger("flowpost.catalog")
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """``loaded`` is None when the file has errors; ``marks`` are of the file and of every template asked for."""

    path: str
    loaded: LoadedFlow | None
    findings: tuple[Diagnostic, ...]
    marks: Mapping[str, str]

    def fresh(self, mark_of: Callable[[str], str]) -> bool:
        """Whether nothing that it was made from has changed since."""
        return all(mark_of(path) == mark for path, mark in self.marks.items())


def load_entry(
    root: Path, path: str, settings: Settings, marks: Marks, templates: Mapping[str, str]
) -> Entry:
    """Load the flow file at ``path``; never raises. ``templates`` are marks of template files, taken a moment ago.

    A file that changes while it is read is read again: the marks are taken before and compared after, so that what
    is kept was made from what the marks say.
    """
    asked: set[Path] = set()
    own = str(root / path)
    before: dict[str, str] = {}
    for _ in range(_TRIES):
        before = {name: marks.of(name) for name in (own, *map(str, asked))}
        loaded, findings = _load(root, path, settings, asked)
        after = {name: marks.of(name) for name in (own, *map(str, asked))}
        if all((before.get(name) or templates.get(name, ABSENT)) == mark for name, mark in after.items()):
            break
        after = {**after, **before}
    return Entry(path, loaded, findings, after)


def _load(
    root: Path, path: str, settings: Settings, asked: set[Path]
) -> tuple[LoadedFlow | None, tuple[Diagnostic, ...]]:
    try:
        loaded = read_flow(root, root / path, settings, asked)
    except Invalid as error:
        return None, to_runners(error.diagnostics)
    except OSError as error:
        # A template that went away between two reads.
        reason = (error.strerror or "error").lower()
        return None, (Diagnostic(path, 1, 1, f"a file of the flow cannot be read: {reason}", "yaml"),)
    except Exception:  # noqa: BLE001  (one file's bug must not end the reloads of all others)
        _LOG.exception("%s cannot be loaded", path)
        return None, (
            Diagnostic(path, 1, 1, "the flow cannot be loaded, for a reason that the log has", "yaml"),
        )
    return loaded, to_runners(loaded.warnings)
