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

from runner.mail.attach import DEFAULT_TYPE, check_cid, clean_filename, read_content_type
from runner.mail.body import HOLE, Encoded, base64_lines, is_seven_bit, text_body
from runner.mail.params import legacy_name, parameter
from runner.mail.verify import Known
from runner.model import Attachment

Part = tuple[bytes, Encoded]
"""Header lines, which end in CRLF, and the body, without a CRLF after its last line."""


def content(
    seed: str, text: Encoded | None, html: Encoded | None, inline: list[Part], attached: list[Part]
) -> Part:
    """The body of a message; boundaries derive from ``seed`` (hexadecimal) and occur in no body.

    ``inline`` are the parts that the HTML shows, and there are none without it.
    """
    part: Part | None = None
    if html is not None:
        part = _HEADERS["html", html.encoding], html
        if inline:
            part = _multipart("related", [part, *inline], f"{seed}.1", ';\r\n type="text/html"')
    if text is not None or part is None:
        text = text or text_body("")
        plain = _HEADERS["plain", text.encoding], text
        part = plain if part is None else _multipart("alternative", [plain, part], f"{seed}.2")
    return _multipart("mixed", [part, *attached], f"{seed}.3") if attached else part


_HEADERS = {
    (subtype, encoding): f"Content-Type: text/{subtype}; charset=utf-8\r\n"
    f"Content-Transfer-Encoding: {encoding}\r\n".encode()
    for subtype in ("plain", "html")
    for encoding in ("7bit", "quoted-printable", "base64")
}


def _multipart(subtype: str, parts: list[Part], seed: str, more: str = "") -> Part:
    boundary = _boundary(seed, parts)
    mark = f"--{boundary}".encode()
    lines: list[bytes] = []
    known: list[Known] = []
    texts: list[bytes] = []
    for header, body in parts:
        lines += mark, header, body.loose
        known += body.known
        texts += body.texts
    lines.append(mark + b"--")
    whole = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"{more}\r\n'
    return whole.encode(), Encoded("7bit", b"\r\n".join(lines), known, texts)


def _boundary(seed: str, parts: list[Part]) -> str:
    # "=_" cannot occur in quoted-printable or base64, so only plain bodies need a look.
    boundary, turn = f"=_{seed}", 0
    while _occurs(boundary.encode(), parts):
        turn += 1
        boundary = f"=_{seed}.{turn}"
    return boundary


def _occurs(boundary: bytes, parts: list[Part]) -> bool:
    for _, body in parts:
        for text in body.texts:
            if text.find(boundary) >= 0:
                return True
    return False


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
    return "".join(lines).encode(), Encoded(encoding, data, (), texts)


def known_part(part: Part) -> Part:
    """The same part, for many messages: its lines are looked through once, if they are encoded."""
    header, body = part
    data = body.loose
    first, last = data.find(b"\r\n"), data.rfind(b"\r\n")
    if body.texts or body.known or first == last:
        return part
    loose = data[:first] + HOLE + data[last + 2 :]
    return header, body._replace(loose=loose, known=[Known(data[first : last + 2])])
