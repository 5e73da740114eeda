"""Whether a credential's sender can be one: told when the credential loads, and not at its first message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.secret.typed import Problem


def check_sender(default_from: str | None, allowed_from: Sequence[str]) -> Iterator[Problem]:
    """Findings about ``sender`` as it is written.

    Only what is wrong for certain is one: an address in full is judged when it is used.
    """
    path = ("sender", "default_from")
    address = None
    if default_from is not None:
        found = _addresses(default_from)
        address = found[0] if len(found) == 1 and all(found[0].rpartition("@")[::2]) else None
        if len(found) > 1:
            yield Problem(path, f'"sender.default_from" holds {len(found)} parts, one address is expected')
        elif address is None:
            yield Problem(path, '"sender.default_from" is not an address')
    if any("@" not in pattern for pattern in allowed_from):
        yield Problem(("sender", "allowed_from"), '"sender.allowed_from" is not an address')
    elif address is not None and allowed_from and not any(_lets(each, address) for each in allowed_from):
        yield Problem(
            path,
            '"sender.default_from" is not among the addresses of "sender.allowed_from"',
            hint="add it there, or its domain as *@example.com",
        )


def _addresses(text: str) -> list[str]:
    from email.utils import getaddresses

    return [address for _, address in getaddresses([text])]


def _lets(pattern: str, address: str) -> bool:
    wanted, _, domain = pattern.strip().rpartition("@")
    local, _, found = address.rpartition("@")
    return _ascii(domain) == _ascii(found) and wanted.casefold() in ("*", local.casefold())


def _ascii(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    import idna

    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain.casefold()
