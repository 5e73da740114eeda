"""The sender: one for the process, with the pooled connections of every credential."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from runner.credential import SmtpCredential
from runner.model import Envelope, Outcome
from runner.smtp.job import Job
from runner.smtp.lane import Key, Lane
from runner.smtp.pace import Clock, Pace, Refusals
from runner.smtp.session import Dialer
from runner.smtp.transaction import Letter

_LARGE = 256 * 1024
_PATIENCE = 5.0


class Sender:
    """Sends messages over pooled connections, as an async context manager on one loop.

    Connections are kept apart by workspace, credential and fingerprint of its secret, at most
    ``max_connections`` each; one carries ``max_messages`` and rests ``idle_seconds``. ``clock`` counts
    seconds and never goes back.
    """

    def __init__(self, guard: Dialer, *, clock: Clock = time.monotonic) -> None:
        self._guard = guard
        self._clock = clock
        self._refusals = Refusals(clock)
        self._paces: dict[Key, Pace] = {}
        self._lanes: dict[Key, Lane] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closed = True
        lanes = list(self._lanes.values())
        await asyncio.gather(*(lane.close(_PATIENCE) for lane in lanes))

    async def send(self, credential: SmtpCredential, envelope: Envelope, data: bytes) -> Outcome:
        """Send ``data``, a whole message in strict CRLF, to the envelope's recipients; one transaction.

        The outcome lists who was accepted, at least one, and who was refused. Raises what the message or
        the server earned: AddressError, HeaderError, EnvelopeError, MessageError, AuthError, TlsError,
        BlockedError; ConnectionFailed and TimedOut while the message was certainly not accepted,
        DeliveryUnknown once it may have been. A caller that is cancelled before the final dot breaks the
        connection, and the message is not sent; after it nobody can take the message back, and DeliveryUnknown
        is raised instead, so that a time limit or Ctrl-C never passes for "not sent".
        """
        if len(data) > _LARGE:
            letter = await asyncio.to_thread(Letter.seal, envelope, data)
        else:
            letter = Letter.seal(envelope, data)
        job = self.submit(credential, letter)
        try:
            return await job
        except asyncio.CancelledError:
            if job.done() and not job.cancelled():
                return job.result()  # it ended in the very moment of the cancelling
            raise

    def submit(self, credential: SmtpCredential, letter: Letter) -> Job:
        """Put a sealed letter in the queue of its credential; the future has the outcome, or raises as ``send``.

        For those who send many: no coroutine and no task a message. Whoever cancels the future, or a task that
        awaits it, learns by it whether the letter may have been sent: see ``Job.cancel``.
        """
        if self._closed:
            raise RuntimeError("the sender is closed")
        return self._lane(credential).submit(letter)

    def wait(self, credential: SmtpCredential) -> float | None:
        """Seconds for which the credential is held back, since the server asked for less (421, 432, 454);
        None when it is not.
        """
        pace = self._paces.get(_key(credential))
        return (pace.wait() or None) if pace is not None else None

    def _lane(self, credential: SmtpCredential) -> Lane:
        key = _key(credential)
        lane = self._lanes.get(key)
        if lane is None:
            for other, old in self._lanes.items():
                if other[:2] == key[:2]:
                    old.retire()
            self._paces = {other: pace for other, pace in self._paces.items() if not pace.forgotten()}
            pace = self._paces.setdefault(key, Pace(self._clock))
            lane = Lane(
                self._guard, credential, key, self._refusals, pace, self._clock, lambda: self._forget(key)
            )
            self._lanes[key] = lane
        return lane

    def _forget(self, key: Key) -> None:
        # The credential's secret leaves memory with its last connection.
        self._lanes.pop(key, None)


def _key(credential: SmtpCredential) -> Key:
    return (credential.workspace, credential.name, credential.fingerprint)
