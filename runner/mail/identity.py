"""Who a message is: its Message-ID, the same through every attempt, restart and machine."""

from __future__ import annotations

import hashlib

from runner.errors import AddressError
from runner.mail.addrspec import NotAnAddress, to_ascii


def message_id(domain: str, *parts: str) -> str:
    """``<128 bits of SHA-256 over parts@domain>`` (RFC 5322 3.6.4), derived from nothing but its arguments.

    ``parts`` name the message (run, node, item), never a time or an attempt. AddressError when ``domain``
    is none.
    """
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    text = "".join([f"{len(part)}:{part}" for part in parts])
    if text.isascii():
        octets = text.encode()
    else:
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        octets = b"".join([b"%d:%b" % (len(part), part) for part in encoded])
    digest = hashlib.sha256(octets)
    try:
        name = to_ascii(domain)
    except NotAnAddress as error:
        raise AddressError(f"Invalid address: {error}") from error
    return f"<{digest.hexdigest()[:32]}@{name}>"
