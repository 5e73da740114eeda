"""Custom headers: which names may not be used, and what a name and a value may hold (RFC 5322 2.2, 3.6.8)."""

from __future__ import annotations

import re

from runner.errors import HeaderError, ReservedHeaderError
from runner.mail.shown import shown

RESERVED = frozenset(
    (
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "return-path",
        "message-id",
        "in-reply-to",
        "references",
        "date",
        "content-type",
        "content-transfer-encoding",
        "mime-version",
        "dkim-signature",
        "received",
        "authentication-results",
        "x-original-to",
        "delivered-to",
        "__proto__",
        "constructor",
        "prototype",
        # Beyond the contract's list: a second Subject is against RFC 5322 3.6, and readers show either.
        "subject",
    )
)
"""Names that a custom header may not have, in lower case. This is the one list of them."""

LONGEST_NAME = 76
"""Characters of a name, so that a name never needs a line of its own."""

REDIRECTED_FROM = "X-Flowpost-Redirected-From"

_NAME = re.compile(r"[!-9;-~]+")


def check_header(name: str, value: str) -> None:
    """Check one custom header.

    Raises ReservedHeaderError (ERESERVED) for a reserved name in any case, and HeaderError (EHEADER) for
    CR, LF or NUL in name or value, or a name that is not RFC 5322's printable ASCII without a colon.
    """
    forbid_line_ends(name)
    if name.strip().lower() in RESERVED:
        raise ReservedHeaderError(f"Reserved header is not allowed: {shown(name)}")
    if _NAME.fullmatch(name) is None:
        raise HeaderError(
            f"Header name {shown(name)} is not allowed",
            hint="use letters, digits and hyphens, for example X-Campaign",
        )
    if len(name) > LONGEST_NAME:
        raise HeaderError(
            f"Header name {shown(name)} has {len(name)} characters, at most {LONGEST_NAME} are allowed",
            hint="use a shorter name",
        )
    if "\n" in value or "\r" in value or "\x00" in value:
        raise HeaderError(f"Header value contains forbidden characters: {shown(value)} in {name}")


def forbid_line_ends(text: str, where: str = "") -> None:
    """HeaderError for CR, LF or NUL, which end a header or a command; looked for before anything else."""
    if "\n" in text or "\r" in text or "\x00" in text:
        raise HeaderError(f"Header value contains forbidden characters: {shown(text)}{where}")
