"""Which addresses are public: the guard's own table, since ``ipaddress.is_global`` lets through too much.

Sources, each row names its RFC or registry entry:

- IANA IPv4 Special-Purpose Address Registry, https://www.iana.org/assignments/iana-ipv4-special-registry/
- IANA IPv6 Special-Purpose Address Registry, https://www.iana.org/assignments/iana-ipv6-special-registry/
- IANA IPv6 Address Space: only 2000::/3 is global unicast (RFC 4291 section 2.4), the rest is refused unseen
- the clouds' own documentation, for metadata services at addresses that look like anybody's

Stricter than the registry's column "Globally Reachable" on purpose: the blocks for which it says True (AS112,
AMT, port control, TURN, ORCHID, drone tags) are anycast or no locators at all. The nearest router or resolver
answers there, never a mail or web server that somebody means.
"""

from __future__ import annotations

import ipaddress
from functools import cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV4 = (
    ("0.0.0.0/8", "this network, RFC 791"),
    ("10.0.0.0/8", "private use, RFC 1918"),
    ("100.100.100.200/32", "cloud metadata, Alibaba"),
    ("100.64.0.0/10", "carrier-grade NAT, RFC 6598"),
    ("127.0.0.0/8", "loopback, RFC 1122"),
    ("168.63.129.16/32", "cloud metadata, Azure"),
    ("169.254.169.254/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local, RFC 3927"),
    ("172.16.0.0/12", "private use, RFC 1918"),
    ("192.0.0.192/32", "cloud metadata, Oracle"),
    ("192.0.0.0/24", "protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "documentation, RFC 5737"),
    ("192.31.196.0/24", "AS112 anycast, RFC 7535"),
    ("192.52.193.0/24", "AMT anycast, RFC 7450"),
    ("192.88.99.0/24", "6to4 relay anycast, RFC 7526"),
    ("192.168.0.0/16", "private use, RFC 1918"),
    ("192.175.48.0/24", "AS112 anycast, RFC 7534"),
    ("198.18.0.0/15", "benchmarking, RFC 2544"),
    ("198.51.100.0/24", "documentation, RFC 5737"),
    ("203.0.113.0/24", "documentation, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("255.255.255.255/32", "broadcast, RFC 919"),
    ("240.0.0.0/4", "reserved, RFC 1112"),
)

_IPV6 = (
    ("::/128", "unspecified, RFC 4291"),
    ("::1/128", "loopback, RFC 4291"),
    ("::ffff:0:0/96", "IPv4 inside IPv6, mapped, RFC 4291"),
    ("::ffff:0:0:0/96", "IPv4 inside IPv6, translated, RFC 2765"),
    ("::/96", "IPv4 inside IPv6, compatible, RFC 4291"),
    ("64:ff9b:1::/48", "IPv4 inside IPv6, local NAT64, RFC 8215"),
    ("100::/64", "discard-only, RFC 6666"),
    ("100:0:0:1::/64", "dummy prefix, RFC 9780"),
    ("2001::/32", "IPv4 inside IPv6, Teredo, RFC 4380"),
    ("2001::/23", "protocol assignments, RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("2002::/16", "IPv4 inside IPv6, 6to4, RFC 3056"),
    ("2620:4f:8000::/48", "AS112 anycast, RFC 7534"),
    ("3fff::/20", "documentation, RFC 9637"),
    ("5f00::/16", "segment routing, RFC 9602"),
    ("fd00:ec2::254/128", "cloud metadata, AWS"),
    ("fd00:ec2::/32", "cloud services, AWS"),
    ("fd20:ce::254/128", "cloud metadata, GCP"),
    ("fd00:c1::a9fe:a9fe/128", "cloud metadata, Oracle"),
    ("fc00::/7", "private use, RFC 4193"),
    ("fe80::/10", "link-local, RFC 4291"),
    ("fec0::/10", "site-local, RFC 3879"),
    ("ff00::/8", "multicast, RFC 4291"),
)

_GLOBAL_UNICAST = "2000::/3"
_NAT64 = "64:ff9b::/96"
_ISATAP = (0x00005EFE, 0x02005EFE)

_Rows = tuple[tuple[int, int, str], ...]


@cache
def _rows(version: int) -> _Rows:
    """The table as (network, mask, reason), so that a check is integer arithmetic."""
    networks = [(ipaddress.ip_network(block), why) for block, why in (_IPV4 if version == 4 else _IPV6)]
    return tuple((int(net.network_address), int(net.netmask), why) for net, why in networks)


@cache
def _block(text: str) -> tuple[int, int]:
    network = ipaddress.ip_network(text)
    return int(network.network_address), int(network.netmask)


def refusal(address: Address) -> str | None:
    """Why the guard refuses ``address``, in a few words; None when it is globally reachable unicast.

    IPv4 inside IPv6 is refused whatever is inside, but for the well-known NAT64 prefix and ISATAP, which are
    judged by the IPv4 address they carry: an IPv6-only network reaches the whole IPv4 internet through NAT64
    (RFC 6052).
    """
    value = int(address)
    for network, mask, why in _rows(address.version):
        if value & mask == network:
            return why
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.scope_id is not None:
        return "an address with a zone is never global, RFC 4007"
    inside = ipaddress.IPv4Address(value & 0xFFFF_FFFF)
    network, mask = _block(_NAT64)
    if value & mask == network:
        why_inside = refusal(inside)
        return why_inside and f"IPv4 inside IPv6, NAT64, {why_inside}"
    network, mask = _block(_GLOBAL_UNICAST)
    if value & mask != network:
        return "not global unicast, RFC 4291"
    if (value >> 32) & 0xFFFF_FFFF in _ISATAP:
        why_inside = refusal(inside)
        return why_inside and f"IPv4 inside IPv6, ISATAP, {why_inside}"
    return None


def is_public(address: str) -> bool:
    """Whether ``address`` (one IPv4 or IPv6 address, as text) is globally reachable unicast.

    An IPv6 zone (``fe80::1%eth0``) is understood and never public. Raises ValueError when it is no address:
    host names, brackets, blanks, and IPv4 in octal, hexadecimal or one number are none.
    """
    if not isinstance(address, str):  # ipaddress would read an int as an address
        raise ValueError("an address is text")
    return refusal(ipaddress.ip_address(address)) is None
