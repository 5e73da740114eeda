"""The sender: one for the process, with the pooled connections of every credential."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from runner.credential import SmtpCredential
from runner.model import Envelope, Outcome
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
        DeliveryUnknown once it may have been. When the caller is cancelled, the message may or may not
        have been sent.
        """
        if len(data) > _LARGE:
            letter = await asyncio.to_thread(Letter.seal, envelope, data)
        else:
            letter = Letter.seal(envelope, data)
        if self._closed:
            raise RuntimeError("the sender is closed")
        return await self._lane(credential).send(letter)

    def _lane(self, credential: SmtpCredential) -> Lane:
        key = (credential.workspace, credential.name, credential.fingerprint)
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
