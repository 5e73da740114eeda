"""``smtp``: compose one message and hand it to the credential's server ("Send SMTP Email")."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from runner.credential import Credential, SmtpCredential
from runner.errors import AddressError, DeliveryUnknown, EnvelopeError, FlowpostError
from runner.mail import fields, lint, sources
from runner.mail.address import Address, parse_one
from runner.mail.compose import Composed, compose
from runner.mail.delivery import apply_delivery, matches
from runner.mail.fields import Draft
from runner.mail.identity import message_id
from runner.mail.limits import check_limits
from runner.mail.message import Mail
from runner.model import Delivery, Envelope, Outcome, Rejection, Retry
from runner.nodes.base import Context, Message, NodeType, Problem, References, credential_reference
from runner.template.markup import inline_css

FETCH_SECONDS = 30.0
"""For one attachment, from the first packet to the last."""
ASIDE_FROM = 256 * 1024
"""Characters and octets of a message that is composed in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp(NodeType):
    """The parameters of SPEC section 5, rendered."""

    RETRY: ClassVar[Retry] = Retry(attempts=5, delay=30.0, max_delay=3600.0)

    credential: str
    draft: Draft
    inline_css: bool
    on_unknown: str

    @classmethod
    def parse(cls, params: Mapping[str, object]) -> Self:
        """Read the rendered parameters; raises AddressError, HeaderError, LimitError and their like."""
        return cls(
            credential=str(params["credential"]),
            draft=fields.read(params),
            inline_css=params.get("inline_css") is True,
            on_unknown=str(params.get("on_unknown", "hold")),
        )

    @classmethod
    def check(cls, params: Mapping[str, object]) -> Iterable[Problem]:
        """Find literal mistakes: addresses, reserved and malformed headers, limits, attachments."""
        return [Problem(pointer, error) for pointer, error in lint.lint(params)]

    @classmethod
    def check_credential(cls, params: Mapping[str, object], credential: Credential) -> Iterable[Problem]:
        """Find a sender, where it is not templated, that the credential lacks or does not let through."""
        assert isinstance(credential, SmtpCredential)
        given = params.get("from")
        if given is not None and not isinstance(given, str):
            return
        try:
            sender = fields.single(given, "from")
        except FlowpostError:
            return  # ``check`` says so
        try:
            sender_of(sender, credential)
        except AddressError as error:
            yield Problem(("from",) if given else ("credential",), error)

    @classmethod
    def references(cls, params: Mapping[str, object]) -> References:
        """The credential, and the files that are attached."""
        return References(
            credentials=tuple(credential_reference(params, "smtp")),
            files=tuple(lint.files(params)),
            urls=tuple(lint.urls(params)),
        )

    async def run(self, ctx: Context) -> object:
        """Compose, check, send, and report who was accepted; nothing is opened before every check passed."""
        credential = await ctx.credentials.smtp(self.credential)
        mail = await self._mail(ctx, credential)
        composed = await compose_aside(mail)
        ctx.on_message(_shown(ctx, self.credential, mail, composed))
        if ctx.rehearsal or ctx.settings.delivery.mode == "capture":
            why = "dry run: nothing was sent" if ctx.rehearsal else "captured: nothing was sent"
            return _output(mail, Outcome((), (), why))
        progress = Progress.of(ctx)
        try:
            outcome = await ctx.sender.send(credential, progress.remaining(composed.envelope), composed.data)
        except DeliveryUnknown as error:
            error.transient = self.on_unknown == "resend"
            raise
        except EnvelopeError as error:
            # Whoever was refused for good is not asked about again, even when nobody was served yet.
            progress.refuse(error, composed.envelope)
            if not progress.accepted or (error.transient and not ctx.last_attempt):
                raise
            # Others were served by an earlier attempt: the node succeeded, and lists who was refused.
            return _output(mail, progress.outcome())
        progress.note(outcome)
        waiting = [rejection for rejection in progress.rejected.values() if rejection.transient]
        if waiting and not ctx.last_attempt:
            raise _deferred(waiting[0])
        return _output(mail, progress.outcome())

    async def _mail(self, ctx: Context, credential: SmtpCredential) -> Mail:
        draft = self.draft
        sender = sender_of(draft.sender, credential)
        if draft.html is not None and self.inline_css:
            draft = draft._replace(html=await asyncio.to_thread(inline_css, draft.html))

        async def fetch(url: str, room: int) -> tuple[bytes, str, str | None]:
            from runner.net.fetch import fetch_attachment

            fetched = await fetch_attachment(ctx.http, url, room, FETCH_SECONDS)
            return fetched.data, fetched.content_type, fetched.filename

        mail = addressed(draft, sender, ctx.settings.delivery, ctx.key, ctx.started)
        attached = await sources.load(draft.attachments, ctx.root, fetch, ctx.settings.secrets)
        return mail._replace(attachments=attached)


def sender_of(given: Address | None, credential: SmtpCredential) -> Address:
    """Who a message is from: the node's ``from`` or the credential's own; AddressError when it may not be."""
    sender = given or default_sender(credential)
    check_sender(sender, credential)
    return sender


def addressed(
    draft: Draft, sender: Address, delivery: Delivery, key: tuple[str, ...], date: datetime
) -> Mail:
    """The message as it may leave, its attachments apart: what is wrong with it is said before anything is
    fetched for it. Raises AddressError, BlockedError, ConfigurationError or LimitError.
    """
    mail = draft.mail(sender=sender, attachments=(), message_id=message_id(sender.domain, *key), date=date)
    mail = apply_delivery(delivery, mail)
    check_limits(mail)
    return mail


class Progress:
    """Who was served and who was refused, through all attempts of one node."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.rejected: dict[str, Rejection] = {}
        self.response = ""

    @classmethod
    def of(cls, ctx: Context) -> Progress:
        """The progress of this node, begun when there is none."""
        found = ctx.progress.setdefault("smtp", cls())
        assert isinstance(found, cls)
        return found

    def remaining(self, envelope: Envelope) -> Envelope:
        """The envelope without those who were served and those who were refused for good."""
        if not self.accepted and not self.rejected:
            return envelope
        done = {*self.accepted, *(name for name, why in self.rejected.items() if not why.transient)}
        return envelope._replace(recipients=tuple(name for name in envelope.recipients if name not in done))

    def note(self, outcome: Outcome) -> None:
        """Add one transaction's outcome."""
        self.accepted.extend(outcome.accepted)
        for name in outcome.accepted:
            self.rejected.pop(name, None)
        self.rejected.update({rejection.address: rejection for rejection in outcome.rejected})
        self.response = outcome.response

    def refuse(self, error: EnvelopeError, envelope: Envelope) -> None:
        """Note that everyone still waiting was refused, each with their own reply, or the one for all."""
        own = {refused.address: refused for refused in error.rejections}
        for name in self.remaining(envelope).recipients:
            code, enhanced, told = error.smtp_code or 550, error.enhanced_code, error.message
            if (refused := own.get(name)) is not None:
                code, enhanced, told = refused.code, refused.enhanced_code, refused.message
            self.rejected[name] = Rejection(name, code, enhanced, told)

    def outcome(self) -> Outcome:
        """All attempts as one."""
        return Outcome(tuple(self.accepted), tuple(self.rejected.values()), self.response)


def default_sender(credential: SmtpCredential) -> Address:
    """The credential's ``default_from``, else its user name when that is an address; raises AddressError."""
    if credential.default_from is not None:
        return parse_one(credential.default_from)
    username = credential.auth.username if credential.auth is not None else ""
    try:
        return parse_one(username)
    except AddressError:
        raise AddressError(
            f'Invalid address: nobody to send from: credential "{credential.name}" has no sender.default_from '
            "and its username is no address",
            hint="set from: on the node, or sender.default_from in the credential",
        ) from None


def check_sender(sender: Address, credential: SmtpCredential) -> None:
    """Refuse a sender that the credential's ``allowed_from`` leaves out; raises AddressError."""
    if credential.allowed_from and not any(matches(sender, pattern) for pattern in credential.allowed_from):
        raise AddressError(
            f'Invalid address: credential "{credential.name}" may not send from {sender.addr_spec}',
            hint=f"it may send from {', '.join(credential.allowed_from)}",
        )


async def compose_aside(mail: Mail) -> Composed:
    """Compose, in a thread when the message is large: a 25 MB attachment would hold everybody else up."""
    size = len(mail.text or "") + len(mail.html or "") + sum(len(part.data) for part in mail.attachments)
    return compose(mail) if size < ASIDE_FROM else await asyncio.to_thread(compose, mail)


def _deferred(rejection: Rejection) -> EnvelopeError:
    return EnvelopeError(
        rejection.message, transient=True, smtp_code=rejection.code, enhanced_code=rejection.enhanced_code
    )


def _shown(ctx: Context, credential: str, mail: Mail, composed: Composed) -> Message:
    return Message(
        node=ctx.node,
        credential=credential,
        envelope=composed.envelope,
        data=composed.data,
        text=mail.text,
        html=mail.html,
    )


def _output(mail: Mail, outcome: Outcome) -> dict[str, object]:
    return {
        "message_id": mail.message_id,
        "accepted": list(outcome.accepted),
        "rejected": [
            {
                "address": rejection.address,
                "code": rejection.code,
                "enhanced_code": rejection.enhanced_code,
                "message": rejection.message,
            }
            for rejection in outcome.rejected
        ],
        "response": outcome.response,
    }


NODE = Smtp
