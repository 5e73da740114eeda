"""Several letters in flight on one session, by BDAT (RFC 3030): nothing is waited for, replies are matched in order.

Opt-in, for a lost connection leaves as many letters unknown as were in flight. From the moment when a letter's
last octet may have left this process it is handed over; one whose end is certainly still here is not.

After a refused MAIL, RCPT or BDAT the server swallows the octets and says no to them as well (503, 554): the
first refusal is the one that counts. It also may keep the sender and the recipients that it had accepted, and
the next letter would be sent to these, too. So each letter that is written behind another one that is not
settled begins with RSET (RFC 3030 section 4.2).
"""

from __future__ import annotations

from runner.errors import DeliveryUnknown, FlowpostError, MessageError
from runner.model import Outcome
from runner.smtp.conveyor import LAST_WRITE, SLOWEST, Conveyor, Depot
from runner.smtp.job import Job
from runner.smtp.reply import Reply
from runner.smtp.session import Session
from runner.smtp.transaction import SERVICE_CLOSING, outcome, refusal, refused
from runner.smtp.wire import Lost


class ChunkConveyor(Conveyor):
    """Carries letters over ``session``, at most ``window`` at a time."""

    def __init__(self, session: Session, depot: Depot, window: int) -> None:
        super().__init__(session, depot)
        self.window = window

    # -- told by the wire ----------------------------------------------------------------------------

    def heard(self, replies: list[Reply]) -> None:
        """See ``Listener``."""
        super().heard(replies)
        self.fill()

    def ended(self) -> None:
        """See ``Listener``."""
        if not self.is_over():
            self.give_up(self.wire.fault or "the connection was lost", "at")

    def drained(self) -> None:
        """See ``Listener``."""
        if self.poured >= 0:
            self.pour_on(self.flying[-1])
        self.fill()

    def late(self) -> None:
        """See ``Listener``."""
        if self.is_over():
            return
        if self.flying:
            seconds = self.session.credential.timeout_seconds
            self.give_up(f"no answer within {seconds:g} s", "from", late=True)
        else:
            self.finish()

    def feed(self) -> None:
        """See ``Conveyor``."""
        self.fill()

    # -- the window ----------------------------------------------------------------------------------

    def begin(self, job: Job | None) -> None:
        """Begin with ``job`` on a session that is at rest."""
        self.fill(job)

    def fill(self, job: Job | None = None) -> None:
        """Write letters while the window and the connection take more; all that leave now in one write."""
        if self.is_over():
            return
        self.depot.hungry.pop(self, None)
        try:
            self.wire.check_peer()
        except Lost as exc:
            self.session.closing = True
            if job is not None:
                job.reused = self.session.sent > 0
                self.depot.failed(job, self.lost(str(exc)))
        else:
            self.write(job)
        if self.is_over():
            return
        if not self.flying:
            self.linger()
        elif not self.full():
            self.depot.hungry[self] = None

    def full(self) -> bool:
        """Whether no letter may be written now."""
        return (
            len(self.flying) >= self.window
            or self.poured >= 0
            or self.wire.unsent
            or self.session.closing
            or self.wire.fault is not None
        )

    def write(self, job: Job | None) -> None:
        """Write ``job`` and what else the window takes."""
        parts: list[bytes] = []
        leaving: list[Job] = []
        replies = octets = 0
        resting = not self.flying
        while octets < LAST_WRITE and not self.full() and (commands := self.pull(job)):
            job, taken = None, self.flying[-1]
            replies += taken.due
            parts.append(commands)
            if len(taken.letter.plain) > LAST_WRITE:
                self.poured = 0
                break
            parts.append(taken.letter.plain)
            leaving.append(taken)
            octets += len(taken.letter.plain)
        if job is not None:
            self.depot.move(job)
        if not parts:
            return
        if resting:
            self.first()
        for taken in leaving:
            if taken.letter.leaves is not None:
                taken.letter.leaves()
        try:
            self.wire.send(b"".join(parts), replies)
        except Lost:
            self.ended()
            return
        for taken in leaving:
            taken.handed_over = True
        if self.poured >= 0:
            self.pour_on(self.flying[-1])

    def prepare(self, job: Job, commands: bytes) -> bytes:
        """What is written before the content of ``job``, and how many replies all of it will have."""
        job.replies = []
        job.due = 2 + len(job.letter.envelope.recipients)
        job.resets = 1 if len(self.flying) > 1 or not self.session.clean else 0
        if job.resets:
            commands = b"RSET\r\n" + commands
            job.due += 1
        return b"%bBDAT %d LAST\r\n" % (commands, len(job.letter.plain))

    def first(self) -> Job:
        """The letter at the head is the one that replies are for from now on."""
        job = self.flying[0]
        if not job.handed_over:
            # Nothing else is on the connection that could be broken to take this one back.
            job.session = self.session
        patience = 0.0 if job.handed_over else len(job.letter.plain) / SLOWEST
        self.wire.watch(self.session.deadline() + patience)
        return job

    def pour_on(self, job: Job) -> None:
        """Write what the connection takes of a large letter, the last in the window."""
        if job.done():
            # Cancelled: its end must not be sent, and nothing can stand behind it. Those before it go on.
            self.session.closing = True
            self.go_on()
            return
        content = job.letter.plain
        try:
            if self.pour(content):
                self.wire.check_peer()
                if job.letter.leaves is not None:
                    job.letter.leaves()
                self.wire.send(content[self.poured :], 0)
                self.poured = -1
                job.handed_over = True
        except Lost:
            self.session.closing = True

    # -- the replies ---------------------------------------------------------------------------------

    def step(self, job: Job) -> None:
        """All replies to the letter at the head are there."""
        if any(reply.code == SERVICE_CLOSING for reply in job.replies):
            self.session.closing = True
        result = self.refused(job)
        last = job.replies[-1]
        if result is not None:
            job.handed_over = False
        if result is None and job.replies[0].positive and last.positive and job.handed_over:
            self.session.clean = True
            answers = job.replies[job.resets + 1 : -1]
            self.settle(job, outcome(self.session, job.letter, answers, last))
            return
        self.session.clean = False
        if self.poured >= 0 and self.flying[-1] is job:
            # It was answered before all of it was sent, so nothing can stand behind it.
            self.session.closing = True
        self.settle(
            job, result or self.contradiction(job) or refusal(self.session, MessageError, last, "BDAT")
        )

    def contradiction(self, job: Job) -> FlowpostError | None:
        """The error for replies that say neither yes nor no."""
        last = job.replies[-1]
        if last.code >= 400:
            return None
        told = self.session.scrubber.reply(last)
        if not job.handed_over:
            return self.lost(f"a message that was not sent yet was answered with {told}")
        if job.resets and not job.replies[0].positive:
            told = f"{told}, and RSET before it with {self.session.scrubber.reply(job.replies[0])}"
        self.session.closing = True
        return DeliveryUnknown(f"Delivery unknown: {self.session.place} answered the message with {told}")

    def refused(self, job: Job) -> FlowpostError | None:
        """The refusal of the sender or of all recipients, by as many replies as there are."""
        recipients = len(job.letter.envelope.recipients)
        replies = job.replies[job.resets : job.resets + 1 + recipients]
        if not replies:
            return None
        answers = replies[1:]
        last = job.replies[-1]
        if len(job.replies) == job.due and last.positive and any(reply.positive for reply in answers):
            # Whoever takes a message for somebody may deliver it, whatever was said to MAIL.
            return None
        return refused(self.session, job.letter, replies[0], answers)

    def settle(self, job: Job, result: Outcome | FlowpostError) -> None:
        """Tell what became of the letter at the head, and go on with the next."""
        if self.flying[-1] is job:
            self.poured = -1
        super().settle(job, result)

    def go_on(self) -> None:
        """The next letter is at the head; what is in flight is waited for even if nothing may follow."""
        if not self.flying:
            if self.session.closing:
                self.finish()
        elif self.flying[0].done() and not self.flying[0].handed_over:
            self.session.closing = True
            self.finish()
        elif self.wire.fault is None:
            self.first()

    def give_up(self, why: str, where: str, *, late: bool = False) -> None:
        """No more replies will come: each letter gets the outcome that its own replies and octets allow."""
        self.session.closing = True
        self.depot.hungry.pop(self, None)
        letters = list(self.flying)
        self.flying.clear()
        unsent = letters[-1] if letters and self.wire.unsent else None
        for job in letters:
            job.session = None
            error = self.refused(job) if job.replies else None
            if job is unsent or error is not None:
                job.handed_over = False
            if error is None and job.handed_over:
                error = self.unknown(why, where)
            elif error is None and late:
                error = self.session.timed_out("sending the message")
            self.depot.failed(job, error or self.lost(why))
        self.finish()
