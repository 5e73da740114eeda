"""What is live, and what one reload changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from runner.diagnostic import Diagnostic
from runner.model import Flow, Settings


@dataclass(frozen=True, slots=True)
class Live:
    """The set that runs are started from; immutable, replaced whole.

    ``stale`` are the names of flows served from their last good version; ``fault`` says why the whole set is, and
    is empty otherwise. ``findings`` are of the files as they lie there now.
    """

    settings: Settings
    flows: Mapping[str, Flow] = field(default_factory=lambda: MappingProxyType({}))
    findings: tuple[Diagnostic, ...] = ()
    stale: frozenset[str] = frozenset()
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a reload did, by the names of flows.

    ``failed`` are the paths of flow files that have errors now, whether or not an older version is served.
    ``credentials`` are names whose file is new, gone or of other content. ``settings`` are the keys of
    flowpost.yaml that took effect (``vars``, ``network``, ``delivery``, ``http.rate``, ``history``); ``restart`` those
    that changed and take effect at the next start only.
    """

    added: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    credentials: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    restart: frozenset[str] = frozenset()
    ok: bool = True

    def __bool__(self) -> bool:
        """Whether anything that is live changed."""
        return bool(self.added or self.changed or self.removed or self.credentials or self.settings)
