"""A letter that waits for its outcome, and the one who waits for it."""

from __future__ import annotations

import asyncio

from runner.errors import EnvelopeError, FlowpostError
from runner.model import Outcome
from runner.smtp.session import Session
from runner.smtp.transaction import Letter, Stage


class Job:
    """A letter and who waits for its outcome."""

    __slots__ = ("letter", "moves", "outcome", "session", "stage")

    def __init__(self, letter: Letter) -> None:
        self.letter = letter
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.stage = Stage()
        self.session: Session | None = None
        self.moves = 0

    def fail(self, error: BaseException) -> None:
        """Give the waiter an error of its own; many may share one cause."""
        if self.outcome.done():
            return
        if isinstance(error, FlowpostError):
            error = _own(error)
        self.outcome.set_exception(error)
        # The waiter may be gone; asyncio would then log an exception that nobody fetched.
        self.outcome.exception()


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
