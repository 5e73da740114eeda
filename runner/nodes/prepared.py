"""One smtp node, prepared once and filled for each row of a batch: no waiting, no connection, no history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from runner.credential import SmtpCredential
from runner.mail import sources
from runner.mail.compose import compose
from runner.model import Envelope, Node, Settings
from runner.nodes.base import is_template, render
from runner.nodes.smtp import Smtp, addressed, sender_of
from runner.template.markup import inline_css


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A message that may leave: written, and checked against what was meant."""

    node: str
    credential: str
    envelope: Envelope
    data: bytes
    message_id: str
    subject: str
    text: str | None
    html: str | None


class PreparedSmtp:
    """An smtp node without its values. ``fill`` gives what the node itself would send, octet for octet."""

    def __init__(self, node: Node, settings: Settings, root: Path) -> None:
        self.node = node.id
        self.credential = str(node.params["credential"])
        self.on_unknown = str(node.params.get("on_unknown", "hold"))
        self._params = node.params
        self._delivery = settings.delivery
        self._root = root

    @classmethod
    def of(cls, node: Node, settings: Settings, root: Path) -> PreparedSmtp | None:
        """The node prepared; None for one that has to fetch an attachment, or may have to.

        ``when`` and ``for_each`` are the caller's.
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
        params = render(self._params, scope)
        assert isinstance(params, Mapping)
        action = Smtp.parse(params)
        draft = action.draft
        sender = sender_of(draft, credential)
        if draft.html is not None and action.inline_css:
            draft = replace(draft, html=inline_css(draft.html))
        mail = addressed(draft, sender, self._delivery, key, date)
        if draft.attachments:
            mail = replace(mail, attachments=sources.load_here(draft.attachments, self._root))
        composed = compose(mail)
        return Filled(
            node=self.node,
            credential=self.credential,
            envelope=composed.envelope,
            data=composed.data,
            message_id=mail.message_id,
            subject=mail.subject,
            text=mail.text,
            html=mail.html,
        )


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
