"""The last look: the octets that would leave, read back and compared with what was meant.

Nothing of ``compose`` is used to read. Whatever slips through the checks of the input, for whatever reason, a
foreign header, a foreign recipient, a bare CR or LF cannot leave: the message is not sent.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from runner.errors import FlowpostError
from runner.mail.address import Address
from runner.mail.message import Mail
from runner.model import Envelope

LONGEST_LINE = 998

_WORD = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_SPEC = rb"(?:[^\x00-\x20\"(),:;<>@\[\\\]\x7f]+|\"(?:[^\"\\]|\\.)*\")@[^\x00-\x20\"(),;<>@\\\x7f]+"
_MAILBOX = re.compile(
    rb"(?:(?:(?:%s(?: %s)*|\"(?:[^\"\\]|\\.)*\") )?<(%s)>|(%s))(?:, |\Z)" % (_WORD, _WORD, _SPEC, _SPEC)
)
_ENCODED = re.compile(rb"=\?utf-8\?([qb])\?([!->@-~]*)\?=(?: (?==\?)|\Z)")
_CRLF = b"\r\n"
_OTHERS = bytes(octet for octet in range(256) if octet not in b"\r\n\0")
_DOTTED = b"\r\n."
_MARK = b"=_"
"""How a boundary of ours begins; it cannot occur in quoted-printable or base64."""


class NotAsMeant(FlowpostError):
    """The written message differs from the meant one: a defect of flowpost, and nothing was sent."""

    default_hint = "nothing was sent; please report this, with the field's text if you may"


class Known(bytes):
    """Lines that many messages share, with the line end before them, looked through once and for all.

    CRLF, lines, CRLF: nobody can make one of other octets (NotAsMeant), and octets do not change. ``marked``: a
    boundary of ours could stand in it. ``dotted``: one of its lines begins with a dot.
    """

    marked: bool
    dotted: bool

    def __new__(cls, octets: bytes) -> Known:
        """Look through ``octets``."""
        if not octets.startswith(_CRLF):
            raise NotAsMeant("known lines need a line end before them")
        _check_lines(octets, utf8=False)
        known = super().__new__(cls, octets)
        known.marked = _MARK in octets
        known.dotted = _DOTTED in octets
        return known


def verify(envelope: Envelope, data: bytes, mail: Mail) -> None:
    """NotAsMeant (EINTERNAL) when ``data`` or ``envelope`` is not exactly what ``mail`` means.

    Looks at line ends, line lengths, octets above 127, the names and order of all headers, every address, the
    subject and custom headers after decoding, the recipients, and the boundaries.
    """
    verified(envelope, [data], [], mail)


def verified(
    envelope: Envelope, between: Sequence[bytes], known: Sequence[Known], mail: Mail
) -> tuple[bytes, bool]:
    """The octets, looked at as ``verify`` does, and whether a line begins with a dot.

    They are ``between`` with ``known`` lines between each two of them, which are not looked through again. The
    first of ``between`` holds all headers.
    """
    if len(between) != len(known) + 1 or (known and {*map(type, known)} != {Known}):
        raise NotAsMeant("the composed message has lines that nobody knows")
    # For every line before, between and after them, known lines are no more than a line end.
    fresh = _CRLF.join(between)
    _check_lines(fresh, envelope.smtputf8)
    head, blank, body = fresh.partition(b"\r\n\r\n")
    if not blank or len(head) + 4 > len(between[0]) or (envelope.smtputf8 and not body.isascii()):
        raise NotAsMeant("the composed message has no body, or one of more than 7 bits")
    _check_envelope(envelope, mail)
    _check_boundary(_check_head(head, mail), body, known, mail)
    dotted = fresh.find(_DOTTED) >= 0
    if not known:
        return fresh, dotted
    for piece in known:
        dotted |= piece.dotted
    return b"".join(chain.from_iterable(zip(between, (*known, b""), strict=True))), dotted


def _check_head(head: bytes, mail: Mail) -> bytes:
    """The boundary, or nothing, after every header was found to be there, in its place, and as it was meant."""
    unsubscribe = mail.unsubscribe
    match = _pattern(
        mail.reply_to is not None,
        bool(mail.cc),
        mail.priority,
        None if unsubscribe is None else unsubscribe.one_click,
        mail.redirect_to is not None,
        bool(mail.headers),
    ).fullmatch(head.replace(b"\r\n ", b" "))
    if match is None:
        raise NotAsMeant("the composed message has other headers than were meant")
    sender, reply_to, to, cc, subject, message_id, custom, boundary = match.groups(b"")
    if message_id != mail.message_id.encode():
        raise NotAsMeant("the composed message has another Message-ID than was meant")
    if _senders.get(sender) is not mail.sender:
        _check_field(sender, (mail.sender,))
        if len(_senders) >= _MOST_SENDERS:
            _senders.clear()
        _senders[sender] = mail.sender
    if mail.to:
        _check_field(to, mail.to)
    elif to != b" undisclosed-recipients:;":
        raise NotAsMeant("the composed message has other addresses than were meant in its headers")
    if mail.cc:
        _check_field(cc, mail.cc)
    if mail.reply_to is not None:
        _check_field(reply_to, (mail.reply_to,))
    _check_text("subject", subject, mail.subject)
    if mail.headers:
        fields = [line.partition(b":") for line in custom.split(_CRLF)[:-1]]
        if [name for name, _, _ in fields] != [name.encode() for name, _ in mail.headers]:
            raise NotAsMeant("the composed message has other headers than were meant")
        for (name, text), (_, _, value) in zip(mail.headers, fields, strict=True):
            _check_text(name, value, text)
    return boundary


@lru_cache(maxsize=256)
def _pattern(
    reply_to: bool, cc: bool, priority: str | None, one_click: bool | None, redirected: bool, custom: bool
) -> re.Pattern[bytes]:
    """The head of a message that has these headers, unfolded. An absent one leaves its group empty.

    A dot, which is much faster than a class of octets, stays within its line: a CR stands before each LF and
    nowhere else.
    """
    own: list[bytes] = []
    if priority is not None:
        own.append(b"X-Priority")
        if priority != "normal":
            own += (b"X-MSMail-Priority", b"Importance")
    if one_click is not None:
        own.append(b"List-Unsubscribe")
        if one_click:
            own.append(b"List-Unsubscribe-Post")
    if redirected:
        own.append(b"X-Flowpost-Redirected-From")
    return re.compile(
        rb"Date:.*\r\nFrom:(.*)\r\n"
        + (rb"Reply-To:(.*)\r\n" if reply_to else rb"()")
        + rb"To:(.*)\r\n"
        + (rb"Cc:(.*)\r\n" if cc else rb"()")
        + rb"Subject:(.*)\r\nMessage-ID: (.*)\r\n"
        + b"".join(name + rb":.*\r\n" for name in own)
        + (rb"((?:.+\r\n)*)" if custom else rb"()")
        + rb"MIME-Version: 1\.0\r\n"
        + rb'Content-Type: (?:multipart/[a-z]+; boundary="([^"\r\n]+)".*|text/(?:plain|html);.*)'
        + rb"(?:\r\nContent-Transfer-Encoding:.*)?"
    )


_MOST_SENDERS = 256
_senders: dict[bytes, Address] = {}
"""Values of From that were looked at, each with the very address that it was found to be."""


def _check_lines(data: bytes, utf8: bool) -> None:
    # As many pairs as there are of either: no CR and no LF stands alone.
    if not data.endswith(_CRLF) or data.translate(None, _OTHERS) != _CRLF * data.count(_CRLF):
        raise NotAsMeant("the composed message has a bare CR, LF or NUL")
    # From the start of a line to the last line end within reach: the lines between cannot be too long.
    at, size = 0, len(data)
    while size - at > LONGEST_LINE + 2:
        end = data.rfind(b"\n", at, at + LONGEST_LINE + 2)
        if end < 0:
            raise NotAsMeant(f"the composed message has a line of more than {LONGEST_LINE} octets")
        at = end + 1
    if not utf8 and not data.isascii():
        raise NotAsMeant("the composed message has octets above 127 where none were declared")


def _check_field(value: bytes, meant: tuple[Address, ...]) -> None:
    at = 1
    for address in meant:
        match = _MAILBOX.match(value, at)
        if match is None or (match[1] or match[2]) != address.wire.encode():
            break
        at = match.end()
    else:
        if at == len(value) and not value.endswith(b", "):
            return
    raise NotAsMeant("the composed message has other addresses than were meant in its headers")


def _check_text(name: str, value: bytes, meant: str) -> None:
    raw = value[1:]
    if raw.find(b"=?") >= 0:
        raw = _decoded(raw)
    try:
        text = meant.encode()
    except UnicodeEncodeError:
        text = meant.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    if raw != text:
        raise NotAsMeant(f"the composed message has another {name} than was meant")


def _decoded(value: bytes) -> bytes:
    """What encoded words say; nothing when there is anything else."""
    octets = b""
    at = 0
    while at < len(value):
        match = _ENCODED.match(value, at)
        if match is None:
            return b""
        encoding, word = match.groups()
        if encoding == b"q":
            octets += binascii.a2b_qp(word, header=True)
        else:
            octets += binascii.a2b_base64(word, strict_mode=True)
        at = match.end()
    return octets


def _check_envelope(envelope: Envelope, mail: Mail) -> None:
    meant = mail.recipients if mail.redirect_to is None else (mail.redirect_to,)
    given = envelope.recipients
    if envelope.sender == mail.sender.wire and meant:
        if len(meant) == 1 and given == (meant[0].wire,):
            return
        wires = [address.wire for address in meant]
        folded = {_folded(wire) for wire in wires}
        if len(given) == len(folded) and set(wires).issuperset(given) and {*map(_folded, given)} == folded:
            return
    raise NotAsMeant("the envelope has other addresses than were meant")


def _folded(wire: str) -> str:
    local, _, domain = wire.rpartition("@")
    return f"{local}@{domain.lower()}"


def _check_boundary(boundary: bytes, body: bytes, known: Sequence[Known], mail: Mail) -> None:
    parts = 2 if mail.html is not None and mail.text is not None else 0
    if mail.attachments:
        shown = 0 if mail.html is None else sum(item.cid is not None for item in mail.attachments)
        if len(mail.attachments) > shown:
            parts = len(mail.attachments) - shown + 1
        elif not parts:
            parts = shown + 1
    if not boundary:
        right = not parts
    else:
        mark = b"--" + boundary
        found = body.count(mark)
        ours = boundary.startswith(_MARK)
        for piece in known:
            if piece.marked or not ours:
                found += piece.count(mark)
        # The opening delimiter, one between each two parts, and the closing one at the very end: no more,
        # no less.
        right = (
            found == parts + 1
            and body.startswith(mark + b"\r\n")
            and body.endswith(b"\r\n" + mark + b"--\r\n")
        )
    if not right:
        raise NotAsMeant("the composed message has other parts than were meant")
