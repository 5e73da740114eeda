"""One message through a session: MAIL, RCPT and DATA in one write where the server allows it (RFC 2920).

The final dot is the line that matters. Before it is written, every loss is transient: the server has no
whole message. From then on until the reply, a loss is ``DeliveryUnknown`` and nothing else. So the dot is
held back until all of the content has left this process and the connection is known to stand.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.errors import (
    AddressError,
    DeliveryError,
    DeliveryUnknown,
    EnvelopeError,
    HeaderError,
    MessageError,
)
from runner.model import Envelope, Outcome, Rejection
from runner.smtp.octets import stuffed
from runner.smtp.reply import Reply
from runner.smtp.session import Session
from runner.smtp.wire import Lost

_SLOWEST = 32 * 1024
"""Octets per second that a server has to take on average, beyond ``timeout_seconds``."""
_LAST_WRITE = 64 * 1024
"""Octets of content that leave in one write with the final dot: one write for most messages."""
_MAX_ADDRESS = 900
SERVICE_CLOSING = 421

_LINE_END = re.compile("[\r\n\0]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_ENDS_PATH = re.compile("[\x00-\x20<>\x7f]")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that may be sent: its envelope checked, its octets stuffed. ``size`` as SIZE counts it (RFC
    1870).
    """

    envelope: Envelope
    content: bytes = field(repr=False)
    size: int
    ascii: bool

    @classmethod
    def seal(cls, envelope: Envelope, data: bytes) -> Letter:
        """Check and stuff; raises EnvelopeError, AddressError, HeaderError or MessageError."""
        if not envelope.recipients:
            raise EnvelopeError("the message has no recipient")
        for address in (envelope.sender, *envelope.recipients):
            _check(address, utf8=envelope.smtputf8, empty=address is envelope.sender)
        return cls(envelope, stuffed(data), len(data), data.isascii())


class Stage:
    """How far a letter came: ``handed_over`` once its final dot may have left."""

    __slots__ = ("handed_over",)

    def __init__(self) -> None:
        self.handed_over = False


Announcement = tuple[bytes, int]
"""The commands up to DATA, and how many replies they will have."""


def announcement(session: Session, letter: Letter) -> Announcement:
    """MAIL, RCPT and DATA for this session's server.

    Raises EnvelopeError when an address needs SMTPUTF8 that the server does not offer, MessageError when
    the message is larger than it takes: both before anything was sent.
    """
    offered = session.extensions
    envelope = letter.envelope
    parameters = ""
    if "SIZE" in offered:
        limit = int(offered["SIZE"]) if offered["SIZE"].isdecimal() and len(offered["SIZE"]) < 20 else 0
        if 0 < limit < letter.size:
            raise MessageError(
                f"the message has {letter.size} octets, and {session.place} takes at most {limit}",
                hint="send smaller attachments, or a link to them",
            )
        parameters += f" SIZE={letter.size}"
    if not letter.ascii and "8BITMIME" in offered:
        parameters += " BODY=8BITMIME"
    if envelope.smtputf8:
        if "SMTPUTF8" not in offered:
            raise EnvelopeError(
                f"{session.place} does not offer SMTPUTF8, which a non-ASCII local part needs",
                hint="use an address in ASCII, or a server that offers SMTPUTF8",
            )
        parameters += " SMTPUTF8"
    lines = [f"MAIL FROM:<{envelope.sender}>{parameters}"]
    lines += [f"RCPT TO:<{recipient}>" for recipient in envelope.recipients]
    lines += ["DATA", ""]
    # RSET clears what a refused message left behind, without a round trip of its own.
    reset = [] if session.clean else ["RSET"]
    return "\r\n".join(reset + lines).encode("utf-8"), len(reset) + len(lines) - 1


async def transact(
    session: Session,
    letter: Letter,
    stage: Stage,
    *,
    announced: int = 0,
    following: Callable[[], Announcement] = lambda: (b"", 0),
) -> Outcome:
    """Send ``letter`` and return what the server said.

    ``announced``: so many replies are to come for commands that were written behind the message before.
    ``following`` is asked for the next message's commands just before the final dot, and they leave with
    it. Afterwards the session can be used again unless ``session.closing`` is true.

    Raises ConnectionFailed and TimedOut before the final dot, DeliveryUnknown after it, EnvelopeError,
    MessageError, and what ``announcement`` raises.
    """
    session.sent += 1
    try:
        return await _Exchange(session, letter, stage, announced).run(following)
    except Lost as exc:
        session.closing = True
        raise session.lost(str(exc)) from exc
    finally:
        session.used = asyncio.get_running_loop().time()


class _Exchange:
    def __init__(self, session: Session, letter: Letter, stage: Stage, announced: int) -> None:
        self.session = session
        self.wire = session.wire
        self.letter = letter
        self.stage = stage
        self.announced = announced

    async def run(self, following: Callable[[], Announcement]) -> Outcome:
        session = self.session
        deadline = session.deadline()
        try:
            replies = await self.ask(deadline)
            accepted, rejected = await self.judge(replies, deadline)
        except TimeoutError as exc:
            session.closing = True
            raise session.timed_out("waiting for the answer to MAIL, RCPT or DATA") from exc
        content = self.letter.content
        cut = max(0, len(content) - _LAST_WRITE)
        try:
            await self.wire.stream(content[:cut], deadline + cut / _SLOWEST)
            self.wire.check_peer()
        except TimeoutError as exc:
            session.closing = True
            raise session.timed_out("sending the message") from exc
        except Lost:
            # A refusal may stand before the close, and would else pass for a loss.
            await self.wire.last_words()
            self.refused_early()
            raise
        session.clean = True
        # Nothing may stand behind the dot of a large message, so that ``unsent`` says whether the dot has left.
        commands, count = (b"", 0) if cut else following()
        self.wire.send(content[cut:] + b".\r\n" + commands, 1 + count)
        self.stage.handed_over = True
        reply = await self.verdict(dot_last=not commands)
        if not reply.positive:
            raise self.message_error(reply)
        return Outcome(accepted, rejected, session.scrubber.reply(reply))

    async def ask(self, deadline: float) -> list[Reply]:
        """Write the commands up to DATA; the replies that came, fewer when the connection was lost."""
        if self.announced:
            return await self.wire.take(self.announced, deadline)
        commands, count = announcement(self.session, self.letter)
        resets = 0 if self.session.clean else 1
        if "PIPELINING" in self.session.extensions:
            self.wire.send(commands, count)
            await self.reset(resets, deadline)
            return await self.wire.take(count - resets, deadline)
        lines = commands.split(b"\r\n")[:-1]
        if resets:
            self.wire.send(lines.pop(0) + b"\r\n")
            await self.reset(resets, deadline)
        return await self.one_by_one(lines, deadline)

    async def one_by_one(self, lines: list[bytes], deadline: float) -> list[Reply]:
        replies: list[Reply] = []
        for line in lines:
            nobody = not any(reply.positive for reply in replies[1:])
            if line == b"DATA" and nobody:
                break
            try:
                self.wire.send(line + b"\r\n")
            except Lost:
                break
            came = await self.wire.take(1, deadline)
            replies += came
            if not came or not replies[0].positive:
                break
        return replies

    async def reset(self, count: int, deadline: float) -> None:
        if count == 0:
            return
        reply = await self.wire.reply(deadline)
        if not reply.positive:
            self.session.closing = True
            raise Lost(f"RSET was answered with {self.session.scrubber.reply(reply)}")

    async def judge(
        self, replies: list[Reply], deadline: float
    ) -> tuple[tuple[str, ...], tuple[Rejection, ...]]:
        """Who is accepted and who is not, once DATA may be followed by the message; raises for everything
        else.
        """
        session, recipients = self.session, self.letter.envelope.recipients
        session.clean = False
        if any(reply.code == SERVICE_CLOSING for reply in replies):
            session.closing = True
        if not replies:
            raise Lost(self.wire.fault or "the connection was lost")
        mail, answers, data = replies[0], replies[1 : 1 + len(recipients)], replies[1 + len(recipients) :]
        go_ahead = bool(data) and data[0].code == 354
        if not mail.positive:
            await self.empty(deadline, needed=go_ahead)
            raise self.envelope_error(mail, "MAIL")
        refused = [reply for reply in answers if not reply.positive]
        if len(answers) < len(recipients) or (not data and len(refused) < len(answers)):
            if replies[-1].code == SERVICE_CLOSING:
                raise self.envelope_error(replies[-1], "RCPT")
            raise Lost(self.wire.fault or "the connection was lost")
        if len(refused) == len(answers):
            await self.empty(deadline, needed=go_ahead)
            # One that may be accepted later is reason enough to try again.
            error = self.envelope_error(
                next((reply for reply in refused if reply.transient), refused[0]), "RCPT"
            )
            if isinstance(error, EnvelopeError):
                error.rejections = self.rejections(answers)
            raise error
        if not go_ahead:
            raise self.message_error(data[0])
        pairs = zip(recipients, answers, strict=True)
        return tuple(address for address, reply in pairs if reply.positive), self.rejections(answers)

    def rejections(self, answers: list[Reply]) -> tuple[Rejection, ...]:
        """Who was refused, each with the reply that was meant for them."""
        scrub = self.session.scrubber.rejection
        pairs = zip(self.letter.envelope.recipients, answers, strict=True)
        return tuple(scrub(address, reply) for address, reply in pairs if not reply.positive)

    async def empty(self, deadline: float, *, needed: bool) -> None:
        """A server that says 354 with nobody to deliver to wants a dot, and sends it to no one (RFC 2920,
        3.1).
        """
        if needed and self.wire.fault is None:
            try:
                self.wire.send(b".\r\n")
                await self.wire.reply(deadline)
                self.session.clean = True
            except (Lost, TimeoutError):
                self.session.closing = True

    async def verdict(self, *, dot_last: bool) -> Reply:
        """The reply to the final dot; raises DeliveryUnknown when there is none that says yes or no."""
        session = self.session
        place = f"{session.place} after the message was handed over and before it was acknowledged"
        try:
            reply = await self.wire.reply(session.deadline())
        except Lost as exc:
            session.closing = True
            if dot_last and self.wire.unsent:
                self.refused_early()
                raise
            raise DeliveryUnknown(f"Delivery unknown: {exc} at {place}") from exc
        except TimeoutError as exc:
            session.closing = True
            if dot_last and self.wire.unsent:
                raise session.timed_out("sending the message") from exc
            told = f"no answer within {session.credential.timeout_seconds:g} s"
            raise DeliveryUnknown(f"Delivery unknown: {told} from {place}") from exc
        if reply.code == SERVICE_CLOSING:
            session.closing = True
        if 300 <= reply.code < 400:
            session.closing = True
            told = session.scrubber.reply(reply)
            raise DeliveryUnknown(f"Delivery unknown: {session.place} answered the message with {told}")
        return reply

    def refused_early(self) -> None:
        """Raise MessageError when the server refused the message while it was still being sent."""
        stray = self.wire.stray
        if stray is not None and stray.code >= 400:
            self.session.closing = True
            raise self.message_error(stray)

    def envelope_error(self, reply: Reply, what: str) -> Exception:
        return self._refusal(EnvelopeError, reply, what)

    def message_error(self, reply: Reply) -> Exception:
        return self._refusal(MessageError, reply, "DATA")

    def _refusal(self, kind: type[DeliveryError], reply: Reply, what: str) -> Exception:
        if reply.code < 400:
            self.session.closing = True
            return self.session.lost(f"{what} was answered with {self.session.scrubber.reply(reply)}")
        enhanced, _ = self.session.scrubber.parts(reply)
        return kind(
            self.session.scrubber.reply(reply),
            transient=reply.transient,
            smtp_code=reply.code,
            enhanced_code=enhanced,
        )


def _check(address: str, *, utf8: bool, empty: bool) -> None:
    """Refuse what could be read as a second argument or command; the composer has parsed the address before."""
    if _LINE_END.search(address):
        raise HeaderError(
            "Header value contains forbidden characters: a line end or NUL in an envelope address"
        )
    # A quoted local part may hold what would end the path elsewhere.
    bad = _CONTROL if address.startswith('"') else _ENDS_PATH
    wrong = bad.search(address) or len(address) > _MAX_ADDRESS or not (address or empty)
    if wrong or not (utf8 or address.isascii()):
        raise AddressError(f"Invalid address {address[:100]!r} in the envelope")
