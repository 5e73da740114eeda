"""The newest ``lastmodified`` that was seen of each file, so that an older version put back is noticed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from runner.errors import SecretError
from runner.secret import files

FOLDER = ".flowpost"
FILE = "secrets.json"
HINT = "if that was meant, flowpost secrets verify --accept-older; if not, an old password may be back"


def state_folder(root: Path, database: str) -> Path:
    """Where this machine remembers things: beside the SQLite file, else in ``.flowpost`` of the workspace.

    A workspace may be a link that is swapped to another folder at each commit; an operator who put the database out of
    it wants the rest of the state there too.
    """
    if database.startswith("sqlite:///"):
        return (root / database.removeprefix("sqlite:///")).parent
    return root / FOLDER


def remember(folder: Path, name: str, last_modified: str, known: dict[str, str]) -> str:
    """Remember ``last_modified`` of a verified file; returns a warning when a newer one was seen, else nothing.

    ``known`` is what this process has seen. A ``folder`` that cannot be written to is left alone: then the process
    alone remembers.
    """
    seen = _load(folder)
    newest = max(filter(None, (seen.get(name), known.get(name))), key=_time, default=None)
    if newest is not None and _time(newest) > _time(last_modified):
        return f"an older version is back: it is of {last_modified}, and one of {newest} was seen here"
    known[name] = last_modified
    if seen.get(name) != last_modified:
        _save(folder, {**seen, name: last_modified})
    return ""


def forget(folder: Path, name: str) -> None:
    """Take the file's present version for the newest."""
    seen = _load(folder)
    if seen.pop(name, None) is not None:
        _save(folder, seen)


def _load(folder: Path) -> dict[str, str]:
    try:
        seen = json.loads(files.read(folder / FILE))
    except (OSError, ValueError, SecretError):
        return {}
    if not isinstance(seen, dict):
        return {}
    return {key: value for key, value in seen.items() if isinstance(key, str) and _is_time(value)}


def _save(folder: Path, seen: dict[str, str]) -> None:
    path = folder / FILE
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        files.write(path, json.dumps(seen, indent=1, sort_keys=True).encode() + b"\n", mode=0o600)
    except (OSError, SecretError):
        return


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and _time(value).tzinfo is not None
    except ValueError:
        return False
