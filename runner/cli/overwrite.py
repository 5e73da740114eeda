"""What a command may write over: anything but what it works on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.app import App


def check_target(app: App, target: Path, data: str | None) -> None:
    """UsageError when ``target`` is the data, by whatever name, or a file that the workspace is made of."""
    if data is not None and data != "-" and _same(target, Path(data)):
        raise _refused(target, "the data")
    settings, root, real = app.settings, app.root.resolve(), target.resolve()
    if real in (root / "flowpost.yaml", root / ".sops.yaml"):
        raise _refused(target, "the workspace's settings")
    folders = {"flows": settings.flows, "templates": settings.templates, "credentials": settings.secrets}
    for what, folder in folders.items():
        if real.is_relative_to((root / folder).resolve()):
            raise _refused(target, f"one of the workspace's {what}")
    from runner.ledger.database import Database

    database = Database(settings.database, app.root).file
    if real.is_relative_to(root / ".flowpost") or (database is not None and _same(target, database)):
        raise _refused(target, "what flowpost remembers")


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _refused(target: Path, what: str) -> UsageError:
    return UsageError(f"{target} is {what}: it would be written over", hint="give another file")
