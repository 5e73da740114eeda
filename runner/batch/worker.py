"""The second process of a batch: it writes messages, and has all connections to the mail server.

It decides nothing. What leaves, and what is remembered of it, is the first process's; when that is gone this one
ends at once, so that nothing leaves that nobody notes down.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from runner.batch.carriage import KEPT, sealed
from runner.batch.courier import REFRESH
from runner.batch.frames import Frames
from runner.batch.letters import Bodies, Letters
from runner.credential import SmtpCredential
from runner.errors import FlowpostError
from runner.model import Envelope, Outcome
from runner.nodes.blank import Draft
from runner.smtp.pool import Sender

if TYPE_CHECKING:
    from runner.ledger.flights import Flights
    from runner.rows import Row, RowFile

_TOGETHER = 0.0005
"""Seconds for which an outcome waits for others, to be told with them."""
Ended = tuple[object, ...] | BaseException | None
"""What became of a message: the fields of its ``Outcome``, which are pickled in a third of the time that it is; an
error; None when it was certainly not handed over.
"""
_NOBODY = 3
"""The exit code when the first process is gone."""


@dataclass(eq=False, repr=False)
class Worker:
    """What the second process needs; all of it was there before the fork, and nothing of it is shared after."""

    letters: Letters
    bodies: Bodies
    file: RowFile
    sender: Sender
    look_up: Callable[[], Awaitable[SmtpCredential]]
    flights: Flights | None = None

    def __post_init__(self) -> None:
        self._kept: dict[int, Draft] = {}
        self._room = KEPT
        self._jobs: dict[int, asyncio.Future[Outcome]] = {}
        self._ended: list[tuple[int, Ended]] = []

    async def serve(self, channel: socket.socket) -> None:
        """Do what comes over ``channel`` until it says that this was all."""
        # Now, while the rows are looked at, and not when the first one is to leave.
        import runner.smtp.client  # noqa: F401

        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        self._frames = Frames(self._heard, self._alone)
        try:
            self._credential = await self.look_up()
        except FlowpostError as error:
            self._over.set_exception(error)
        await loop.create_unix_connection(lambda: self._frames, sock=channel)
        fresh = asyncio.create_task(self._keep_fresh())
        try:
            async with self.sender:
                await self._over
        except BaseException as error:  # noqa: BLE001  # whatever it is, the first process has to know
            self._frames.tell("broken", _told(error))
        fresh.cancel()
        self._frames.close()

    def _heard(self, message: tuple[Any, ...]) -> None:
        try:
            match message:
                case ("fill", first, last):
                    self._frames.tell("filled", [self._fill(row) for row in self.file.rows(first, last)])
                case ("send", letters):
                    for number, fields, data, dotted in letters:
                        self._send(number, fields, data, dotted=dotted)
                case ("abandon",):
                    for job in list(self._jobs.values()):
                        job.cancel()
                case ("over",):
                    self._over.set_result(None)
        except Exception as error:  # noqa: BLE001
            if not self._over.done():
                self._over.set_exception(error)

    def _alone(self) -> None:
        if not self._over.done():
            # No farewell: what is in the middle of its content must not arrive.
            os._exit(_NOBODY)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH)
            # A credential that cannot be used any more stops the first process, which looks too.
            with suppress(FlowpostError):
                self._credential = await self.look_up()

    # -- writing -------------------------------------------------------------------------------------

    def _fill(self, row: Row) -> tuple[object, ...] | FlowpostError | bool | None:
        """An ``Entry``, an ``Elsewhere`` as its fields."""
        try:
            filled = self.letters.fill(row.number, self.bodies.of(row), self._credential)
        except FlowpostError as error:
            return error
        if filled is None:
            return None
        if self._room <= 0:
            return True
        self._room -= filled.room
        self._kept[row.number] = filled
        envelope = filled.envelope
        return envelope.sender, envelope.recipients, envelope.smtputf8, filled.message_id

    # -- sending -------------------------------------------------------------------------------------

    def _send(self, number: int, fields: tuple[Any, ...] | None, data: bytes | None, *, dotted: bool) -> None:
        if (kept := self._kept.pop(number, None)) is not None:
            self._room += kept.room
        if data is None:
            assert kept is not None
            data, dotted, fields = kept.data, kept.dotted, fields or kept.envelope
        assert fields is not None
        try:
            letter = sealed(self.flights, number, Envelope(*fields), data, dotted=dotted)
            job = self.sender.submit(self._credential, letter)
        except FlowpostError as error:
            self._tell(number, error)
            return
        self._jobs[number] = job
        job.add_done_callback(partial(self._landed, number))

    def _landed(self, number: int, job: asyncio.Future[Outcome]) -> None:
        del self._jobs[number]
        if job.cancelled():
            self._tell(number, None)
        elif (error := job.exception()) is not None:
            self._tell(number, _told(error))
        else:
            outcome = job.result()
            if self.flights is not None and not outcome.rejected:
                self.flights.arrived(number)
            self._tell(number, (outcome.accepted, outcome.rejected, outcome.response))

    def _tell(self, number: int, result: Ended) -> None:
        if not self._ended:
            asyncio.get_running_loop().call_later(_TOGETHER, self._tell_all)
        self._ended.append((number, result))

    def _tell_all(self) -> None:
        ended, self._ended = self._ended, []
        self._frames.tell("ended", ended)


def _told(error: BaseException) -> BaseException:
    """The error as the other process can have it: any but our own may not stand being pickled."""
    return error if isinstance(error, FlowpostError) else RuntimeError(f"{type(error).__name__}: {error}")
