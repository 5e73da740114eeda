"""One smtp node, prepared once and filled for each row of a batch: no waiting, no connection, no history.

It walks the road that ``Smtp`` walks, over the same readers, checks and composer, and keeps what every row has
in common: parameters without a template as they were read, the lines of a body that no value touches as they
were encoded, attachments that are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from runner.credential import SmtpCredential
from runner.errors import FlowpostError
from runner.mail import fields, sources
from runner.mail.address import Address
from runner.mail.body import Encoded, text_body
from runner.mail.compose import Composed, write
from runner.mail.delivery import apply_delivery
from runner.mail.fields import READERS
from runner.mail.identity import message_id
from runner.mail.limits import check_limits
from runner.mail.message import Mail
from runner.mail.parts import Part, attachment, known_part
from runner.mail.recurring import Recurring
from runner.mail.sources import Source
from runner.model import Attachment, Envelope, Node, Settings
from runner.nodes.base import is_literal, is_template, render
from runner.nodes.blank import Draft, Outgoing
from runner.nodes.form import Form
from runner.nodes.smtp import sender_of
from runner.template import Template
from runner.template.markup import inline_css
from runner.template.straight import NotStraight


class Filled(NamedTuple):
    """A message that may leave: written, and checked against what was meant."""

    node: str
    credential: str
    mail: Mail
    composed: Composed

    @property
    def envelope(self) -> Envelope:
        """Who sends to whom."""
        return self.composed.envelope

    @property
    def data(self) -> bytes:
        """The octets: CRLF, not dot-stuffed."""
        return self.composed.data

    @property
    def dotted(self) -> bool:
        """Whether a line begins with a dot; without one, ``data`` is what DATA carries, as it stands."""
        return self.composed.dotted

    @property
    def message_id(self) -> str:
        """``<left@right>``."""
        return self.mail.message_id

    @property
    def outgoing(self) -> Outgoing:
        """What of it leaves."""
        envelope, data, dotted = self.composed
        return Outgoing(envelope, data, dotted, self.mail.message_id)

    @property
    def subject(self) -> str:
        """The subject, as people read it."""
        return self.mail.subject

    @property
    def text(self) -> str | None:
        """The plain text, as it was rendered."""
        return self.mail.text

    @property
    def html(self) -> str | None:
        """The HTML, as it was rendered."""
        return self.mail.html


class _Body:
    """A body's template, whose lines come again from row to row."""

    def __init__(self, template: Template, recurring: Recurring) -> None:
        self.template = template
        self.recurring = recurring
        self.parts: Sequence[str] = []
        self.text: str | None = None

    def render(self, scope: Mapping[str, object]) -> str:
        self.text = None
        self.parts = self.template.parts(scope)
        self.text = "".join(self.parts)
        return self.template.settled(self.text, scope)


class PreparedSmtp:
    """An smtp node without its values. ``fill`` gives what the node itself would send, octet for octet.

    Not for two threads at once.
    """

    def __init__(self, node: Node, settings: Settings, root: Path) -> None:
        self.node = node.id
        self.credential = str(node.params["credential"])
        self.on_unknown = str(node.params.get("on_unknown", "hold"))
        self._delivery = settings.delivery
        self._root = root
        self._secrets = settings.secrets
        self._inline_css = node.params.get("inline_css") is True
        self._params = node.params
        self._literal = {name: value for name, value in node.params.items() if is_literal(value)}
        self._bodies: dict[str, _Body] = {}
        self._templated = [
            (name, self._prepared(name, value))
            for name, value in node.params.items()
            if name not in self._literal
        ]
        self._kept, self._readers = _read_ahead(self._literal, node.params)
        self._sender: tuple[SmtpCredential, object, Address] | None = None
        self._loaded: tuple[Attachment, ...] = ()
        self._stamp: object = None
        self._attached: dict[tuple[int, bool], Part] = {}

    @classmethod
    def of(cls, node: Node, settings: Settings, root: Path) -> PreparedSmtp | None:
        """The node prepared; None for one that has to fetch an attachment, or may have to.

        ``when``, ``for_each`` and ``timeout`` are the caller's.
        """
        if node.type != "smtp" or _may_fetch(node.params.get("attachments")):
            return None
        return cls(node, settings, root)

    def fill(
        self, scope: Mapping[str, object], credential: SmtpCredential, key: tuple[str, ...], date: datetime
    ) -> Filled:
        """The message for the names of ``scope``.

        ``key`` is the whole of ``Context.key``: workspace, run (or batch and row), node, item. Raises what the
        node raises: TemplateError, AddressError, HeaderError, LimitError and their like.
        """
        params = dict(self._literal)
        for name, rendered in self._templated:
            params[name] = rendered(scope)
        return Filled(self.node, self.credential, *self._write(params, credential, key, date))

    def outgoing(
        self, scope: Mapping[str, object], credential: SmtpCredential, key: tuple[str, ...], date: datetime
    ) -> Draft:
        """What leaves of the message that ``fill`` gives, for less where the values are plain."""
        form = self._form
        if form is not None and (found := form.fill(scope, credential, key, date)) is not None:
            return found
        return self.fill(scope, credential, key, date).outgoing

    @cached_property
    def _form(self) -> Form | None:
        if (
            self._inline_css
            or self._delivery.mode not in ("live", "capture")
            or "attachments" in self._params
        ):
            return None
        fields: dict[str, Template] = {}
        for name, value in self._params.items():
            if isinstance(value, Template):
                fields[name] = value
            elif name not in self._literal:
                return None
        try:
            return Form(
                fields,
                {name: body.recurring for name, body in self._bodies.items()},
                lambda rendered, *message: self._write({**self._literal, **rendered}, *message),
                lambda *message: self.fill(*message).outgoing,
            )
        except NotStraight:
            return None

    def message_id(self, credential: SmtpCredential, key: tuple[str, ...]) -> str | None:
        """The id that the message of ``key`` has in every attempt; None where its sender depends on the row."""
        if "sender" not in self._kept:
            return None
        given: Any = self._kept["sender"]
        return message_id(self._sender_of(given, credential).domain, *key)

    def _write(
        self, params: dict[str, Any], credential: SmtpCredential, key: tuple[str, ...], date: datetime
    ) -> tuple[Mail, Composed]:
        values: dict[str, Any] = dict(self._kept)
        for name, reader in self._readers:
            values[name] = reader(params)
        text, html = values.pop("bodies")
        files = values.pop("attachments")
        sender = self._sender_of(values.pop("sender"), credential)
        if html is not None and self._inline_css:
            html = inline_css(html)
        mail = Mail(
            sender=sender,
            text=text,
            html=html,
            message_id=message_id(sender.domain, *key),
            date=date,
            **values,
        )
        mail = apply_delivery(self._delivery, mail)
        if files:
            check_limits(mail)
            mail = mail._replace(attachments=self._load(files))
        return mail, write(mail, self._encoded, self._attach)

    def _prepared(self, name: str, value: object) -> Callable[[Mapping[str, object]], object]:
        if not isinstance(value, Template):
            return partial(render, value)
        texts = value.texts() if name in ("body", "html_body") else None
        if texts is None or not (recurring := Recurring(texts)):
            return value.render
        body = self._bodies[name] = _Body(value, recurring)
        return body.render

    def _sender_of(self, given: Address | None, credential: SmtpCredential) -> Address:
        known = self._sender
        if known is not None and known[0] is credential and known[1] is given:
            return known[2]
        sender = sender_of(given, credential)
        self._sender = (credential, given, sender)
        return sender

    def _load(self, files: tuple[Source, ...]) -> tuple[Attachment, ...]:
        if files is not self._kept.get("attachments"):
            return sources.load_here(files, self._root, self._secrets)
        try:
            found = [(self._root / str(file.value)).stat() for file in files if file.kind == "file"]
        except (OSError, ValueError):
            return sources.load_here(files, self._root, self._secrets)
        stamp = [(one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found]
        if stamp != self._stamp:
            self._loaded = sources.load_here(files, self._root, self._secrets)
            self._stamp, self._attached = stamp, {}
        return self._loaded

    def _attach(self, item: Attachment, shows: bool) -> Part:
        # By identity: these are the attachments that are kept, and nothing else is as long as they are.
        if not any(item is kept for kept in self._loaded):
            return attachment(item, shows)
        part = self._attached.get((id(item), shows))
        if part is None:
            part = self._attached[id(item), shows] = known_part(attachment(item, shows))
        return part

    def _encoded(self, mail: Mail) -> tuple[Encoded | None, Encoded | None]:
        return self._encoded_body(mail.text), self._encoded_body(mail.html)

    def _encoded_body(self, text: str | None) -> Encoded | None:
        if text is None:
            return None
        for body in self._bodies.values():
            # The very text that was rendered, and not one that was made of it since.
            if body.text is text:
                return body.recurring.encoded(body.parts)
        return text_body(text)


def _read_ahead(
    literal: Mapping[str, object], params: Mapping[str, object]
) -> tuple[dict[str, object], list[tuple[str, fields.Reader]]]:
    """What is read once for all, and the readers that are left. A mistake is left, to be told in its turn."""
    kept: dict[str, object] = {}
    left: list[tuple[str, fields.Reader]] = []
    for field, (reader, names) in READERS.items():
        if all(name in literal or name not in params for name in names):
            try:
                kept[field] = reader(literal)
                continue
            except (FlowpostError, KeyError):
                pass
        left.append((field, reader))
    return kept, left


def _may_fetch(attachments: object) -> bool:
    """Whether an attachment is, or may come out as, one by URL."""
    if attachments is None:
        return False
    if not isinstance(attachments, list | tuple):
        return True
    return any(
        not isinstance(item, Mapping) or item.get("url") is not None or is_template(item)
        for item in attachments
    )
