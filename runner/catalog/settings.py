"""Which settings change while the service runs, and which wait for the next start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner import source
from runner.diagnostic import Diagnostic, Invalid
from runner.errors import ConfigurationError
from runner.load import SETTINGS_FILE, load_settings
from runner.load.workspace import read_file
from runner.model import Settings
from runner.net.guard import Guard

LIVE = {
    "vars": "vars",
    "network_allow": "network",
    "delivery": "delivery",
    "http_rate": "http.rate",
    "history_keep": "history",
}
"""Fields of ``Settings`` that take effect at once, and their key in the file."""

AT_START = {
    "workspace": ("workspace",),
    "flows": ("flows",),
    "templates": ("templates",),
    "secrets": ("secrets",),
    "database": ("database",),
    "http_host": ("http", "host"),
    "http_port": ("http", "port"),
    "http_max_body": ("http", "max_body"),
}
"""Fields that are built into what runs: sockets, stores, pools; and where they stand in the file."""


@dataclass(frozen=True, slots=True)
class Reread:
    """The settings that hold now; with ``good`` false they are the ones from before.

    ``restart`` are the keys that changed in the file and wait.
    """

    settings: Settings
    findings: tuple[Diagnostic, ...] = ()
    restart: frozenset[str] = frozenset()
    good: bool = True


def reread(root: Path, environ: Mapping[str, str], live: Settings, *, had_file: bool) -> Reread:
    """Read flowpost.yaml anew; never raises, and keeps ``live`` when it cannot be used.

    A file that is gone or empty where there was one is no wish for the defaults: it is an editor between two calls
    or a lost volume, and the default of ``delivery`` mails customers.
    """
    file = root / SETTINGS_FILE
    try:
        if had_file and not file.exists():
            raise _lost("gone", "put it back; to go on with the defaults, start anew")
        if had_file and not _document(root).value:
            raise _lost("empty", "to go on with the defaults, start anew")
        wanted = load_settings(root, environ)
        Guard(wanted.network_allow)
    except Invalid as error:
        return Reread(live, error.diagnostics, good=False)
    except ConfigurationError as error:
        found = Diagnostic(SETTINGS_FILE, 1, 1, error.message, "schema", hint=error.hint or "")
        return Reread(live, (found,), good=False)
    waiting = [name for name in AT_START if getattr(wanted, name) != getattr(live, name)]
    settings = wanted._replace(**{name: getattr(live, name) for name in AT_START})
    findings = tuple(_waits(root, AT_START[name]) for name in waiting)
    return Reread(settings, findings, frozenset(".".join(AT_START[name]) for name in waiting))


def took_effect(before: Settings, after: Settings) -> frozenset[str]:
    """The keys whose settings differ and are live."""
    return frozenset(key for name, key in LIVE.items() if getattr(before, name) != getattr(after, name))


def names(value: object) -> object:
    """The names in ``vars`` without their values: what a flow's findings depend on."""
    if isinstance(value, Mapping):
        return {str(name): names(item) for name, item in value.items()}
    return None


def _document(root: Path) -> source.Document:
    return source.read(read_file(root, SETTINGS_FILE, source.MAX_BYTES), SETTINGS_FILE, allow_empty=True)


def _lost(how: str, hint: str) -> Invalid:
    message = f"the file is {how}, the settings from before stay"
    return Invalid([Diagnostic(SETTINGS_FILE, 1, 1, message, "yaml", hint=hint)])


def _waits(root: Path, pointer: tuple[str, ...]) -> Diagnostic:
    line = column = 1
    try:
        place = _document(root).at(pointer)
        line, column = place.line, place.column
    except Invalid:
        pass
    message = f'"{".".join(pointer)}" changed, and takes effect at the next start'
    return Diagnostic(SETTINGS_FILE, line, column, message, "schema", "warning", "restart flowpost serve")
