"""What a flow's triggers must be beyond their schemas."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from runner import schema
from runner.diagnostic import Diagnostic, Position
from runner.load.workspace import SETTINGS_FILE
from runner.model import Settings, Trigger
from runner.source import Document


def build_triggers(document: Document) -> tuple[Trigger, ...]:
    """The triggers of a document that ``check_triggers`` and the schema found no error in."""
    return tuple(
        Trigger(kind, dict(params), document.at(("triggers", number)))
        for number, trigger in enumerate(document.value.get("triggers") or ())
        for kind, params in trigger.items()
    )


def check_triggers(document: Document, body: Any, root: Path, settings: Settings) -> Iterator[Diagnostic]:
    """Findings about the triggers that have the right shape; ``body`` is the flow's body schema, or None."""
    first: dict[str, int] = {}
    for path, position in webhook_paths(document):
        if path in first:
            message = f'the webhook path "{path}" is there twice; the first is on line {first[path]}'
            yield Diagnostic(document.path, position.line, position.column, message, "duplicate")
        first.setdefault(path, position.line)
    for number, kind, params in triggers_of(document):
        here = ("triggers", number, kind)
        if kind == "schedule":
            yield from _check_schedule(document, here, params, body)
        elif kind == "files":
            yield from _check_files(document, here, params, root, settings)


def webhook_paths(document: Document) -> Iterator[tuple[str, Position]]:
    """The path of each webhook, and where it is written."""
    for number, kind, params in triggers_of(document):
        if kind == "webhook" and isinstance(path := params.get("path"), str):
            yield path, document.at(("triggers", number, kind, "path"))


def triggers_of(document: Document) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, type and parameters of each trigger that has the right shape."""
    triggers = document.value.get("triggers")
    for number, trigger in enumerate(triggers if isinstance(triggers, list) else ()):
        if isinstance(trigger, dict):
            for kind, params in trigger.items():
                if isinstance(params, dict):
                    yield number, kind, params


def _check_schedule(
    document: Document, here: tuple[str | int, ...], params: dict[str, Any], body: Any
) -> Iterator[Diagnostic]:
    cron, zone = params.get("cron"), params.get("timezone")
    if isinstance(cron, str) and cron:
        from runner.load.cron import parse_cron

        try:
            parse_cron(cron)
        except ValueError as exc:
            hint = 'for example "0 8 * * 1-5", in quotes'
            yield document.finding((*here, "cron"), f"{exc}", hint=hint)
    if isinstance(zone, str) and zone and not _is_zone(zone):
        close = _nearest_zone(zone)
        message = f'"{zone}" is not a time zone' + (f'; did you mean "{close}"?' if close else "")
        yield document.finding((*here, "timezone"), message, hint="an IANA name such as Europe/Berlin or UTC")
    if body is not None and "body" in params:
        for problem in schema.unaudited_checker(body).problems(params["body"]):
            where = f"{problem.pointer} " if problem.pointer else ""
            found = document.finding(
                (*here, "body"), f"{where}{problem.message}, says the body schema of this flow"
            )
            # The ticks of this trigger fail; started in another way, the flow is as good as any.
            yield found._replace(undecided=True)


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # a folder's name raises IsADirectoryError
        return False
    return True


def _nearest_zone(name: str) -> str | None:
    if len(name) < 5:  # CEST is near to many names, and means none of them
        return None
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    zones = {zone.lower(): zone for zone in sorted(available_timezones()) if "/" in zone}
    last = {zone.rpartition("/")[2].lower(): zone for zone in zones.values()}
    for known in (zones, last):
        if found := get_close_matches(name.lower().replace(" ", "_"), list(known), 1, 0.75):
            return known[found[0]]
    return None


def _check_files(
    document: Document, here: tuple[str | int, ...], params: dict[str, Any], root: Path, settings: Settings
) -> Iterator[Diagnostic]:
    path = params.get("path")
    if not isinstance(path, str) or not path:
        return
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\0" in path or "\\" in path:
        yield document.finding(
            (*here, "path"), f'"{path}" is not inside the workspace', hint="like inbox/*.json"
        )
    elif any(part.startswith(".") for part in parts):
        yield document.finding((*here, "path"), f'"{path}" is hidden: processed files move to .done/')
    elif path.endswith("/") or "**" in path or any("*" in part or "?" in part for part in parts[:-1]):
        message = f'"{path}" is not the name of files in one folder'
        yield document.finding(
            (*here, "path"), message, hint="a * stands in the last part only, like inbox/*.json"
        )
    elif owner := _owner(root, PurePosixPath(path), settings):
        message = f'"{path}" would take {owner}: files that are processed move to .done/'
        yield document.finding((*here, "path"), message, hint="name another folder, like inbox/*.json")
    elif (root / path).is_dir():
        message = f'"{path}" is a folder, and stands for a file of that name'
        found = document.finding((*here, "path"), message, hint=f"{path}/* stands for the files in it")
        yield found._replace(severity="warning")


def _owner(root: Path, path: PurePosixPath, settings: Settings) -> str:
    """What of the workspace's own lies at ``path``, in words; nothing when nothing does."""
    if path.parent == PurePosixPath() and fnmatchcase(SETTINGS_FILE, path.name):
        return SETTINGS_FILE
    base = root.resolve()
    for kind in ("flows", "templates", "secrets"):
        own, folder = PurePosixPath(getattr(settings, kind)), path.parent
        real = base.joinpath(own).resolve()
        # A workspace may be its own flows folder: then the files below it are not all flows.
        if real != base and (folder.is_relative_to(own) or (root / folder).resolve().is_relative_to(real)):
            return f"the workspace's own {kind}"
    return ""
