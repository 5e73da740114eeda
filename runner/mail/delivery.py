"""The operator's delivery mode: what keeps a staging machine from mailing customers (SPEC 2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from runner.errors import AddressError, BlockedError, ConfigurationError
from runner.mail.address import Address, parse_one
from runner.mail.addrspec import NotAnAddress, to_ascii
from runner.mail.message import Mail
from runner.mail.shown import shown
from runner.model import Delivery


def apply_delivery(delivery: Delivery, mail: Mail) -> Mail:
    """``mail`` as the mode lets it leave.

    ``live`` and ``capture``: unchanged (the caller sends nothing in ``capture``). ``redirect``: the
    envelope goes to ``delivery.to`` alone, and a header names everyone it was for. ``allowlist``:
    BlockedError (EBLOCKED) naming the recipients that no pattern lets through. Anything else:
    ConfigurationError, for a guard that is not understood must not be open.
    """
    if delivery.mode in ("live", "capture"):
        return mail
    if delivery.mode == "redirect":
        return mail._replace(redirect_to=_redirect_target(delivery.to))
    if delivery.mode == "allowlist":
        _check_allowed(mail, delivery.allow)
        return mail
    raise ConfigurationError(
        f"delivery mode {shown(delivery.mode)} is not one of live, redirect, allowlist, capture",
        hint="nothing is sent until delivery.mode in flowpost.yaml, or FLOWPOST_DELIVERY, is mended",
    )


def matches(address: Address, pattern: str) -> bool:
    """Whether ``pattern`` lets ``address`` through: ``*@acme.com`` for a whole domain, or one address.

    Domains compare without case and in ASCII; a local part compares without case too, as mail servers do.
    AddressError for a pattern that is neither.
    """
    local, at, domain = pattern.strip().rpartition("@")
    if not at or not local:
        raise AddressError(f"Invalid address: {shown(pattern)} is not a pattern like *@example.com")
    try:
        wanted = to_ascii(domain).lower()
        found = to_ascii(address.domain).lower()
    except NotAnAddress as error:
        raise AddressError(f"Invalid address: {error}") from error
    if wanted != found:
        return False
    return local == "*" or local.casefold() == address.local.casefold()


def _check_allowed(mail: Mail, allow: Sequence[str]) -> None:
    # Compared as they go out: a recipient without a domain in ASCII cannot slip past a pattern.
    refused = [a.addr_spec for a in mail.recipients if not any(matches(a, pattern) for pattern in allow)]
    if refused:
        names = ", ".join(dict.fromkeys(refused[:5])) + (" and others" if len(refused) > 5 else "")
        raise BlockedError(
            f"Recipient is not in delivery.allow: {names}",
            hint=f"this machine may mail {', '.join(allow) or 'nobody'}; see delivery in flowpost.yaml",
        )


def _redirect_target(to: str | None) -> Address:
    if not to:
        raise ConfigurationError(
            "delivery mode redirect names nobody", hint="set delivery.to in flowpost.yaml to one address"
        )
    return _parsed(to)


@lru_cache(maxsize=16)
def _parsed(to: str) -> Address:
    return parse_one(to)
