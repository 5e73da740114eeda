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

from collections.abc import Sequence
from typing import NamedTuple

from runner.mail.attach import DEFAULT_TYPE, check_cid, clean_filename, read_content_type
from runner.mail.body import Encoded, base64_lines, is_seven_bit, text_body
from runner.mail.params import legacy_name, parameter
from runner.mail.verify import Known
from runner.model import Attachment


class Part(NamedTuple):
    """``header`` lines end in CRLF; the body is as in ``Encoded``, without a CRLF after its last line."""

    header: str
    between: list[bytes]
    known: Sequence[Known]
    texts: Sequence[bytes]


def content(
    seed: str, text: Encoded | None, html: Encoded | None, inline: list[Part], attached: list[Part]
) -> Part:
    """The body of a message; boundaries derive from ``seed`` (hexadecimal) and occur in no body.

    ``inline`` are the parts that the HTML shows, and there are none without it.
    """
    part: Part | None = None
    if html is not None:
        part = Part(_HEADERS["html", html.encoding], html.between, html.known, html.texts)
        if inline:
            part = _multipart("related", [part, *inline], f"{seed}.1", ';\r\n type="text/html"')
    if text is not None or part is None:
        text = text or text_body("")
        plain = Part(_HEADERS["plain", text.encoding], text.between, text.known, text.texts)
        part = plain if part is None else _multipart("alternative", [plain, part], f"{seed}.2")
    return _multipart("mixed", [part, *attached], f"{seed}.3") if attached else part


_HEADERS = {
    (subtype, encoding): f"Content-Type: text/{subtype}; charset=utf-8\r\n"
    f"Content-Transfer-Encoding: {encoding}\r\n"
    for subtype in ("plain", "html")
    for encoding in ("7bit", "quoted-printable", "base64")
}


def _multipart(subtype: str, parts: list[Part], seed: str, more: str = "") -> Part:
    texts: list[bytes] = []
    for part in parts:
        texts += part.texts
    # "=_" cannot occur in quoted-printable or base64, so only plain bodies need a look.
    boundary, turn = f"=_{seed}", 0
    while texts and _occurs(boundary.encode(), texts):
        turn += 1
        boundary = f"=_{seed}.{turn}"
    between: list[bytes] = [b""]
    known: list[Known] = []
    begin = "--"
    for part in parts:
        # The last piece of one part and the first of the next are one, with the delimiter between them.
        between[-1] += f"{begin}{boundary}\r\n{part.header}\r\n".encode() + part.between[0]
        between += part.between[1:]
        known += part.known
        begin = "\r\n--"
    between[-1] += f"\r\n--{boundary}--".encode()
    return Part(
        f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"{more}\r\n', between, known, texts
    )


def _occurs(boundary: bytes, texts: list[bytes]) -> bool:
    return any(boundary in text for text in texts)


def attachment(item: Attachment, shows: bool) -> Part:
    """An attachment; ``shows`` when the HTML shows it.

    Raises AttachmentError or HeaderError for its name, type or content id.
    """
    name = clean_filename(item.filename)
    kind, parameters = read_content_type(item.content_type)
    encoding, data = "base64", b""
    texts: list[bytes] = []
    if kind.lower().startswith("message/"):
        # RFC 2046 5.2.1 allows no base64 here: a message that cannot stand as it is goes as mere octets.
        if is_seven_bit(item.data):
            encoding, data, texts = "7bit", item.data, [item.data]
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
    return Part("".join(lines), [data], (), texts)


def known_part(part: Part) -> Part:
    """The same part, for many messages: its lines are looked through once, if they are encoded."""
    data = part.between[0]
    first, last = data.find(b"\r\n"), data.rfind(b"\r\n")
    if part.texts or part.known or first == last:
        return part
    return part._replace(between=[data[:first], data[last + 2 :]], known=[Known(data[first : last + 2])])
