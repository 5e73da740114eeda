"""Letters by DATA, one behind the other.

The final dot is the line that matters. Before it is written, every loss is transient: the server has no
whole message. From then on until the reply, a loss is ``DeliveryUnknown`` and nothing else. So the dot is
held back until all of the content has left this process and the connection is known to stand. Where the
server allows it (RFC 2920), MAIL, RCPT and DATA of the next letter leave in one write with the dot: one round
trip a message in place of four.
"""

from __future__ import annotations

from runner.errors import DeliveryUnknown, EnvelopeError, FlowpostError, MessageError
from runner.model import Outcome
from runner.smtp.conveyor import LAST_WRITE, SLOWEST, Conveyor, Depot
from runner.smtp.job import Job
from runner.smtp.reply import Reply
from runner.smtp.session import Session
from runner.smtp.transaction import SERVICE_CLOSING, outcome, refusal, refused
from runner.smtp.wire import Lost

_LAST_WORDS = 1.0
"""Seconds in which what the server said before it closed has to be read."""


class DotConveyor(Conveyor):
    """Carries letters over ``session``, each ended by a dot."""

    def __init__(self, session: Session, depot: Depot) -> None:
        super().__init__(session, depot)
        self._going = False
        """Whether the server waits for the content of the letter at the head."""
        self._dot_last = False
        """Whether nothing was written behind its dot."""
        self._leaving = False
        """Whether the server has closed, and its last words are waited for."""
        self._settled = False
        """Whether a letter got its outcome by the replies that are looked at now."""

    # -- told by the wire ----------------------------------------------------------------------------

    def heard(self, replies: list[Reply]) -> None:
        """See ``Listener``."""
        self._settled = False
        super().heard(replies)

    def ended(self) -> None:
        """See ``Listener``."""
        if self.is_over():
            return
        if self.flying and not self.flying[0].done():
            self.broken(self.flying[0], self.wire.fault or "the connection was lost")
        self.finish()

    def drained(self) -> None:
        """See ``Listener``."""
        if self.poured >= 0 and self.flying:
            self.hand_over(self.flying[0])

    def late(self) -> None:
        """See ``Listener``."""
        if self.is_over():
            return
        if self.flying:
            self.session.closing = True
            self.too_late(self.flying[0])
        self.finish()

    def feed(self) -> None:
        """A letter waits, and this session could announce it."""
        self.depot.hungry.pop(self, None)
        resting = len(self.flying) != 1 or not self.flying[0].handed_over
        if resting or self.is_over() or self.session.closing or self.wire.unsent:
            return
        behind = self.pull()
        if behind:
            self._dot_last = False
            try:
                self.wire.send(behind, self.flying[-1].due)
            except Lost:
                self.ended()

    # -- one letter ----------------------------------------------------------------------------------

    def prepare(self, job: Job, commands: bytes) -> bytes:
        """What is written for ``job``, and how many replies that will have."""
        job.replies = []
        job.lines = []
        job.error = None
        job.due = 2 + len(job.letter.envelope.recipients)
        # RSET clears what a refused message left behind, without a round trip of its own.
        job.resets = 0 if self.session.clean else 1
        if job.resets:
            commands = b"RSET\r\n" + commands
            job.due += 1
        return commands + b"DATA\r\n"

    def begin(self, job: Job | None) -> None:
        """Begin with ``job`` on a session that is at rest."""
        commands = self.pull(job)
        if not commands:
            self.linger()
            return
        job = self.first()
        try:
            if self.session.offer.pipelining:
                self.wire.send(commands, job.due)
            else:
                job.lines = commands.split(b"\r\n")[-2::-1]
                job.due = 1
                self.wire.send(job.lines.pop() + b"\r\n")
        except Lost:
            self.ended()

    def first(self) -> Job:
        """The letter at the head is the one that replies are for from now on."""
        job = self.flying[0]
        job.session = self.session
        self.poured = -1
        self._going = self._leaving = False
        self.wire.watch(self.session.deadline())
        return job

    def step(self, job: Job) -> None:
        """All replies that were due to the letter at the head are there."""
        if job.handed_over:
            self.verdict(job, job.replies[-1])
        elif job.error is not None:
            self.session.clean = True
            self.settle(job, job.error)
        elif job.lines and self.goes_on(job):
            job.due += 1
            try:
                self.wire.send(job.lines.pop() + b"\r\n")
            except Lost:
                self.ended()
        else:
            self.judge(job)

    def goes_on(self, job: Job) -> bool:
        """Whether the next command of a letter may be sent, where each waits for the reply before."""
        if not all(reply.positive for reply in job.replies[: job.resets + 1]):
            return False
        return len(job.lines) > 1 or any(reply.positive for reply in job.replies[job.resets + 1 :])

    def judge(self, job: Job) -> None:
        """Send the message if somebody will get it; some replies are missing where the connection was lost."""
        if job.due == len(job.replies) and job.replies[-1].code == 354 and job.resets == 0:
            for reply in job.replies[:-1]:
                if not 200 <= reply.code < 300:
                    break
            else:
                # Nearly every letter: nobody is refused.
                self.session.clean = False
                self.ready(job)
                return
        session, recipients = self.session, job.letter.envelope.recipients
        replies = job.replies[job.resets :]
        if any(reply.code == SERVICE_CLOSING for reply in job.replies):
            session.closing = True
        if job.resets and job.replies and not job.replies[0].positive:
            told = session.scrubber.reply(job.replies[0])
            self.settle(job, self.lost(f"RSET was answered with {told}"))
            return
        session.clean = False
        if not replies:
            self.settle(job, self.lost(self.wire.fault))
            return
        mail, answers, data = replies[0], replies[1 : 1 + len(recipients)], replies[1 + len(recipients) :]
        go_ahead = bool(data) and data[0].code == 354
        error = refused(session, job.letter, mail, answers)
        if error is None and not data:
            # Only a lost connection leaves answers out.
            if replies[-1].code == SERVICE_CLOSING:
                error = refusal(session, EnvelopeError, replies[-1], "RCPT")
            else:
                error = self.lost(self.wire.fault)
        elif error is None and not go_ahead:
            error = refusal(session, MessageError, data[0], "DATA")
        if error is None:
            self.ready(job)
        elif go_ahead and self.wire.fault is None:
            self.empty(job, error)
        else:
            self.settle(job, error)

    def empty(self, job: Job, error: FlowpostError) -> None:
        """A server that says 354 with nobody to deliver to wants a dot, and sends it to no one (RFC 2920,
        3.1).
        """
        job.error = error
        job.due += 1
        try:
            self.wire.send(b".\r\n")
        except Lost:
            self.ended()

    def ready(self, job: Job) -> None:
        """The server waits for the message."""
        self._going = True
        if self._settled and not self.depot.waits():
            # The one before was delivered this very moment, and whoever was told has a letter perhaps, that can
            # leave in the same write.
            self._settled = False
            self.loop.call_soon(self._ready_again, job)
            return
        if job.done():
            self.session.closing = True
            self.finish()
            return
        cut = len(job.letter.content) - LAST_WRITE
        if cut > 0:
            self.poured = 0
            self.wire.watch(self.session.deadline() + cut / SLOWEST)
        self.hand_over(job)

    def _ready_again(self, job: Job) -> None:
        if self._going and self.flying and self.flying[0] is job and not job.handed_over:
            self.ready(job)

    def hand_over(self, job: Job) -> None:
        """Write the message, as far as it can leave, and then its end."""
        wire, content = self.wire, job.letter.content
        try:
            if self.poured >= 0:
                if not self.pour(content):
                    return
                # Nothing may stand behind the dot of a large message, so that ``unsent`` says whether the dot
                # has left.
                content, behind = content[self.poured :], b""
                wire.check_peer()
            else:
                wire.check_peer()
                self.session.clean = True
                behind = self.pull() if self.session.offer.pipelining else b""
            self.session.clean = True
            self.poured = -1
            self._dot_last = not behind
            if job.letter.leaves is not None:
                job.letter.leaves()
            wire.send(b"%b.\r\n%b" % (content, behind), 1 + self.flying[-1].due if behind else 1)
        except Lost:
            self.refused_early(job)
            return
        job.due += 1
        job.handed_over = True
        self._going = False
        if not behind and self.session.offer.pipelining:
            self.depot.hungry[self] = None
        wire.watch(self.session.deadline())

    def verdict(self, job: Job, reply: Reply) -> None:
        """The reply to the end of the message."""
        session = self.session
        if reply.code == SERVICE_CLOSING:
            session.closing = True
        if reply.positive:
            answers = job.replies[-2 - len(job.letter.envelope.recipients) : -2]
            self.settle(job, outcome(session, job.letter, answers, reply))
        elif reply.code < 400:
            session.closing = True
            told = session.scrubber.reply(reply)
            self.settle(
                job, DeliveryUnknown(f"Delivery unknown: {session.place} answered the message with {told}")
            )
        else:
            self.settle(job, refusal(session, MessageError, reply, "DATA"))

    def settle(self, job: Job, result: Outcome | FlowpostError) -> None:
        """Tell what became of the letter at the head, and go on with the next."""
        self._settled = True
        super().settle(job, result)

    def go_on(self) -> None:
        """The next letter, if there is one and the session stands."""
        if self.session.closing or self.wire.fault is not None:
            self.finish()
        elif not self.flying:
            self.wake()
        elif self.first().done():
            # Cancelled: its commands are with the server already, and must not get a message.
            self.session.closing = True
            self.finish()

    # -- when it breaks ------------------------------------------------------------------------------

    def broken(self, job: Job, why: str) -> None:
        """The connection was lost, with ``job`` at the head."""
        session = self.session
        session.closing = True
        if job.handed_over:
            if self._dot_last and self.wire.unsent:
                job.handed_over = False
                self.settle(job, self.early() or self.lost(why))
            else:
                self.settle(job, self.unknown(why, "at"))
        elif job.error is not None:
            self.settle(job, job.error)
        elif self._going:
            self.settle(job, self.early() or self.lost(why))
        else:
            self.judge(job)

    def too_late(self, job: Job) -> None:
        """The deadline passed, with ``job`` at the head."""
        session = self.session
        if job.handed_over:
            if self._dot_last and self.wire.unsent:
                job.handed_over = False
                self.settle(job, session.timed_out("sending the message"))
            else:
                seconds = session.credential.timeout_seconds
                self.settle(job, self.unknown(f"no answer within {seconds:g} s", "from"))
        elif job.error is not None:
            self.settle(job, job.error)
        elif self._leaving:
            self.settle(job, self.early() or self.lost("the server closed the connection"))
        elif self.poured >= 0:
            self.settle(job, session.timed_out("sending the message"))
        else:
            self.settle(job, session.timed_out("waiting for the answer to MAIL, RCPT or DATA"))

    def refused_early(self, job: Job) -> None:
        """The server closed before the end of the message: a refusal may stand before the close, unread, and
        would else pass for a loss.
        """
        self._leaving = True
        if self.wire.fault is not None:
            self.ended()
        else:
            self.wire.watch(self.loop.time() + _LAST_WORDS)

    def early(self) -> FlowpostError | None:
        """The refusal of a message that was still being sent."""
        stray = self.wire.stray
        if stray is None or stray.code < 400:
            return None
        return refusal(self.session, MessageError, stray, "DATA")
