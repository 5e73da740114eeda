"""A composed message as a person reads it: headers decoded, text below, nothing that could drive a terminal."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

from runner.cli.boundary import printable
from runner.nodes.base import Message

SHOWN_FIRST = ("From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID")
_QUIET = ("MIME-Version", "Content-Type", "Content-Transfer-Encoding")


def read(data: bytes) -> EmailMessage:
    """Parse a message for showing it."""
    return BytesParser(_class=EmailMessage, policy=default).parsebytes(data)


def headers(message: EmailMessage) -> list[tuple[str, str]]:
    """Decoded headers, the important ones first."""
    named = [(name, str(message[name])) for name in SHOWN_FIRST if name in message]
    rest = [(name, str(value)) for name, value in message.items() if name not in (*SHOWN_FIRST, *_QUIET)]
    return named + rest


def attachments(message: EmailMessage) -> list[tuple[str, str, int]]:
    """``(file name, content type, octets)`` of every attached or inline file."""
    found = []
    for part in message.walk():
        name = part.get_filename()
        if name is not None:
            payload = part.get_payload(decode=True)
            found.append((name, part.get_content_type(), len(payload) if isinstance(payload, bytes) else 0))
    return found


def show(message: Message) -> str:
    """The whole message as lines for a terminal."""
    parsed = read(message.data)
    lines = [f"{name + ':':<12} {printable(value)}" for name, value in headers(parsed)]
    envelope = message.envelope
    lines.append(
        f"{'Envelope:':<12} {envelope.sender} -> {', '.join(envelope.recipients)} via {message.credential}"
    )
    lines += [
        f"{'Attached:':<12} {printable(name)} ({kind}, {octets:,} bytes)"
        for name, kind, octets in attachments(parsed)
    ]
    lines.append("")
    lines.append(printable(_content(message)).rstrip("\n"))
    return "\n".join(lines) + "\n"


def message_json(message: Message) -> dict[str, object]:
    """The message for machines."""
    parsed = read(message.data)
    return {
        "node": message.node,
        "credential": message.credential,
        "envelope": {"from": message.envelope.sender, "to": list(message.envelope.recipients)},
        "headers": [[name, value] for name, value in headers(parsed)],
        "text": message.text,
        "html": message.html,
        "attachments": [
            {"filename": name, "content_type": kind, "size": octets}
            for name, kind, octets in attachments(parsed)
        ],
        "size": len(message.data),
    }


def plain(value: object) -> object:
    """A value as JSON can carry it: bytes as base64, times as ISO 8601, a number without end as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def as_json(value: object) -> str:
    """JSON text, indented, as every ``--format json`` prints it."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def _content(message: Message) -> str:
    if message.text is not None and message.html is not None:
        return f"{message.text}\n--- HTML ---\n{message.html}"
    return (message.text if message.text is not None else message.html) or ""
