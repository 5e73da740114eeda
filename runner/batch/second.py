"""The first process's hold on the second: a fork, a socket, and what was asked for over it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

from runner.batch.carriage import Elsewhere, Entry, Written
from runner.batch.frames import Frames
from runner.batch.worker import Worker
from runner.credential import SmtpCredential
from runner.errors import DeliveryUnknown, Unavailable
from runner.ledger.flights import Flights
from runner.loops import loop_factory
from runner.model import Envelope, Outcome

AHEAD = 2
"""Stretches of rows that the second process has to fill at a time, so that it never waits for the first."""
_FAREWELL = 10.0
"""Seconds for which the second process may take leave of the mail server."""


class Errand(asyncio.Future[Outcome]):
    """A message that the second process carries: only that can say what became of it."""

    def cancel(self, msg: object = None) -> bool:
        """No: see ``Second.abandon``."""
        return False


class Second:
    """A ``Carriage`` whose connections are another process's, which also writes messages.

    ``lost`` is called when that process has failed or is gone; everything asked of it has ended by then.
    """

    def __init__(self, process: int, lost: Callable[[BaseException], None], flights: Flights | None) -> None:
        self._process = process
        self._lost = lost
        self._flights = flights
        self._frames = Frames(self._heard, self._gone)
        self._fills: deque[asyncio.Future[list[Entry]]] = deque()
        self._errands: dict[int, Errand] = {}
        self._leaving: list[tuple[int, tuple[object, ...] | None, bytes | None, bool]] = []
        self._away: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error: BaseException | None = None
        self._closing = False

    @classmethod
    async def start(cls, worker: Worker, lost: Callable[[BaseException], None]) -> Self | None:
        """Fork, with ``worker`` in the second process; None where the system allows no more processes."""
        here, there = socket.socketpair()
        # What is there now stays: the collector must not touch, and so copy, every page that the two share.
        gc.freeze()
        try:
            with warnings.catch_warnings():
                # There is no other thread yet but, on a terminal, the progress bar's, whose locks nobody there takes.
                warnings.simplefilter("ignore", DeprecationWarning)
                process = os.fork()
        except OSError:
            here.close()
            there.close()
            return None
        if process == 0:
            here.close()
            _work(worker, there)
        there.close()
        second = cls(process, lost, worker.flights)
        await asyncio.get_running_loop().create_unix_connection(lambda: second._frames, sock=here)
        return second

    # -- writing -------------------------------------------------------------------------------------

    @property
    def free(self) -> bool:
        """Whether it could have more rows to fill."""
        return len(self._fills) < AHEAD and self._error is None

    def fill(self, first: int, last: int) -> asyncio.Future[list[Entry]]:
        """Have it write the messages of rows ``first`` to ``last``: an entry a row. Stretches come in order."""
        filled: asyncio.Future[list[Entry]] = asyncio.get_running_loop().create_future()
        self._fills.append(filled)
        self._frames.tell("fill", first, last)
        return filled

    # -- sending -------------------------------------------------------------------------------------

    def submit(
        self, credential: SmtpCredential, number: int, envelope: Envelope, written: Written
    ) -> asyncio.Future[Outcome]:
        """See ``Carriage``; the second process has looked the credential up itself."""
        errand = Errand()
        if self._error is not None:
            _settle(errand, None)
            return errand
        self._errands[number] = errand
        if not self._leaving:
            asyncio.get_running_loop().call_soon(self._hand_over)
        # As plain tuples, which are pickled in half the time.
        if isinstance(written, Elsewhere):
            own = None if envelope == written.envelope else tuple(envelope)
            self._leaving.append((number, own, None, False))
        else:
            self._leaving.append((number, tuple(envelope), written.data, written.dotted))
        return errand

    def arrived(self, number: int) -> None:
        """See ``Carriage``; the second process has noted it."""

    def abandon(self, flying: Iterable[asyncio.Future[Outcome]]) -> None:
        """See ``Carriage``. The second process knows best which they are."""
        self._frames.tell("abandon")

    async def close(self) -> None:
        """Let it take leave of the mail server, and wait for its end; nothing is under way any more."""
        self._closing = True
        self._frames.tell("over")
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._away
        except TimeoutError:
            os.kill(self._process, signal.SIGKILL)
            self._frames.close()
        await asyncio.to_thread(os.waitpid, self._process, 0)

    def _hand_over(self) -> None:
        leaving, self._leaving = self._leaving, []
        self._frames.tell("send", leaving)

    # -- what it says --------------------------------------------------------------------------------

    def _heard(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("filled", entries):
                self._fills.popleft().set_result(
                    [Elsewhere(*one) if type(one) is tuple else one for one in entries]
                )
            case ("ended", ended):
                for number, result in ended:
                    _settle(self._errands.pop(number), result)
            case ("broken", error):
                self._error = error

    def _gone(self) -> None:
        self._away.set_result(None)
        if self._closing and self._error is None:
            return
        error = self._error = self._error or Unavailable(
            "the second process of the batch was killed", hint="is there enough memory?"
        )
        self._lost(error)
        for filled in self._fills:
            filled.set_exception(error)
            filled.exception()  # whoever waited for it may have given up
        never_left = {number for number, *_ in self._leaving}
        if self._flights is not None:
            never_left.update(number for number in self._errands if not self._flights.left(number))
        errands, self._errands = self._errands, {}
        for number, errand in errands.items():
            killed = DeliveryUnknown("Delivery unknown: the process that carried the message was killed")
            _settle(errand, None if number in never_left else killed)


def _settle(errand: Errand, result: Any) -> None:
    if result is None:
        asyncio.Future.cancel(errand)
    elif isinstance(result, BaseException):
        errand.set_exception(result)
    else:
        errand.set_result(Outcome(*result))


def _work(worker: Worker, channel: socket.socket) -> None:
    """The second process's whole life. It does not come back: the stack above belongs to the first."""
    code = 1
    try:
        # Ctrl-C reaches both; what it means is for the first to say. And the loop that is running here is not ours:
        # its wake-up socket is the other's.
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(worker.serve(channel))
        code = 0
    finally:
        os._exit(code)
