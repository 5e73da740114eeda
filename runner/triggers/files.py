"""``files``: each new file in a folder is one event. The driver; ``runner.triggers.inbox`` moves the files."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

from runner.errors import Conflict, FlowpostError
from runner.model import Event, Flow
from runner.triggers.base import Acceptor, BadBody, Bodies, Flows
from runner.triggers.inbox import MAX_NAME, Changed, Claimed, Inbox, Seen

MAX_FILE = 10 * 1024 * 1024
_LOG = logging.getLogger("flowpost.files")
_BATCH = 64  # claimed at once: each is an open descriptor


@dataclass(frozen=True, slots=True)
class Drop:
    """A files trigger: the flow, the trigger's number, and the last part of its path."""

    flow: Flow
    index: int
    pattern: str


def drops_of(flow: Flow) -> list[tuple[str, Drop]]:
    """Folder and trigger, for each files trigger of a flow."""
    found = []
    for index, trigger in enumerate(flow.triggers):
        if trigger.type == "files":
            path = PurePosixPath(str(trigger.params["path"]))
            found.append((str(path.parent), Drop(flow, index, path.name)))
    return found


class Folders:
    """Looks at the folders of the live flows and turns what is dropped there into events.

    A file is taken when two looks, ``settle`` seconds apart or more, find it alike. A writer that pauses longer writes
    elsewhere on the same disk and renames, or gives a name that begins with a dot until it is done. A file that fits
    several flows is one event for each of them.
    """

    def __init__(
        self,
        root: Path,
        flows: Flows,
        accept: Acceptor,
        *,
        settle: float = 1.0,
        interval: float = 0.5,
        max_file: int = MAX_FILE,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._root = root
        self._flows = flows
        self._accept = accept
        self._settle = settle
        self._interval = interval
        self._max_file = max_file
        self._monotonic = monotonic
        self._clock = clock
        self._sleep = sleep
        self._bodies = Bodies()
        self._of: Mapping[str, Flow] | None = None
        self._drops: dict[str, list[Drop]] = {}
        self._first_seen: dict[str, dict[str, tuple[Seen, float]]] = {}
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.turn()
            await self._sleep(self._interval)

    async def turn(self) -> None:
        """One look at every folder; what is ready is taken. Raises nothing for a folder or a file that is bad."""
        flows = self._flows()
        if flows is not self._of:
            self._drops = {}
            for flow in flows.values():
                for folder, drop in drops_of(flow):
                    self._drops.setdefault(folder, []).append(drop)
            self._of = flows
        for folder, drops in self._drops.items():
            try:
                await self._folder(folder, drops)
            except OSError as error:
                self._tell(folder, f"{folder}: {error.strerror or type(error).__name__}")

    async def _folder(self, folder: str, drops: list[Drop]) -> None:
        inbox = Inbox(self._root, self._root / folder)
        patterns = frozenset(drop.pattern for drop in drops)
        seen = await asyncio.to_thread(inbox.look, patterns)
        before, now = self._first_seen.get(folder, {}), self._monotonic()
        known = {
            name: before[name] if name in before and before[name][0] == one else (one, now)
            for name, one in seen.items()
        }
        self._first_seen[folder] = known
        ready = [(name, one) for name, (one, since) in known.items() if now - since >= self._settle]
        left_over = await asyncio.to_thread(lambda: list(islice(inbox.left_over(), _BATCH)))
        going = await self._take_all(inbox, folder, drops, left_over)
        for start in range(0, len(ready), _BATCH):
            if not going:
                break
            claims = await asyncio.to_thread(self._claim_all, inbox, folder, ready[start : start + _BATCH])
            going = await self._take_all(inbox, folder, drops, claims)

    async def _take_all(self, inbox: Inbox, folder: str, drops: list[Drop], claims: list[Claimed]) -> bool:
        """Take claimed files; False when events are not accepted for now, so that there is no use in claiming more."""
        results = await asyncio.gather(
            *(self._take(inbox, folder, drops, claimed) for claimed in claims), return_exceptions=True
        )
        for result in results:
            if isinstance(result, OSError):
                raise result
            if isinstance(result, BaseException):
                _LOG.error("a file in %s is left for the next look", folder, exc_info=result)
        return all(result is True for result in results)

    def _claim_all(self, inbox: Inbox, folder: str, ready: list[tuple[str, Seen]]) -> list[Claimed]:
        claims: list[Claimed] = []
        try:
            for name, seen in ready:
                claims += self._claim(inbox, folder, name, seen)
        except BaseException:
            for claimed in claims:
                claimed.release()
            raise
        return claims

    def _claim(self, inbox: Inbox, folder: str, name: str, seen: Seen) -> list[Claimed]:
        """The file, claimed; empty when it is refused or somebody else's."""
        reason = ""
        if not seen.regular:
            reason = "it is a link, a pipe or a device, and only files are read"
        elif len(os.fsencode(name)) > MAX_NAME:
            reason = f"its name is longer than {MAX_NAME} bytes"
        elif seen.size > self._max_file:
            reason = f"the file has {seen.size:,} bytes, {self._max_file:,} are allowed"
        if reason:
            inbox.refuse(name, reason)
            _LOG.error("%s/%s is not taken: %s", folder, shown(name), reason)
            return []
        try:
            return [inbox.claim(name, seen)]
        except Changed:
            return []

    async def _take(self, inbox: Inbox, folder: str, drops: list[Drop], claimed: Claimed) -> bool:
        try:
            going = await self._events(inbox, folder, drops, claimed)
        except Changed:
            return True  # put back, and the lock is gone
        except BaseException:
            claimed.release()
            raise
        claimed.release()
        return going

    async def _events(self, inbox: Inbox, folder: str, drops: list[Drop], claimed: Claimed) -> bool:
        mine = [drop for drop in drops if fnmatchcase(claimed.name, drop.pattern)]
        if not mine:
            inbox.give_back(claimed)
            raise Changed
        path = shown(f"{folder}/{claimed.name}".removeprefix("./"))
        try:
            body = await asyncio.to_thread(inbox.read, claimed, self._max_file)
            for drop in mine:
                await asyncio.to_thread(self._bodies.check, drop.flow, body)
            read = os.fstat(claimed.descriptor)
            for drop in mine:
                event = Event(
                    type="files",
                    body=body,
                    time=_time(read.st_mtime, self._clock()),
                    headers={"file-path": path, "file-name": shown(claimed.name)},
                )
                await self._accept(drop.flow, event, f"files:{drop.flow.name}:{drop.index}:{claimed.token}")
        except BadBody as error:
            reason = "\n".join(
                [error.detail, *(f"{one.pointer or '/'}: {one.message}" for one in error.problems)]
            )
            await asyncio.to_thread(inbox.failed, claimed, reason)
            _LOG.error("%s is not taken: %s", path, error.detail)
        except Conflict as error:
            await asyncio.to_thread(inbox.failed, claimed, error.message)
            _LOG.error("%s was changed after its event was accepted", path)
        except FlowpostError as error:
            self._tell(folder, f"{path} waits: {error.message}")
            return False
        else:
            now = os.fstat(claimed.descriptor)
            if (now.st_size, now.st_mtime_ns) != (read.st_size, read.st_mtime_ns):
                _LOG.warning("%s was changed after it was read: its event lacks what came later", path)
            await asyncio.to_thread(inbox.done, claimed)
        return True

    def _tell(self, about: str, message: str) -> None:
        """Log once, and not at every look."""
        if self._told.get(about) != message:
            if len(self._told) > 1000:
                self._told.clear()
            self._told[about] = message
            _LOG.warning("%s", message)


def shown(name: str) -> str:
    """A file's name as text: what is not UTF-8 in it is replaced, since no database would take it."""
    return os.fsencode(name).decode("utf-8", "replace")


def _time(modified: float, now: float) -> datetime:
    """When the file was written, the same at each try; now where its clock makes no sense."""
    try:
        return datetime.fromtimestamp(modified, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(now, UTC)
