"""The values of ``format`` that are asserted, each by the document that JSON Schema names for it.

Every check is linear in the text: no pattern here can backtrack.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, timedelta

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_ATEXT_UTF8 = r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\"\s]"
_DOT_ATOM_UTF8 = re.compile(rf"{_ATEXT_UTF8}+(?:\.{_ATEXT_UTF8}+)*")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"')
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,30})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DURATION = re.compile(
    r"P(?:\d+W|(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?"
    r"(?:T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)",
    re.ASCII,
)
_PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URI = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.-]*:(?://(?P<authority>[^/?#]*))?(?P<path>(?:{_PCHAR}|/)*)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
)
_USERINFO = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
_REG_NAME = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_MAX_HOSTNAME = 253


def is_email(text: str) -> bool:
    """RFC 5321, 4.1.2: one mailbox, ASCII only."""
    return text.isascii() and _is_mailbox(text, _DOT_ATOM, is_hostname)


def is_idn_email(text: str) -> bool:
    """RFC 6531: one mailbox, in any script."""
    return _is_mailbox(unicodedata.normalize("NFC", text), _DOT_ATOM_UTF8, is_idn_hostname)


def _is_mailbox(text: str, atoms: re.Pattern[str], is_domain: Callable[[str], bool]) -> bool:
    local, at, domain = text.rpartition("@")
    if not at or len(local.encode("utf-8", "replace")) > 64 or len(text) > 320:
        return False
    if not (atoms.fullmatch(local) or _QUOTED.fullmatch(local)):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        literal = domain[1:-1]
        return is_ipv6(literal[5:]) if literal[:5].lower() == "ipv6:" else is_ipv4(literal)
    return is_domain(domain)


def is_hostname(text: str) -> bool:
    """RFC 1123, 2.1, with A-labels that decode (RFC 5891)."""
    if len(text) > _MAX_HOSTNAME or not text.isascii():
        return False
    labels = text.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        return False
    for label in labels:
        if label[2:4] == "--" and (label[:2].lower() != "xn" or not _is_idna(label.lower())):
            return False
    return True


def is_idn_hostname(text: str) -> bool:
    """RFC 5890, 2.3.2.3: host names in any script."""
    if text.isascii():
        return is_hostname(text)
    # The ideographic full stops separate labels too (RFC 3490, 3.1).
    labels = re.split("[.\u3002\uff0e\uff61]", text)
    if len(text) > _MAX_HOSTNAME or not all(labels):
        return False
    return all(is_hostname(label) if label.isascii() else _is_idna(label) for label in labels)


def _is_idna(label: str) -> bool:
    import idna

    try:
        # By way of both forms: an A-label must come from a valid U-label and be the one that it gives.
        written = idna.ulabel(label) if label.isascii() else label
        return len(idna.alabel(written)) <= 63
    except (idna.IDNAError, UnicodeError, ValueError):
        return False


def is_ipv4(text: str) -> bool:
    """RFC 2673, 3.2: dotted quad, without leading zeros."""
    parts = text.split(".")
    return len(parts) == 4 and all(
        part.isascii() and part.isdigit() and len(part) <= 3 and str(int(part)) == part and int(part) < 256
        for part in parts
    )


def is_ipv6(text: str) -> bool:
    """RFC 4291, 2.2, without a zone."""
    from ipaddress import AddressValueError, IPv6Address

    if "%" in text or len(text) > 45 or not text.isascii():
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def is_date(text: str) -> bool:
    """RFC 3339, full-date."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """RFC 3339, full-time; a leap second only where UTC has one."""
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    hour, minute, second = int(match[1]), int(match[2]), int(match[3])
    offset = timedelta()
    if match[4] not in "Zz":
        hours, minutes = int(match[4][1:3]), int(match[4][4:6])
        if hours > 23 or minutes > 59:
            return False
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if match[4][0] == "-" else 1)
    if hour > 23 or minute > 59 or second > 60:
        return False
    if second == 60:
        utc = (timedelta(hours=hour, minutes=minute) - offset) % timedelta(days=1)
        return utc == timedelta(hours=23, minutes=59)
    return True


def is_date_time(text: str) -> bool:
    """RFC 3339, date-time."""
    return len(text) > 11 and text[10] in "Tt" and is_date(text[:10]) and is_time(text[11:])


def is_duration(text: str) -> bool:
    """RFC 3339, appendix A."""
    return bool(_DURATION.fullmatch(text)) and text[-1] not in "PT"


def is_uri(text: str) -> bool:
    """RFC 3986, 3: with a scheme."""
    match = _URI.fullmatch(text)
    if match is None:
        return False
    authority = match["authority"]
    if authority is None:
        return not match["path"].startswith("//")
    if match["path"] and not match["path"].startswith("/"):
        return False
    user, at, host = authority.rpartition("@")
    if at and not _USERINFO.fullmatch(user):
        return False
    if host.startswith("["):
        literal, closed, port = host[1:].partition("]")
        if not closed or not is_ipv6(literal):
            return False
        return not port or (port[0] == ":" and (not port[1:] or port[1:].isdigit()))
    name, colon, port = host.partition(":")
    return bool(_REG_NAME.fullmatch(name)) and (not colon or not port or (port.isascii() and port.isdigit()))


def is_uuid(text: str) -> bool:
    """RFC 4122, 3."""
    return bool(_UUID.fullmatch(text))


def is_regex(text: str) -> bool:
    """ECMA-262, as far as patterns are supported here."""
    from runner.schema.pattern import UnsupportedPattern, matcher

    try:
        matcher(text)
    except UnsupportedPattern:
        return False
    return True


FORMATS: dict[str, tuple[Callable[[str], bool], str]] = {
    "email": (is_email, "an e-mail address"),
    "idn-email": (is_idn_email, "an e-mail address"),
    "hostname": (is_hostname, "a host name"),
    "idn-hostname": (is_idn_hostname, "a host name"),
    "ipv4": (is_ipv4, "an IPv4 address"),
    "ipv6": (is_ipv6, "an IPv6 address"),
    "uri": (is_uri, "a URI"),
    "uuid": (is_uuid, "a UUID"),
    "date": (is_date, "a date like 2026-03-31"),
    "time": (is_time, "a time with a zone, like 08:00:00Z"),
    "date-time": (is_date_time, "a time like 2026-03-31T08:00:00Z"),
    "duration": (is_duration, "a duration like P1DT12H"),
    "regex": (is_regex, "a regular expression"),
}
"""Each asserted format: whether a text has it, and what a person calls it."""

UNASSERTED = frozenset(
    [
        "binary",
        "iri",
        "iri-reference",
        "json-pointer",
        "password",
        "relative-json-pointer",
        "uri-reference",
        "uri-template",
    ]
)
"""Formats that are known and say something to people, but are not checked."""
