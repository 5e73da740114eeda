"""One message as it was meant, before a byte of it is written."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from runner.mail.address import Address
from runner.model import Attachment

Priority = Literal["low", "normal", "high"]


class Unsubscribe(NamedTuple):
    """How to leave a list: ``url`` (http or https), ``mailto`` (an address), or both (RFC 2369).

    ``one_click`` adds ``List-Unsubscribe-Post`` and needs an https ``url`` (RFC 8058).
    """

    url: str | None = None
    mailto: str | None = None
    one_click: bool = False


class Mail(NamedTuple):
    """Everything that ``compose`` turns into an envelope and bytes.

    ``text`` alone, ``html`` alone, or both as alternatives. ``headers`` are the custom ones, in order.
    ``message_id`` is ``<left@right>``. ``date`` carries its zone. ``redirect_to`` sends the whole envelope
    to one address and leaves the headers as they were meant (``runner.mail.delivery``).
    """

    sender: Address
    to: tuple[Address, ...]
    subject: str
    message_id: str
    date: datetime
    text: str | None = None
    html: str | None = None
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: Address | None = None
    priority: Priority | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    unsubscribe: Unsubscribe | None = None
    redirect_to: Address | None = None

    @property
    def recipients(self) -> tuple[Address, ...]:
        """To, Cc and Bcc together, in that order, doubles included."""
        return self.to + self.cc + self.bcc if self.cc or self.bcc else self.to
