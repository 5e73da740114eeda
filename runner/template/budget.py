"""How much one render may do: steps of work, bytes of memory, and a deadline, counted inside.

No signal and no second thread can stop a render on the event loop, so the work counts itself: loops pay for
their turns before they begin, operators, filters and methods pay for the size of what they are about to
build. The clock is only a second line of defence, read once in a while. A render that never pays costs
nothing here.
"""

from __future__ import annotations

import threading
import time

STEPS = 2_500_000
"""One step is about the work of one small expression, 0.1 µs."""
SPACE = 48 * 1024 * 1024
"""Bytes that one render may allocate in all, the parts that it gives back included."""
SECONDS = 0.45
"""Of the thread's own time; a machine that is busy with other things may take twice as long."""
DEPTH = 60
"""Macros and recursive loops within one another."""
_STRIDE = 20_000


class Refused(Exception):
    """A render was stopped: the reason for a person, without the place, which the template adds."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class _Budget:
    __slots__ = ("check", "deadline", "depth", "own_deadline", "space", "steps")

    def __init__(self) -> None:
        self.steps = STEPS
        self.space = SPACE
        self.check = STEPS - _STRIDE
        self.deadline = time.monotonic() + 2 * SECONDS
        self.own_deadline = time.thread_time() + SECONDS
        self.depth = 0


class _Local(threading.local):
    budget: _Budget | None = None


_local = _Local()


def begin() -> None:
    """Start a render on this thread with a fresh budget."""
    _local.budget = None


def spend(steps: int, space: int = 0) -> None:
    """Pay for work that is about to be done; raises Refused when the render has had its share."""
    budget = _local.budget
    if budget is None:
        budget = _local.budget = _Budget()
    # a copy of n bytes is n/64 steps, so that work on large values counts as work
    budget.steps -= steps + (space >> 6)
    budget.space -= space
    if budget.space < 0:
        raise Refused(f"the template needs more than {SPACE // 1024 // 1024} MiB of memory")
    if budget.steps < budget.check:
        if budget.steps < 0:
            raise Refused("the template does too much work", "loop over fewer items, or build less")
        budget.check = budget.steps - _STRIDE
        if time.thread_time() > budget.own_deadline or time.monotonic() > budget.deadline:
            raise Refused("the template takes too long", "loop over fewer items, or build less")


def spend_text(characters: int, wide: bool = True) -> None:
    """Pay for a text of so many characters: one byte each, or four where one of them is ``wide``."""
    if characters > 64:
        spend(characters >> 6, characters << 2 if wide else characters)


def deeper() -> None:
    """Enter a macro or a recursive loop; pair it with ``shallower``."""
    spend(10)
    budget = _local.budget
    assert budget is not None
    budget.depth += 1
    if budget.depth > DEPTH:
        raise Refused(f"the template's macros or recursive loops are nested more than {DEPTH} deep")


def shallower() -> None:
    """Leave what ``deeper`` entered."""
    if _local.budget is not None:
        _local.budget.depth -= 1
