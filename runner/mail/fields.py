"""The smtp node's parameters, rendered, as one typed value: what the author and the data meant.

Defaults of the credential, attachments' octets, message id and date join later (``Draft.mail``).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from runner.errors import AddressError, HeaderError, LimitError, TemplateError
from runner.mail.address import Address, from_value
from runner.mail.limits import MAX_HEADERS
from runner.mail.message import Mail, Priority, Unsubscribe
from runner.mail.sources import Source, read_sources
from runner.model import Attachment, BodyAsHtml


class Draft(NamedTuple):
    """One message before it is anybody's: no sender from the credential, no attachment loaded, no id, no date."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    sender: Address | None
    reply_to: Address | None
    subject: str
    text: str | None
    html: str | None
    priority: Priority | None
    headers: tuple[tuple[str, str], ...]
    attachments: tuple[Source, ...]
    unsubscribe: Unsubscribe | None

    def mail(
        self, *, sender: Address, attachments: tuple[Attachment, ...], message_id: str, date: datetime
    ) -> Mail:
        """The whole message."""
        return Mail(
            sender=sender,
            to=self.to,
            cc=self.cc,
            bcc=self.bcc,
            reply_to=self.reply_to,
            subject=self.subject,
            text=self.text,
            html=self.html,
            priority=self.priority,
            headers=self.headers,
            attachments=attachments,
            unsubscribe=self.unsubscribe,
            message_id=message_id,
            date=date,
        )


def read(params: Mapping[str, object]) -> Draft:
    """Read rendered parameters; raises AddressError, HeaderError, LimitError, AttachmentError or TemplateError."""
    values: dict[str, Any] = {name: reader(params) for name, (reader, _) in READERS.items()}
    text, html = values.pop("bodies")
    return Draft(text=text, html=html, **values)


def _to(params: Mapping[str, object]) -> tuple[Address, ...]:
    to = from_value(params["to"], "to")
    if not to:
        raise AddressError("Invalid address: to names nobody", hint="give at least one address")
    return to


def bodies(params: Mapping[str, object]) -> tuple[str | None, str | None]:
    """The plain text and the HTML that ``body_format``, ``body`` and ``html_body`` come to.

    ``body`` is the HTML content when the format is html and ``html_body`` is empty, else the alternative. Where
    ``html_body`` came out empty only now, it is ``body`` rendered as HTML; any other ``body`` was rendered as plain
    text, and is escaped here, or values in it would become markup.
    """
    body = optional_text(params.get("body"), "body")
    html_body = optional_text(params.get("html_body"), "html_body")
    if params["body_format"] == "text":
        return body or "", None
    if type(html_body) is BodyAsHtml:
        return None, str(html_body)
    if html_body and not html_body.isspace():
        return (body or None), html_body
    if "html_body" in params:
        return body or "", html.escape(body or "")
    return None, body or ""


def single(value: object, field: str) -> Address | None:
    """The one address of ``from`` or ``reply_to``; None when it is left out or empty."""
    addresses = from_value(value, field)
    if len(addresses) > 1:
        raise AddressError(f"Invalid address: {field} takes one address and got {len(addresses)}")
    return addresses[0] if addresses else None


def as_text(value: object, field: str) -> str:
    """A value that must be text; null is none of it, numbers and booleans are written as templates write them."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    from runner.schema.words import kind_of

    raise TemplateError(
        f"{field} needs text and got {kind_of(value)}", hint="join or convert it in the template"
    )


def optional_text(value: object, field: str) -> str | None:
    """As ``as_text``, but nothing stays nothing."""
    return value if value is None or type(value) is str else as_text(value, field)


def priority(value: object) -> Priority | None:
    """``low``, ``normal`` or ``high``; None when it is left out or rendered to nothing."""
    if value is None or value == "":
        return None
    if value not in ("low", "normal", "high"):
        raise TemplateError(f'priority "{str(value)[:40]}" is not one of low, normal, high')
    return value


def headers(value: object) -> tuple[tuple[str, str], ...]:
    """Custom headers from a mapping or a list of ``{key, value}``; the bound comes before any work on them."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple):
        pairs = [_pair(item) for item in value]
    else:
        raise HeaderError("headers need a mapping or a list of {key, value}", hint="")
    if len(pairs) > MAX_HEADERS:
        raise LimitError(f"{len(pairs)} custom headers, at most {MAX_HEADERS}")
    return tuple((as_text(key, "headers"), as_text(item, f"header {key}")) for key, item in pairs)


def unsubscribe(value: object) -> Unsubscribe | None:
    """The ``unsubscribe`` parameter: one click is promised only where the author says so (RFC 8058)."""
    if not isinstance(value, Mapping):
        return None
    return Unsubscribe(
        url=optional_text(value.get("url"), "unsubscribe.url") or None,
        mailto=optional_text(value.get("mailto"), "unsubscribe.mailto") or None,
        one_click=value.get("one_click") in (True, "true"),
    )


Reader = Callable[[Mapping[str, object]], object]

READERS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "to": (_to, ("to",)),
    "bodies": (bodies, ("body_format", "body", "html_body")),
    "cc": (lambda params: from_value(params.get("cc"), "cc"), ("cc",)),
    "bcc": (lambda params: from_value(params.get("bcc"), "bcc"), ("bcc",)),
    "sender": (lambda params: single(params.get("from"), "from"), ("from",)),
    "reply_to": (lambda params: single(params.get("reply_to"), "reply_to"), ("reply_to",)),
    "subject": (lambda params: as_text(params["subject"], "subject"), ("subject",)),
    "priority": (lambda params: priority(params.get("priority")), ("priority",)),
    "headers": (lambda params: headers(params.get("headers")), ("headers",)),
    "attachments": (lambda params: read_sources(params.get("attachments")), ("attachments",)),
    "unsubscribe": (lambda params: unsubscribe(params.get("unsubscribe")), ("unsubscribe",)),
}
"""How each field of a draft is read, and from which parameters; in the order in which mistakes are told."""


def _pair(item: object) -> tuple[object, object]:
    if isinstance(item, Mapping) and set(item) == {"key", "value"}:
        return item["key"], item["value"]
    raise HeaderError("each of headers needs key and value", hint="")
