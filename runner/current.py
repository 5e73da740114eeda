"""What is being carried out right here: the run, flow and node that a log line is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_CURRENT: ContextVar[Mapping[str, str]] = ContextVar("flowpost_current", default={})  # noqa: B039  (never written to)


def current() -> Mapping[str, str]:
    """``run``, ``flow`` and ``node``, as far as they are known in this task."""
    return _CURRENT.get()


@contextmanager
def about(**names: str) -> Iterator[None]:
    """Within the block, this task's log lines are about ``names`` too."""
    token = _CURRENT.set({**_CURRENT.get(), **names})
    try:
        yield
    finally:
        _CURRENT.reset(token)
