"""A letter that waits for its outcome, and for whoever waits for it the future of that."""

from __future__ import annotations

import asyncio

from runner.errors import DeliveryUnknown, EnvelopeError, FlowpostError
from runner.model import Outcome
from runner.smtp.reply import Reply
from runner.smtp.session import Session
from runner.smtp.transaction import Letter


class Job(asyncio.Future[Outcome]):
    """A letter, and the future of its outcome.

    ``cancel()`` tells what became of it: a letter that is certainly not handed over is cancelled and will not
    be sent; for one whose end may have left it raises DeliveryUnknown where the outcome is waited for.
    """

    __slots__ = (
        "due",
        "error",
        "handed_over",
        "letter",
        "lines",
        "moves",
        "replies",
        "resets",
        "reused",
        "session",
    )

    def __init__(self, letter: Letter, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.letter = letter
        self.handed_over = False
        """True once the server may have the whole message."""
        self.moves = 0
        """How often it was given to another connection."""
        self.reused = False
        """Whether its connection had carried another one before."""
        self.session: Session | None = None
        """The connection that can be broken to take it back."""
        self.replies: list[Reply] = []
        self.resets = 0
        """1 when RSET stood before its commands."""
        self.due = 0
        """So many replies have to be there for the next step."""
        self.lines: list[bytes] = []
        """Commands that wait for the reply to the one before, the last one first."""
        self.error: FlowpostError | None = None
        """What it will end with, once the server is in step again."""

    def cancel(self, msg: object = None) -> bool:
        """Give up waiting; before the end of the message that breaks its connection, so that it is not sent."""
        if self.done():
            return False
        if self.handed_over:
            self.fail(DeliveryUnknown("Delivery unknown: stopped before the server's reply"))
            return True
        super().cancel(msg)
        if self.session is not None:
            self.session.wire.abort()
        return True

    def fail(self, error: BaseException) -> None:
        """Give the waiter an error of its own; many may share one cause."""
        if self.done():
            return
        if isinstance(error, FlowpostError):
            error = _own(error)
        self.set_exception(error)
        # The waiter may be gone; asyncio would then log an exception that nobody fetched.
        self.exception()


def _own(error: FlowpostError) -> FlowpostError:
    """A copy: one exception raised in many tasks would gather all their tracebacks."""
    own = type(error)(
        error.message,
        hint=error.hint,
        transient=error.transient,
        smtp_code=error.smtp_code,
        enhanced_code=error.enhanced_code,
    )
    own.__cause__ = error.__cause__
    if isinstance(own, EnvelopeError) and isinstance(error, EnvelopeError):
        own.rejections = error.rejections
    return own


def give(given: asyncio.Future[Job | None], job: Job | None) -> bool:
    """Hand over to a resting worker; False when it has something already."""
    if given.done():
        return False
    given.set_result(job)
    return True
