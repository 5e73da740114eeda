"""Fields in, envelope and octets out (RFC 5322, 2045-2047, 2231): the one place where a message is written.

The octets are made here and not by the standard library, which lets a crafted subject become a header. Line
ends are CRLF, lines have at most 998 octets, bodies are 7 bits. The same ``Mail`` gives the same octets
every time. Dots at the start of a line are doubled by the SMTP session.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from runner.errors import AddressError, HeaderError, ReservedHeaderError
from runner.mail.address import Address
from runner.mail.addrspec import NotAnAddress, canonical, is_usual, mailbox_key, split
from runner.mail.body import HOLE, Encoded, text_body
from runner.mail.headers import REDIRECTED_FROM, check_header, forbid_line_ends
from runner.mail.limits import check_limits
from runner.mail.mailboxes import address_header
from runner.mail.message import Mail, Priority, Unsubscribe
from runner.mail.parts import Part, attachment, content
from runner.mail.shown import shown
from runner.mail.unsubscribe import unsubscribe_headers
from runner.mail.verify import verified
from runner.mail.words import text_header
from runner.model import Attachment, Envelope

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PRIORITIES = {
    "low": (("X-Priority", "5 (Lowest)"), ("X-MSMail-Priority", "Low"), ("Importance", "Low")),
    "normal": (("X-Priority", "3 (Normal)"),),
    "high": (("X-Priority", "1 (Highest)"), ("X-MSMail-Priority", "High"), ("Importance", "High")),
}
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}@[!-;=?-~]{1,250}>")


class Composed(NamedTuple):
    """Who it goes to, and what goes there: ``data`` ends in CRLF and is not dot-stuffed.

    ``dotted``: a line begins with a dot, so that there is something to stuff (RFC 5321 4.5.2).
    """

    envelope: Envelope
    data: bytes
    dotted: bool


def compose(mail: Mail) -> Composed:
    """Write ``mail``, and check what was written against what was meant.

    Raises LimitError, AddressError, HeaderError, ReservedHeaderError or AttachmentError; ValueError for a
    date without a zone.
    """
    return write(mail, encoded_bodies, attachment)


Bodies = Callable[[Mail], tuple[Encoded | None, Encoded | None]]
"""How the text and the HTML of a message are encoded."""
Attach = Callable[[Attachment, bool], Part]
"""How an attachment becomes a part; it is told whether the HTML shows it."""


def encoded_bodies(mail: Mail) -> tuple[Encoded | None, Encoded | None]:
    """The text and the HTML of ``mail``, encoded."""
    return (
        None if mail.text is None else text_body(mail.text),
        None if mail.html is None else text_body(mail.html),
    )


def write(mail: Mail, bodies: Bodies, attach: Attach) -> Composed:
    """``compose``, with other ways to the same encoded bodies and attachments, for who keeps some of them."""
    check_limits(mail)
    more = _more_headers(mail)
    envelope = _envelope(mail)
    date = _date(mail.date)
    reply_to = "" if mail.reply_to is None else _lone_address("Reply-To", mail.reply_to)
    to = address_header("To", mail.to) if mail.to else "To: undisclosed-recipients:;\r\n"
    cc = address_header("Cc", mail.cc) if mail.cc else ""
    forbid_line_ends(mail.subject, " in subject")
    subject = text_header("Subject", mail.subject, prose=True)
    if _MESSAGE_ID.fullmatch(mail.message_id) is None:
        raise HeaderError(f"{shown(mail.message_id)} is not a Message-ID", hint="")
    inline: list[Part] = []
    attached: list[Part] = []
    for item in mail.attachments:
        shows = item.cid is not None and mail.html is not None
        (inline if shows else attached).append(attach(item, shows))
    header, body = content(boundary_seed(mail.message_id), *bodies(mail), inline, attached)
    head = (
        f"{date}{_lone_address('From', mail.sender)}{reply_to}{to}{cc}{subject}"
        f"Message-ID: {mail.message_id}\r\n{more}MIME-Version: 1.0\r\n"
    )
    end = b"" if body.loose.endswith(b"\r\n") else b"\r\n"
    loose = b"%b%b\r\n%b%b" % (head.encode(), header, body.loose, end)
    data, dotted = verified(envelope, loose.split(HOLE), body.known, mail)
    return Composed(envelope, data, dotted)


def boundary_seed(message_id: str) -> str:
    """What the boundaries of that message derive from: 24 hexadecimal digits."""
    return hashlib.sha256(message_id.encode()).hexdigest()[:24]


@lru_cache(maxsize=256)
def _lone_address(name: str, address: Address) -> str:
    """A header of one address, such as many messages share."""
    return address_header(name, (address,))


def _more_headers(mail: Mail) -> str:
    """Headers that parameters set, and then custom ones, which may not repeat one of them."""
    if not (mail.priority or mail.unsubscribe or mail.redirect_to or mail.headers):
        return ""
    own = own_headers(mail.priority, mail.unsubscribe)
    taken = taken_names(own)
    for name, value in mail.headers:
        check_header(name, value)
        check_not_taken(name, taken)
    if mail.redirect_to is not None:
        own.append((REDIRECTED_FROM, ", ".join(dict.fromkeys(a.wire for a in mail.recipients))))
    return "".join([text_header(name, value) for name, value in (*own, *mail.headers)])


def own_headers(priority: Priority | None, unsubscribe: Unsubscribe | None) -> list[tuple[str, str]]:
    """The headers that parameters set; HeaderError for an ``unsubscribe`` that cannot be one."""
    own: list[tuple[str, str]] = []
    if priority is not None:
        own.extend(_PRIORITIES[priority])
    if unsubscribe is not None:
        own.extend(unsubscribe_headers(unsubscribe))
    return own


def taken_names(own: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The names, in lower case, that no custom header may have beside ``own``."""
    return frozenset({name.lower() for name, _ in own} | {REDIRECTED_FROM.lower()})


def check_not_taken(name: str, taken: frozenset[str]) -> None:
    """ReservedHeaderError for a custom header that would repeat one of ours."""
    if name.lower() in taken:
        raise ReservedHeaderError(f"Reserved header is not allowed: {shown(name)} is set by a parameter")


def _envelope(mail: Mail) -> Envelope:
    """Sender and recipients without doubles; every address is checked again, whoever made it."""
    sender, utf8 = _wire_again(mail.sender)
    if mail.reply_to is not None:
        utf8 |= _wire_again(mail.reply_to)[1]
    if len(mail.to) == 1 and not mail.cc and not mail.bcc and mail.redirect_to is None:
        recipient, needs = _wire(mail.to[0])
        return Envelope(sender, (recipient,), utf8 or needs)
    recipients: dict[str, str] = {}
    for address in mail.recipients:
        wire, needs = _wire(address)
        utf8 |= needs
        recipients.setdefault(mailbox_key(wire), wire)
    if not recipients:
        raise AddressError(
            "Invalid address: the message has no recipient", hint="give at least one address in to"
        )
    if mail.redirect_to is not None:
        wire, needs = _wire(mail.redirect_to)
        return Envelope(sender, (wire,), utf8 or needs)
    return Envelope(sender, tuple(recipients.values()), utf8)


@lru_cache(maxsize=256)
def _wire_again(address: Address) -> tuple[str, bool]:
    """As ``_wire``, of an address that many messages share."""
    return _wire(address)


def _wire(address: Address) -> tuple[str, bool]:
    """The address as SMTP carries it, and whether it needs SMTPUTF8; AddressError or HeaderError when it is none."""
    spec, name = address.addr_spec, address.display_name
    if name and not name.isprintable():
        forbid_line_ends(name, " in a name")
    if is_usual(spec):
        return spec, False
    forbid_line_ends(spec, " in an address")
    try:
        if canonical(*split(spec)) != spec:
            raise NotAnAddress(f"{shown(spec)} is not written in its canonical form")
    except NotAnAddress as error:
        raise AddressError(f"Invalid address: {error}") from error
    return address.wire, address.needs_smtputf8


def _date(moment: datetime) -> str:
    """The header of RFC 5322 3.3, in English whatever the locale."""
    global _latest
    known, text = _latest
    if known is not moment:
        offset = moment.utcoffset()
        if offset is None:
            raise ValueError("a message's date needs a zone")
        text = _dated(moment.replace(microsecond=0), offset)
        _latest = (moment, text)
    return text


_latest: tuple[datetime | None, str] = (None, "")
"""The very moment of the last message, for the many that share one, and its header."""


# One instant in two zones is one key without the offset.
@lru_cache(maxsize=64)
def _dated(moment: datetime, offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return (
        f"Date: {_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment.year:04d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} "
        f"{sign}{minutes // 60:02d}{minutes % 60:02d}\r\n"
    )
