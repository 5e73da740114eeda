"""The body of a message as MIME parts (RFC 2045, 2046, 2387).

::

    multipart/mixed                 when there are attachments
    ├── multipart/alternative       when there are text and HTML
    │   ├── text/plain
    │   └── multipart/related       when attachments have content ids that the HTML shows
    │       ├── text/html
    │       └── image/png …
    └── application/pdf …
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.mail.attach import DEFAULT_TYPE, check_cid, clean_filename, read_content_type
from runner.mail.body import base64_lines, is_seven_bit, text_body
from runner.mail.message import Mail
from runner.mail.params import legacy_name, parameter
from runner.model import Attachment


@dataclass(frozen=True, slots=True)
class Part:
    """``header`` lines end in CRLF; ``body`` is to be joined, without a CRLF after its last line.

    ``texts`` are the octets in which a boundary could occur: bodies that are not encoded.
    """

    header: str
    body: list[bytes]
    texts: tuple[bytes, ...] = ()


def content(mail: Mail, seed: str) -> Part:
    """The body of ``mail``; boundaries derive from ``seed`` (hexadecimal) and occur in no body.

    Raises AttachmentError or HeaderError for an attachment's name, type or content id.
    """
    inline: list[Part] = []
    attached: list[Part] = []
    for item in mail.attachments:
        shows = item.cid is not None and mail.html is not None
        (inline if shows else attached).append(_attachment(item, shows))
    part: Part | None = None
    if mail.html is not None:
        part = _text("html", mail.html)
        if inline:
            part = _multipart("related", [part, *inline], f"{seed}.1", ';\r\n type="text/html"')
    if mail.text is not None or part is None:
        plain = _text("plain", mail.text or "")
        part = plain if part is None else _multipart("alternative", [plain, part], f"{seed}.2")
    return _multipart("mixed", [part, *attached], f"{seed}.3") if attached else part


def _text(subtype: str, text: str) -> Part:
    encoding, data = text_body(text)
    header = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return Part(header, [data], (data,) if encoding == "7bit" else ())


def _multipart(subtype: str, parts: list[Part], seed: str, more: str = "") -> Part:
    texts = tuple(text for part in parts for text in part.texts)
    # "=_" cannot occur in quoted-printable or base64, so only plain bodies need a look.
    boundary, turn = f"=_{seed}", 0
    while any(boundary.encode() in text for text in texts):
        turn += 1
        boundary = f"=_{seed}.{turn}"
    body: list[bytes] = []
    for part in parts:
        body.append(f"{'' if not body else chr(13) + chr(10)}--{boundary}\r\n{part.header}\r\n".encode())
        body.extend(part.body)
    body.append(f"\r\n--{boundary}--".encode())
    return Part(f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"{more}\r\n', body, texts)


def _attachment(item: Attachment, shows: bool) -> Part:
    name = clean_filename(item.filename)
    kind, parameters = read_content_type(item.content_type)
    encoding, data = "base64", b""
    texts: tuple[bytes, ...] = ()
    if kind.lower().startswith("message/"):
        # RFC 2046 5.2.1 allows no base64 here: a message that cannot stand as it is goes as mere octets.
        if is_seven_bit(item.data):
            encoding, data, texts = "7bit", item.data, (item.data,)
        else:
            kind, parameters = DEFAULT_TYPE, ()
    if encoding == "base64":
        data = base64_lines(item.data)
    lines = [
        f"Content-Type: {kind}",
        *(parameter(key, value) for key, value in parameters),
        legacy_name(name),
        f"\r\nContent-Transfer-Encoding: {encoding}",
        f"\r\nContent-Disposition: {'inline' if shows else 'attachment'}",
        parameter("filename", name),
    ]
    if item.cid is not None:
        lines.append(f"\r\nContent-ID: <{check_cid(item.cid)}>")
    lines.append("\r\n")
    return Part("".join(lines), [data], texts)
