"""One reading of a host, before anyone resolves it: a literal address in whatever disguise, or an ASCII name.

Two readers that disagree about a host are the root of most ways around a guard, so there is one reading, and
its result is what gets resolved, checked, connected to and verified by TLS.
"""

from __future__ import annotations

import ipaddress
import re

from runner.net.table import Address

_NAME_LIMIT = 253
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


def parse_host(text: str) -> Address | str:
    """Return the address that ``text`` means, or a lower-case ASCII name without a final dot.

    Understands brackets, IDNA (RFC 5891 with the mapping of UTS 46: circled digits, ideographic full stops),
    and IPv4 as C libraries and browsers read it: one to four parts, each decimal, octal or hexadecimal.
    Raises ValueError for everything else, also for names that end like a number without being an address
    (``q177.0.0.1``).
    """
    if not text or len(text) > 4 * _NAME_LIMIT:
        raise ValueError(f'"{shown(text)}" is not a host name')
    if text.startswith("["):
        return _bracketed(text)
    if ":" in text:
        return ipaddress.IPv6Address(text)
    name = _ascii(text).removesuffix(".")
    if len(name) > _NAME_LIMIT or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f'"{shown(text)}" is not a host name')
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        return _numeric(name)
    return name


def is_localhost(name: str) -> bool:
    """Whether a name is loopback by definition, whatever a name server says (RFC 6761 section 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def shown(text: str) -> str:
    """A host as an error may show it: printable, and not endless."""
    plain = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:100])
    return plain + ("…" if len(text) > 100 else "")


def _bracketed(text: str) -> ipaddress.IPv6Address:
    if not text.endswith("]"):
        raise ValueError(f'"{shown(text)}" has a bracket that is not closed')
    return ipaddress.IPv6Address(text[1:-1])


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    import idna

    try:
        return idna.encode(text, uts46=True, transitional=False).decode("ascii").lower()
    except idna.IDNAError as exc:
        raise ValueError(f'"{shown(text)}" is not a host name: {shown(str(exc))}') from exc


def _numeric(name: str) -> ipaddress.IPv4Address:
    """``0x7f.1``, ``2130706433``, ``017700000001``: the address that inet_aton makes of it."""
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMERIC_LABEL.fullmatch(part) for part in parts):
        raise ValueError(f'"{shown(name)}" is neither an address nor a host name')
    numbers = [_number(part, name) for part in parts]
    *heads, last = numbers
    if any(number > 255 for number in heads) or last >= 256 ** (5 - len(parts)):
        raise ValueError(f'"{shown(name)}" is not an address: a part is too large')
    value = last
    for place, number in enumerate(heads):
        value += number << (8 * (3 - place))
    return ipaddress.IPv4Address(value)


def _number(part: str, name: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    if part.startswith("0") and len(part) > 1:
        if not set(part) <= set("01234567"):
            raise ValueError(f'"{shown(name)}" is not an address: "{shown(part)}" is not octal')
        return int(part, 8)
    return int(part)
