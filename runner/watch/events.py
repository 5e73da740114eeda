"""The system's file events by way of watchdog: a hint to look, never a proof that nothing happened."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from runner.watch.scan import Place

if TYPE_CHECKING:
    from watchdog.observers.api import ObservedWatch


class Notice(Enum):
    """What an event says of a path: its writer is at work, has closed it, or something else happened."""

    WRITING = "writing"
    CLOSED = "closed"
    OTHER = "other"


Notify = Callable[[Notice, str], None]
"""Called with a path, from any thread."""


class Events(Protocol):
    """Where events come from; a rescan is made anyway."""

    def arm(self, wanted: Iterable[Place]) -> str:
        """Have events of exactly these places; the reason when some cannot be had, else an empty text."""
        ...

    def close(self) -> None:
        """No more events."""
        ...


class SystemEvents:
    """watchdog: inotify on Linux, FSEvents on macOS. Blocking; called from one thread at a time."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._armed: dict[Place, ObservedWatch] = {}
        self._observer: Any = None
        self._dead: set[Place] = set()

    def arm(self, wanted: Iterable[Place]) -> str:
        """As ``Events.arm``: what is armed already stays as it is, so that nothing is missed between."""
        places = set(wanted)
        for place in [place for place in self._armed if place not in places or place in self._dead]:
            # the folder is gone, as a rule, and its watch with it
            with contextlib.suppress(Exception):
                self._observer.unschedule(self._armed[place])
            del self._armed[place]
            self._dead.discard(place)
        problem = ""
        for place in sorted(places - self._armed.keys(), key=lambda place: place.path):
            try:
                self._armed[place] = self._schedule(place)
            except FileNotFoundError:
                continue  # gone again; the next scan wants others
            except (OSError, RuntimeError) as error:
                problem = problem or f"{place.path}: {getattr(error, 'strerror', None) or error}"
        return problem

    def close(self) -> None:
        """End watchdog's threads."""
        if self._observer is not None:
            self._observer.stop()
            with contextlib.suppress(RuntimeError):
                self._observer.join(5)
        self._observer = None
        self._armed.clear()

    def _schedule(self, place: Place) -> ObservedWatch:
        if self._observer is None:
            from watchdog.observers import Observer

            # It complains of folders that went away while it looked, which a scan finds out in any case.
            logging.getLogger("watchdog").setLevel(logging.CRITICAL)
            # Folders made faster than it looks are watched twice, it warns, and one of the two stays.
            warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
            observer = Observer()
            observer.daemon = True
            observer.start()
            self._observer = observer
        handler, kinds = _handler(place, self._notify, self._dead)
        watched: ObservedWatch = self._observer.schedule(
            handler, place.path, recursive=place.recursive, event_filter=kinds
        )
        return watched


def _handler(place: Place, notify: Notify, dead: set[Place]) -> tuple[Any, list[Any]]:
    from watchdog import events

    # Opening and closing without a write are left out: our own reading would answer itself for ever.
    kinds = [
        events.FileCreatedEvent,
        events.FileModifiedEvent,
        events.FileClosedEvent,
        events.FileMovedEvent,
        events.FileDeletedEvent,
        events.FileAttribEvent,
        events.DirCreatedEvent,
        events.DirMovedEvent,
        events.DirDeletedEvent,
        events.DirAttribEvent,
    ]
    notices = {"modified": Notice.WRITING, "closed": Notice.CLOSED}

    class Handler(events.FileSystemEventHandler):
        def on_any_event(self, event: events.FileSystemEvent) -> None:
            kind = notices.get(event.event_type, Notice.OTHER)
            paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
            if paths[0] == place.path and event.event_type in ("deleted", "moved"):
                # its inode may be given to the folder that is made next, which nobody watches
                dead.add(place)
            if any(_matters(path, place) for path in paths):
                notify(kind, paths[-1])
                if len(paths) > 1:
                    notify(Notice.CLOSED, paths[0])

    return Handler(), kinds


def _matters(path: str, place: Place) -> bool:
    relative = os.path.relpath(path, place.path)
    if relative == ".":
        return True
    parts = relative.split("/")
    if place.names is not None:
        return len(parts) == 1 and parts[0] in place.names
    # .git and .flowpost are busy, ..data is a ConfigMap's link
    return not any(part.startswith(".") and not part.startswith("..") for part in parts[:-1])
