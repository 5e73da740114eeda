"""From a host name to addresses, without holding up the loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

_AT_ONCE = 16


class Resolver(Protocol):
    """Anything awaitable that turns a lower-case ASCII name into addresses as text.

    An empty answer means that the name does not exist; ``socket.gaierror`` says what else went wrong.
    """

    async def __call__(self, host: str) -> Sequence[str]:
        """Every address of ``host``, in the order they should be tried."""
        ...


class SystemResolver:
    """The system's ``getaddrinfo``, in daemon threads of its own, at most 16 at once.

    Not the loop's default executor: a name server that never answers would use up the threads that files and
    databases need, and keep the process from ending.
    """

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        self._slots = asyncio.Semaphore(at_once)

    async def __call__(self, host: str) -> Sequence[str]:
        """Every address of ``host`` without repeats; raises ``socket.gaierror``."""
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def deliver(act: Callable[[], None]) -> None:
            self._slots.release()
            if not answer.done():
                act()

        def work() -> None:
            try:
                found = _lookup(host)
            except OSError as exc:
                error = exc
                settle: Callable[[], None] = lambda: answer.set_exception(error)  # noqa: E731
            else:
                settle = lambda: answer.set_result(found)  # noqa: E731
            try:
                loop.call_soon_threadsafe(deliver, settle)
            except RuntimeError:
                return  # the loop was closed while the name server was thinking; nobody waits any more

        try:
            threading.Thread(target=work, name="flowpost-resolve", daemon=True).start()
        except RuntimeError as exc:
            self._slots.release()
            raise socket.gaierror(socket.EAI_AGAIN, "no thread to resolve with") from exc
        return await answer


def _lookup(host: str) -> Sequence[str]:
    # Bytes, so that Python's own idna codec has no second opinion on the name.
    infos = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
