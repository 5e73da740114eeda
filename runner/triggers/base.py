"""The contract: a trigger turns something that happened into an event, and asks the acceptor to keep it.

Triggers know neither the engine nor its database. ``Acceptor`` returns once the event is on disk; it raises
Conflict when the key came before with another payload, and Unavailable when the event cannot be kept now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from runner.model import Accepted, Event, Flow, Run
from runner.schema import Checker, Problem, unaudited_checker

Acceptor = Callable[[Flow, Event, str | None], Awaitable[Accepted]]
"""Keeps an event; the key makes a repeat return the first run."""

Waiter = Callable[[str, float], Awaitable[Run | None]]
"""The run of that id once it has ended; None when it has not within so many seconds."""

Flows = Callable[[], Mapping[str, Flow]]
"""The live flows by name. The same object as long as nothing changed: triggers compare by identity."""


class BadBody(Exception):
    """What came is not a body of this flow: not JSON, or against the flow's body schema."""

    def __init__(self, detail: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)


class Bodies:
    """The body schemas of flows, each built once."""

    def __init__(self) -> None:
        self._checkers: dict[str, Checker] = {}

    def check(self, flow: Flow, body: object) -> None:
        """Raise BadBody when ``body`` is not what the flow's ``body`` asks for; takes a second at most."""
        if flow.body is None:
            return
        checker = self._checkers.get(flow.digest)
        if checker is None:
            if len(self._checkers) > 10_000:
                self._checkers.clear()
            checker = self._checkers[flow.digest] = unaudited_checker(flow.body)
        problems = checker.problems(body)
        if problems:
            raise BadBody("the body does not match the body schema of this flow", problems)
