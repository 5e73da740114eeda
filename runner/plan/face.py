"""A composed message as its reader meets it: decoded headers, what is attached, plain text, HTML source.

For showing and comparing only. Nothing is decided here about who gets a message: the envelope says that.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message as Parsed
from email.parser import BytesParser

from runner.nodes.base import Message

NOBODY = "flowpost-stand-in.invalid"
"""The domain of a sender that stands for a credential's default one, where the credential cannot be opened."""

_FIRST = ("from", "to", "cc", "bcc", "reply-to", "subject")
_CHANGING = {"date", "message-id", "mime-version", "content-type", "content-transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Face:
    """``head`` are lines like ``Subject: Hi``, who it goes to first; ``text`` and ``html`` are None where absent.

    ``attached`` are lines like ``offer.pdf (application/pdf, 12 bytes, sha256 0123…)``.
    """

    head: tuple[str, ...]
    text: str | None
    html: str | None
    attached: tuple[str, ...] = ()

    def value(self, name: str) -> str:
        """One header's value; empty when it is not there."""
        start = f"{name}: "
        return next((line.removeprefix(start) for line in self.head if line.startswith(start)), "")


def face(message: Message) -> Face:
    """What there is to see of ``message``, without what differs in every sending (Date, Message-ID, boundaries)."""
    parsed = BytesParser().parsebytes(message.data)
    pairs = [(name, _decoded(str(value))) for name, value in parsed.items() if name.lower() not in _CHANGING]
    pairs.append(("Bcc", ", ".join(_unnamed(message, parsed))))
    pairs.sort(key=lambda pair: _FIRST.index(pair[0].lower()) if pair[0].lower() in _FIRST else len(_FIRST))
    head = [f"{name}: {_sender(value, message.credential)}" for name, value in pairs if value]
    head.append(f"Credential: {message.credential}")
    return Face(tuple(head), message.text, message.html, tuple(_attached(parsed)))


def _decoded(value: str) -> str:
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", value)
    try:
        return str(make_header(decode_header(unfolded)))
    except (LookupError, ValueError, MessageError):
        return unfolded


def _sender(value: str, credential: str) -> str:
    return f"the default sender of {credential}, not known here" if value.endswith(f"@{NOBODY}") else value


def _unnamed(message: Message, parsed: Parsed) -> list[str]:
    """Recipients of the envelope that To and Cc do not name."""
    named = " ".join(str(value) for name in ("To", "Cc") for value in parsed.get_all(name, ())).lower()
    words = set(re.findall(r"[^\s<>,;]+", named))
    return [recipient for recipient in message.envelope.recipients if recipient.lower() not in words]


def _attached(parsed: Parsed) -> list[str]:
    found = []
    for part in parsed.walk():
        name = part.get_filename()
        if name is not None:
            data = part.get_payload(decode=True)
            octets = data if isinstance(data, bytes) else b""
            digest = hashlib.sha256(octets).hexdigest()[:8]
            found.append(
                f"{_decoded(name)} ({part.get_content_type()}, {len(octets):,} bytes, sha256 {digest}…)"
            )
    return found
