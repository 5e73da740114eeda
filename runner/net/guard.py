"""The outbound guard: resolve once, check every address, connect to the very address that was checked.

What it stands against: a flow, a webhook body or a redirect that names an internal service or the cloud's
metadata address; a name server that answers with a public address first and a private one next (DNS
rebinding); and addresses in disguise (SPEC section 8). One prefix it cannot know: a network's own NAT64
prefix (RFC 6052 section 2.2).
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Sequence

from runner.errors import BlockedError, ConfigurationError, ConnectionFailed, TimedOut
from runner.net.host import is_localhost, parse_host, shown
from runner.net.resolver import Resolver, SystemResolver
from runner.net.table import Address, is_public, refusal

__all__ = ["Guard", "Resolver", "is_public"]

_LOOPBACK: tuple[Address, ...] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))
_TRIED = 8
_HEAD_START = 0.25


class Guard:
    """Opens TCP connections to public addresses, and to what the operator allows.

    ``allow`` holds CIDR blocks, addresses and host names (exact, no wildcards) of ``network.allow``; a name
    in it is let through whatever it resolves to. Raises ConfigurationError for an entry that is none of
    these.
    """

    def __init__(self, allow: Sequence[str] = (), resolver: Resolver | None = None) -> None:
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[str] = set()
        self._resolver = resolver if resolver is not None else SystemResolver()
        for entry in allow:
            self._allow(entry)

    def follow(self, allow: Sequence[str]) -> None:
        """Let through what ``allow`` names from now on, and nothing else; open connections stay.

        Raises ConfigurationError, and then nothing has changed.
        """
        fresh = Guard(allow, self._resolver)
        self._networks, self._names = fresh._networks, fresh._names

    async def connect(self, host: str, port: int, *, timeout: float) -> socket.socket:  # noqa: ASYNC109
        """Connect to ``host`` and return a non-blocking TCP socket; ``timeout`` is seconds, for everything.

        Raises BlockedError when any address of the host is refused, ConnectionFailed when nothing answers or
        the name does not resolve, TimedOut.
        """
        place = f"{shown(host)}:{port}"
        if not 0 < port < 65536:
            raise ConnectionFailed(f"Cannot connect to {place}: not a port", transient=False)
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                addresses = await self.addresses(host, port)
                return await _first_to_answer(addresses, port, place)
        except TimeoutError as exc:
            raise TimedOut(f"Timed out connecting to {place} after {timeout:g} s") from exc

    async def addresses(self, host: str, port: int = 0) -> tuple[str, ...]:
        """Resolve ``host`` once and return its addresses, all of them checked; raises as ``connect`` does."""
        target = _target(host, port)
        if not isinstance(target, str):
            self._check(host, target)
            return (str(target),)
        if is_localhost(target):
            return tuple(str(address) for address in self._loopback(target))
        answers = await self._resolve(target, f"{shown(host)}:{port}")
        if target not in self._names:
            for address in answers:
                self._check(target, address)
        return tuple(str(address) for address in answers)

    def check_host(self, host: str) -> None:
        """Refuse what needs no name server: literal addresses, ``localhost``, and what is no host at all.

        Raises BlockedError, or ConnectionFailed for what is no host. For ``validate``; connecting checks
        again.
        """
        target = _target(host, 0)
        if not isinstance(target, str):
            self._check(host, target)
        elif is_localhost(target):
            self._loopback(target)

    def _allow(self, entry: str) -> None:
        if not isinstance(entry, str):
            raise ConfigurationError(f"{entry!r} in network.allow is not text", hint="put it in quotes")
        try:
            self._networks.append(ipaddress.ip_network(entry, strict=True))
            return
        except ValueError:
            pass
        problem = f'"{shown(entry)}" in network.allow is not a CIDR block, an address or a host name'
        if "/" in entry:
            try:
                meant = ipaddress.ip_network(entry, strict=False)
            except ValueError as exc:
                raise ConfigurationError(problem, hint="write it like 10.0.0.0/8 or fd00::/8") from exc
            raise ConfigurationError(problem, hint=f"did you mean {meant}?")
        try:
            name = parse_host(entry)
        except ValueError as exc:
            raise ConfigurationError(problem) from exc
        if not isinstance(name, str):
            raise ConfigurationError(problem, hint=f"write it as {name}")
        self._names.add(name)

    def _permits(self, address: Address) -> bool:
        return refusal(address) is None or any(address in network for network in self._networks)

    def _check(self, host: str, address: Address) -> None:
        if self._permits(address):
            return
        told = str(address) if shown(host) == str(address) else f'"{shown(host)}" is {address}'
        raise BlockedError(f"Address is not public: {told} ({refusal(address)})")

    def _loopback(self, name: str) -> tuple[Address, ...]:
        # Both families are the same machine and no name server has a say, so one that is allowed is enough.
        if name in self._names:
            return _LOOPBACK
        allowed = tuple(address for address in _LOOPBACK if self._permits(address))
        if not allowed:
            self._check(name, _LOOPBACK[0])
        return allowed

    async def _resolve(self, name: str, place: str) -> list[Address]:
        try:
            answers = await self._resolver(name)
        except OSError as exc:
            raise ConnectionFailed(f"Cannot connect to {place}: {_dns_reason(exc)}") from exc
        if not answers:
            raise ConnectionFailed(f"Cannot connect to {place}: host name not found")
        try:
            return [ipaddress.ip_address(answer) for answer in answers]
        except ValueError as exc:
            raise BlockedError(
                f'Address is not public: "{shown(name)}" has an answer that is no address'
            ) from exc


def _target(host: str, port: int) -> Address | str:
    try:
        return parse_host(host)
    except ValueError as exc:
        place = f"{shown(host)}:{port}" if port else shown(host)
        raise ConnectionFailed(
            f"Cannot connect to {place}: not a host name or address",
            hint="check the host name",
            transient=False,
        ) from exc


async def _first_to_answer(addresses: Sequence[str], port: int, place: str) -> socket.socket:
    """Try the addresses in order, each with a head start of a quarter second (after RFC 8305)."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    waiting = list(addresses[:_TRIED])
    last: OSError | None = None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_dial(waiting.pop(0), port)))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=_HEAD_START if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            won: socket.socket | None = None
            for attempt in done:
                error = attempt.exception()
                if isinstance(error, OSError):
                    last = error
                elif error is not None:
                    raise error
                elif won is None:
                    won = attempt.result()
                else:
                    attempt.result().close()
            if won is not None:
                return won
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close_late)
    raise ConnectionFailed(f"Cannot connect to {place}: {_reason(last)}") from last


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _dial(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: OSError | None) -> str:
    if error is None or error.errno is None:
        return "no address answers"
    return os.strerror(error.errno).lower()


def _dns_reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return "the name server does not answer"
    return "host name not found"
