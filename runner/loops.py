"""Which event loop runs what: uvloop where it is installed (``pip install flowpost[fast]``), else asyncio's own."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a loop, for ``asyncio.Runner(loop_factory=...)``; None, for asyncio's own, without uvloop.

    It pays where one process sends thousands of messages: about half the CPU of each. Loading it costs some
    milliseconds, which a command that sends one message would lose.
    """
    try:
        # By name: an optional dependency is not one that types and floors may count on.
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
