"""One message as the server is to see it, and what its replies mean: pure decisions, nothing is sent here.

``runner.smtp.dots`` and ``runner.smtp.chunks`` write the commands and collect the replies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from runner.errors import (
    AddressError,
    DeliveryError,
    EnvelopeError,
    FlowpostError,
    HeaderError,
    MessageError,
)
from runner.model import Envelope, Outcome, Rejection
from runner.smtp.octets import stuffed
from runner.smtp.reply import Reply
from runner.smtp.session import Session

_MAX_ADDRESS = 900
SERVICE_CLOSING = 421

# Nearly every address: ASCII that one can see, without quotes and angles. Nothing of it needs a second look.
_ORDINARY = re.compile(rf"[!#-;=?-~]{{1,{_MAX_ADDRESS}}}")
_LINE_END = re.compile("[\r\n\0]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_ENDS_PATH = re.compile("[\x00-\x20<>\x7f]")


class Letter(NamedTuple):
    """A message that may be sent: its envelope checked, its octets stuffed. ``size`` as SIZE counts it (RFC
    1870). ``plain`` is the content without the stuffing, as BDAT carries it; ``mail`` and ``rcpt`` are the
    commands as far as they are the same for every server. ``leaves`` is called, where somebody wants to know, just
    before its last octets leave: until then the server cannot have the whole message.
    """

    envelope: Envelope
    content: bytes
    plain: bytes
    size: int
    ascii: bool
    mail: bytes
    rcpt: bytes
    leaves: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"Letter({self.envelope!r}, {self.size} octets)"

    @classmethod
    def seal(
        cls,
        envelope: Envelope,
        data: bytes,
        *,
        dotted: bool | None = None,
        leaves: Callable[[], None] | None = None,
    ) -> Letter:
        """Check and stuff; raises EnvelopeError, AddressError, HeaderError or MessageError.

        ``dotted`` False says that the octets have been looked through (strict CRLF, no line too long), and that no
        line begins with a dot: they leave as they are.
        """
        recipients, utf8 = envelope.recipients, envelope.smtputf8
        if not recipients:
            raise EnvelopeError("the message has no recipient")
        _check(envelope.sender, utf8=utf8, empty=True)
        for address in recipients:
            _check(address, utf8=utf8, empty=False)
        # A message without a last line end would take the dot into its last line, and never end.
        content = data if dotted is False and data.endswith(b"\r\n") else stuffed(data)
        plain = data if data.endswith(b"\r\n") or not data else data + b"\r\n"
        rcpt = "".join([f"RCPT TO:<{address}>\r\n" for address in recipients])
        mail = f"MAIL FROM:<{envelope.sender}>"
        return cls(envelope, content, plain, len(data), data.isascii(), mail.encode(), rcpt.encode(), leaves)


def opening(session: Session, letter: Letter) -> bytes:
    """MAIL and RCPT for this session's server: one reply for MAIL, one for each recipient.

    Raises EnvelopeError when an address needs SMTPUTF8 that the server does not offer, MessageError when
    the message is larger than it takes: both before anything was sent.
    """
    offer = session.offer
    parameters = b""
    if offer.largest is not None:
        if 0 < offer.largest < letter.size:
            raise MessageError(
                f"the message has {letter.size} octets, and {session.place} takes at most {offer.largest}",
                hint="send smaller attachments, or a link to them",
            )
        parameters = b" SIZE=%d" % letter.size
    if not letter.ascii and offer.eight_bits:
        parameters += b" BODY=8BITMIME"
    if letter.envelope.smtputf8:
        if not offer.smtputf8:
            raise EnvelopeError(
                f"{session.place} does not offer SMTPUTF8, which a non-ASCII local part needs",
                hint="use an address in ASCII, or a server that offers SMTPUTF8",
            )
        parameters += b" SMTPUTF8"
    return b"%b%b\r\n%b" % (letter.mail, parameters, letter.rcpt)


def refused(session: Session, letter: Letter, mail: Reply, answers: Sequence[Reply]) -> FlowpostError | None:
    """The error when MAIL or every recipient was refused; None while somebody may get the message."""
    if not mail.positive:
        return refusal(session, EnvelopeError, mail, "MAIL")
    if len(answers) < len(letter.envelope.recipients) or any(reply.positive for reply in answers):
        return None
    # One that may be accepted later is reason enough to try again.
    error = refusal(
        session,
        EnvelopeError,
        next((reply for reply in answers if reply.transient), answers[0]),
        "RCPT",
    )
    if isinstance(error, EnvelopeError):
        error.rejections = rejections(session, letter, answers)
    return error


def outcome(session: Session, letter: Letter, answers: Sequence[Reply], reply: Reply) -> Outcome:
    """What a message came to that the server took with ``reply``."""
    recipients = letter.envelope.recipients
    told = session.scrubber.reply(reply)
    if all(reply.positive for reply in answers):
        return Outcome(recipients, (), told)
    pairs = zip(recipients, answers, strict=True)
    accepted = tuple(address for address, reply in pairs if reply.positive)
    return Outcome(accepted, rejections(session, letter, answers), told)


def rejections(session: Session, letter: Letter, answers: Sequence[Reply]) -> tuple[Rejection, ...]:
    """Who was refused, each with the reply that was meant for them."""
    scrub = session.scrubber.rejection
    pairs = zip(letter.envelope.recipients, answers, strict=True)
    return tuple(scrub(address, reply) for address, reply in pairs if not reply.positive)


def refusal(session: Session, kind: type[DeliveryError], reply: Reply, what: str) -> FlowpostError:
    """The error for a reply that says no; one that says neither yes nor no ends the session."""
    told = session.scrubber.reply(reply)
    if reply.code < 400:
        session.closing = True
        return session.lost(f"{what} was answered with {told}")
    enhanced, _ = session.scrubber.parts(reply)
    return kind(told, transient=reply.transient, smtp_code=reply.code, enhanced_code=enhanced)


def _check(address: str, *, utf8: bool, empty: bool) -> None:
    """Refuse what could be read as a second argument or command; the composer has parsed the address before."""
    if _ORDINARY.fullmatch(address):
        return
    if _LINE_END.search(address):
        raise HeaderError(
            "Header value contains forbidden characters: a line end or NUL in an envelope address"
        )
    # A quoted local part may hold what would end the path elsewhere.
    bad = _CONTROL if address.startswith('"') else _ENDS_PATH
    wrong = bad.search(address) or len(address) > _MAX_ADDRESS or not (address or empty)
    if wrong or not (utf8 or address.isascii()):
        raise AddressError(f"Invalid address {address[:100]!r} in the envelope")
