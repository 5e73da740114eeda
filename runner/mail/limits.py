"""The fixed limits of one message (SPEC 5), checked before a connection is opened."""

from __future__ import annotations

from collections.abc import Iterable

from runner.errors import LimitError
from runner.mail.addrspec import mailbox_key
from runner.mail.mailbox import Address
from runner.mail.message import Mail

MAX_BODY_BYTES = 10_000_000
"""Octets of UTF-8 in the text, and again in the HTML."""
MAX_ATTACHMENTS_BYTES = 25_000_000
"""Octets of all attachments together, before they are encoded."""
MAX_SUBJECT = 998
"""Characters of the subject."""
MAX_HEADERS = 50
"""Custom headers."""
MAX_RECIPIENTS = 100
"""To, Cc and Bcc together, each mailbox once."""


def count_mailboxes(addresses: Iterable[Address]) -> int:
    """How many recipients an envelope to all of them has."""
    return len({mailbox_key(address.wire) for address in addresses})


def check_limits(mail: Mail) -> None:
    """LimitError (ELIMIT) when ``mail`` passes a limit; the message says what was found and what is allowed."""
    recipients = mail.recipients
    # Who stands there twice is looked for only where it matters.
    if len(recipients) > MAX_RECIPIENTS and (found := count_mailboxes(recipients)) > MAX_RECIPIENTS:
        raise _passed("recipients", found, MAX_RECIPIENTS)
    if len(mail.subject) > MAX_SUBJECT:
        raise _passed("characters in the subject", len(mail.subject), MAX_SUBJECT)
    if len(mail.headers) > MAX_HEADERS:
        raise _passed("custom headers", len(mail.headers), MAX_HEADERS)
    # A character is at most four octets: most bodies need no counting.
    if mail.text is not None and len(mail.text) * 4 > MAX_BODY_BYTES:
        _check_body("text", mail.text)
    if mail.html is not None and len(mail.html) * 4 > MAX_BODY_BYTES:
        _check_body("HTML", mail.html)
    if mail.attachments:
        octets = sum(len(attachment.data) for attachment in mail.attachments)
        if octets > MAX_ATTACHMENTS_BYTES:
            raise _passed("bytes of attachments", octets, MAX_ATTACHMENTS_BYTES)


def _check_body(name: str, body: str) -> None:
    octets = len(body) if body.isascii() else len(body.encode("utf-8", "surrogatepass"))
    if octets > MAX_BODY_BYTES:
        raise _passed(f"bytes in the {name} body", octets, MAX_BODY_BYTES)


def _passed(what: str, found: int, allowed: int) -> LimitError:
    return LimitError(f"{found:,} {what}, at most {allowed:,} are allowed")
