"""One addr-spec: its local part, its domain, and the form that goes on the wire (RFC 5321 4.1.2, 6531, 5891).

Strict where RFC 5322 is lax, because what is accepted here becomes an SMTP command: no comments, no white
space, no obsolete ``word.word`` with quotes, no source route; lengths as RFC 5321 4.5.3.1 counts them on
the wire. The 64 octets of a local part are not enforced: real systems make longer ones, and the server will
say.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from runner.mail.shown import shown

LONGEST = 254
"""Octets of an address on the wire: a path of 256 without its angle brackets."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
# atext and all that is not ASCII, written as what is left: naming nearly all of Unicode takes 6 ms to compile.
_ATOM = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+'
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
PLAIN = rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*@{_LABEL}(?:\.{_LABEL})*"
"""Pattern of an address that needs no second look, if ``is_plain`` holds too."""

_PLAIN = re.compile(PLAIN)
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LDH = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[bq]\?[^?]*\?=", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"@', re.DOTALL)


class NotAnAddress(ValueError):
    """The text is not one addr-spec; the message says why, without the text itself being trusted."""


def is_plain(text: str) -> bool:
    """Whether a text that matches ``PLAIN`` is an address as it stands: no length or label to look into."""
    return len(text) <= LONGEST and "--" not in text and "=?" not in text and not text[-1].isdigit()


def is_usual(text: str) -> bool:
    """Whether ``text`` is an addr-spec as most are, ASCII and in its canonical form, that needs no second look."""
    return len(text) <= LONGEST and _is_usual(text)


# Who reads an address asks, and at once who writes the message asks again.
@lru_cache(maxsize=64)
def _is_usual(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and is_plain(text)


def split(text: str) -> tuple[str, str]:
    """``(local part without its quotes, domain)`` of one addr-spec; NotAnAddress when it is none.

    Neither half is checked yet; ``canonical`` does that.
    """
    quoted = _QUOTED.match(text)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), text[quoted.end() :]
    local, at, domain = text.partition("@")
    if not at:
        raise NotAnAddress(f"{shown(text)} has no @")
    if "@" in domain:
        raise NotAnAddress(f"{shown(text)} has more than one @")
    if not local:
        raise NotAnAddress(f"{shown(text)} has nothing before the @")
    if _DOT_ATOM.fullmatch(local) is None:
        raise NotAnAddress(f"{shown(local)} cannot stand before the @")
    return local, domain


def canonical(local: str, domain: str) -> str:
    """The addr-spec of an unquoted local part and a domain; NotAnAddress when there is none.

    The local part is quoted only where it must be; a non-ASCII domain is mapped as UTS 46 says and stays
    readable.
    """
    spec = f"{_local(local)}@{_domain(domain)}"
    if spec.isascii():
        longest = len(spec)
    else:
        # A server may compose characters (RFC 6532 3.1), and a few become longer by that.
        sent = wire(spec)
        longest = max(len(form.encode()) for form in (sent, unicodedata.normalize("NFC", sent)))
    if longest > LONGEST:
        raise NotAnAddress(f"{shown(spec)} is longer than {LONGEST} octets")
    return spec


def wire(spec: str) -> str:
    """``spec`` with its domain in ASCII, as SMTP carries it; the local part may stay UTF-8 (RFC 6531)."""
    if spec.isascii():
        return spec
    local, _, domain = spec.rpartition("@")
    return f"{local}@{to_ascii(domain)}"


def mailbox_key(sent: str) -> str:
    """What two addresses, as SMTP carries them, have in common when they are one: domains know no case."""
    local, _, domain = sent.rpartition("@")
    return f"{local}@{domain.lower()}"


def _local(local: str) -> str:
    if not local:
        raise NotAnAddress("there is nothing before the @")
    if "=?" in local and _ENCODED_WORD.search(local) is not None:
        # Readers that decode encoded words before they parse would see another address.
        raise NotAnAddress(f"{shown(local)} looks like an encoded word")
    if local.isascii():
        if not local.isprintable():
            raise NotAnAddress(f"{shown(local)} has a control character before the @")
    else:
        _check_unicode(local)
    if _DOT_ATOM.fullmatch(local) is not None:
        return local
    return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check_unicode(local: str) -> None:
    """Refuse what nobody can see: controls, formats, separators, private and unassigned characters."""
    if unicodedata.category(local[0])[0] == "M":
        raise NotAnAddress(f"{shown(local)} begins with a combining character")
    for char in local:
        if char != " " and unicodedata.category(char)[0] in "CZ":
            raise NotAnAddress(f"{shown(local)} has the character U+{ord(char):04X} before the @")


def _domain(domain: str) -> str:
    if not domain:
        raise NotAnAddress("there is nothing after the @")
    if domain.startswith("["):
        return _literal(domain)
    to_ascii(domain)
    return domain if domain.isascii() else _mapped(domain)


@lru_cache(maxsize=1024)
def _mapped(domain: str) -> str:
    import idna

    return str(idna.uts46_remap(domain, std3_rules=True, transitional=False))


@lru_cache(maxsize=1024)
def to_ascii(domain: str) -> str:
    """``domain`` in ASCII: IDNA 2008 after UTS 46 mapping; NotAnAddress when it is no domain."""
    if domain.startswith("["):
        return _literal(domain)
    if len(domain) > LONGEST:
        raise NotAnAddress(f"the domain {shown(domain)} is longer than {LONGEST} octets")
    name = domain
    if not domain.isascii() or "--" in domain:
        name = _idna(domain)
    # Mapping can turn one character into "@", "/" or ".", so the rule is applied to its result.
    if _LDH.fullmatch(name) is None:
        raise NotAnAddress(f"{shown(domain)} is not a domain")
    if name.rpartition(".")[2].isdigit():
        raise NotAnAddress(f"{shown(domain)} is not a domain; an IP address is written [192.0.2.1]")
    return name


def _idna(domain: str) -> str:
    import idna

    try:
        return idna.encode(domain, uts46=True, std3_rules=True, transitional=False).decode("ascii")
    except idna.IDNAError as error:
        raise NotAnAddress(f"{shown(domain)} is not a domain") from error


def _literal(domain: str) -> str:
    """An address literal (RFC 5321 4.1.3), checked: ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``."""
    import ipaddress

    inside = domain[1:-1]
    try:
        if domain.endswith("]"):
            if inside[:5].lower() == "ipv6:":
                ipaddress.IPv6Address(inside[5:])
                if "%" not in inside:
                    return domain
            else:
                ipaddress.IPv4Address(inside)
                return domain
    except ValueError:
        pass
    raise NotAnAddress(f"{shown(domain)} is not an address literal")
