"""The rows to work on, chunk by chunk, as this process claims them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.ledger.batches import FINAL, Claim, Ours, Record
from runner.ledger.delivery import Replies
from runner.ledger.writer import Writer

if TYPE_CHECKING:
    from runner.batch.carriage import Written
    from runner.ledger.deliveries import Turn
    from runner.rows import Row, RowFile

AHEAD = 50
"""Rows at hand below which the next chunk is claimed."""
_LOOK_AGAIN = 0.5
"""Seconds between two looks for a chunk that another process has left."""


@dataclass(eq=False, repr=False, slots=True)
class Stretch:
    """A claimed chunk: how many of its rows have no outcome yet."""

    number: int
    open: int = 0
    whole: bool = True
    fresh: bool = True


@dataclass(eq=False, repr=False, slots=True)
class Item:
    """A row on its way to its outcome."""

    row: Row
    stretch: Stretch
    attempts: int = 0
    replies: Replies = field(default_factory=dict)
    strikes: int = 0
    body: Mapping[str, Any] | None = None


@dataclass(eq=False, repr=False, slots=True)
class Ready:
    """A row whose message is written; ``turn`` is its turn at the rates, once it has one."""

    item: Item
    written: Written
    turn: Turn | None = None

    def with_turn(self, turn: Turn | None) -> Ready:
        """The same, with its turn."""
        self.turn = turn
        return self


class Feed:
    """Claims chunks and hands out their rows. ``wake`` is called whenever there is something new to see."""

    def __init__(
        self,
        file: RowFile,
        ours: Ours,
        writer: Writer,
        known: Callable[[Row, Record], None],
        wake: Callable[[], None],
        *,
        end: int | None,
        claimed: Callable[[list[Row]], None] = lambda rows: None,
    ) -> None:
        """``known`` is told of each row whose outcome stood before; ``end`` is the data's last row, if known.

        ``claimed`` is told of the rows that are to be worked on, before anybody can take them.
        """
        self._file = file
        self._ours = ours
        self._writer = writer
        self._known = known
        self._wake = wake
        self._end = end
        self._claimed = claimed
        self._items: deque[Item] = deque()
        self._low = asyncio.Event()
        self._low.set()
        self._task: asyncio.Task[None] | None = None
        self._finished: list[int] = []
        self._mine: set[int] = set()
        self.seen: set[int] = set()
        """Chunks that this process has worked on."""
        self.over = False
        """No chunk is left, here or elsewhere, that this process could claim."""

    def __len__(self) -> int:
        return len(self._items)

    def start(self) -> None:
        """Begin to claim."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Claim no more. Raises what claiming failed with."""
        if self._task is not None:
            if not self._task.done():
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def failure(self) -> BaseException | None:
        """Why no more chunks can be claimed."""
        task = self._task
        return task.exception() if task is not None and task.done() and not task.cancelled() else None

    def take(self) -> Item | None:
        """The next row, when there is one now."""
        if len(self._items) <= AHEAD:
            self._low.set()
        return self._items.popleft() if self._items else None

    def settled(self, item: Item) -> None:
        """The row has its outcome."""
        stretch = item.stretch
        stretch.open -= 1
        if stretch.open == 0:
            self._close(stretch)

    def forget(self, lost: set[int]) -> None:
        """Drop the rows of chunks that another process has taken over."""
        self._items = deque(item for item in self._items if item.stretch.number not in lost)
        self._mine -= lost

    def take_finished(self) -> list[int]:
        """Chunks whose rows all have an outcome since the last time; ``noted`` is called once that is written."""
        finished, self._finished = self._finished, []
        return finished

    def unwritten(self, finished: list[int]) -> None:
        """They could not be written; they are to be taken again."""
        self._finished[:0] = finished

    def noted(self, finished: list[int]) -> None:
        """The chunks are done in the ledger too."""
        self._mine -= set(finished)

    def _close(self, stretch: Stretch) -> None:
        if stretch.whole:
            self._finished.append(stretch.number)
        self._low.set()
        self._wake()

    async def _run(self) -> None:
        try:
            while True:
                await self._low.wait()
                claim = await self._writer.write(self._ours.claim)
                if claim is not None:
                    await self._read(claim)
                    if len(self._items) > AHEAD:
                        self._low.clear()
                    self._wake()
                    continue
                others = await self._writer.write(self._ours.open_chunks) - len(self._mine)
                if others <= 0:
                    self.over = True
                    return
                await asyncio.sleep(_LOOK_AGAIN)
        finally:
            self._wake()

    async def _read(self, claim: Claim) -> None:
        last = min(claim.last, self._ours.last)
        rows = await asyncio.to_thread(lambda: list(self._file.rows(claim.first, last)))
        if len(rows) < last - claim.first + 1:
            self._end = claim.first + len(rows) - 1
            self._ours.end(self._end)
        # A chunk that ``--limit`` cuts has more rows for a later invocation.
        stretch = Stretch(
            claim.number,
            whole=last == claim.last or (self._end is not None and self._end <= last),
            fresh=claim.fresh,
        )
        self._mine.add(claim.number)
        self.seen.add(claim.number)
        open_ = []
        for row in rows:
            record = claim.known.get(row.number)
            if record is not None and record.state in FINAL:
                self._known(row, record)
                continue
            item = Item(row, stretch)
            if record is not None:
                item.attempts, item.replies = record.attempts, record.replies or {}
            stretch.open += 1
            open_.append(row)
            self._items.append(item)
        self._claimed(open_)
        if stretch.open == 0:
            self._close(stretch)
