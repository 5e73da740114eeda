"""The newest ``lastmodified`` that was seen of each file, so that an older version put back is noticed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from runner.errors import SecretError
from runner.secret import files

FILE = ".flowpost/secrets.json"
HINT = "if that was meant, flowpost secrets verify --accept-older; if not, an old password may be back"


def remember(root: Path, name: str, last_modified: str) -> str:
    """Remember ``last_modified`` of a verified file; returns a warning when a newer one was seen, else nothing.

    A folder that cannot be written to is left alone: then there is no memory, and no warning.
    """
    seen = _load(root)
    newest = seen.get(name)
    if newest is not None and _time(newest) > _time(last_modified):
        return f"an older version is back: it is of {last_modified}, and one of {newest} was seen here"
    if newest != last_modified:
        _save(root, {**seen, name: last_modified})
    return ""


def forget(root: Path, name: str) -> None:
    """Take the file's present version for the newest."""
    seen = _load(root)
    if seen.pop(name, None) is not None:
        _save(root, seen)


def _load(root: Path) -> dict[str, str]:
    try:
        seen = json.loads(files.read(root / FILE))
    except (OSError, ValueError, SecretError):
        return {}
    if not isinstance(seen, dict):
        return {}
    return {key: value for key, value in seen.items() if isinstance(key, str) and _is_time(value)}


def _save(root: Path, seen: dict[str, str]) -> None:
    path = root / FILE
    try:
        path.parent.mkdir(exist_ok=True)
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
