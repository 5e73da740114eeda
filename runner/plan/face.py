"""A composed message as its reader meets it: decoded headers, what is attached, plain text, HTML source.

For showing and comparing only. Nothing is decided here about who gets a message: the envelope says that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runner.nodes.base import Message

NOBODY = "flowpost-stand-in.invalid"
"""The domain of a sender that stands for a credential's default one, where the credential cannot be opened."""

_FIRST = {name: place for place, name in enumerate(("from", "to", "cc", "bcc", "reply-to", "subject"))}
_FOLD = re.compile(r"\r\n(?=[ \t])")
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
    # Written by us a moment ago, so the first empty line ends the headers, and a blank goes on with one.
    block = message.data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    fields = [line.partition(": ") for line in _FOLD.sub("", block).split("\r\n")]
    pairs = [(name, _decoded(value)) for name, _, value in fields if name.lower() not in _CHANGING]
    pairs.append(("Bcc", ", ".join(_unnamed(message, fields))))
    pairs.sort(key=lambda pair: _FIRST.get(pair[0].lower(), len(_FIRST)))
    head = [f"{name}: {_sender(value, message.credential)}" for name, value in pairs if value]
    head.append(f"Credential: {message.credential}")
    attached = tuple(_attached(message.data)) if b"filename" in message.data else ()
    return Face(tuple(head), message.text, message.html, attached)


def _decoded(value: str) -> str:
    if "=?" not in value:
        return value
    from email.errors import MessageError
    from email.header import decode_header, make_header

    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError, MessageError):
        return value


def _sender(value: str, credential: str) -> str:
    return f"the default sender of {credential}, not known here" if value.endswith(f"@{NOBODY}") else value


def _unnamed(message: Message, fields: Iterable[tuple[str, str, str]]) -> list[str]:
    """Recipients of the envelope that To and Cc do not name."""
    named = " ".join(value for name, _, value in fields if name in ("To", "Cc")).lower()
    words = set(re.findall(r"[^\s<>,;]+", named))
    return [recipient for recipient in message.envelope.recipients if recipient.lower() not in words]


def _attached(data: bytes) -> Iterator[str]:
    from email.parser import BytesParser

    for part in BytesParser().parsebytes(data).walk():
        name = part.get_filename()
        if name is not None:
            content = part.get_payload(decode=True)
            octets = content if isinstance(content, bytes) else b""
            digest = hashlib.sha256(octets).hexdigest()[:8]
            kind = part.get_content_type()
            yield f"{_decoded(name)} ({kind}, {len(octets):,} bytes, sha256 {digest}…)"
