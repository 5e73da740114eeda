"""What an attachment may be: its file name, content type, content id, and base64 as people hand it in."""

from __future__ import annotations

import binascii
import codecs
import re

from runner.errors import AttachmentError, LimitError
from runner.mail.headers import forbid_line_ends
from runner.mail.params import joined
from runner.mail.shown import shown
from runner.mail.words import repaired

DEFAULT_TYPE = "application/octet-stream"
LONGEST_FILENAME = 1024
"""Characters of a file name."""

_ATOM = r"[A-Za-z0-9!#$&^_.+\-]+"
_TYPE = re.compile(rf"({_ATOM}/{_ATOM})[ \t]*((?:;[^\x00-\x08\x0a-\x1f\x7f]*)?)")
_PARAMETER = re.compile(
    rf';[ \t]*({_ATOM}(?:\*\d{{1,3}})?\*?)[ \t]*=[ \t]*(?:([^ \t;"]+)|"((?:[^"\\]|\\.)*)")[ \t]*'
)
_CID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]+(?:@[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]+)?")
_BASE64_BLANKS = re.compile(r"[ \t\r\n]+")
_DATA_URI = re.compile(r"data:[^,;\s]*(?:;[^,;\s]+)*;base64,", re.IGNORECASE)

# Python calls them encodings, and no mail program does; some take time with the square of the text.
_NO_CHARSETS = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"}
)

# Written down, because the system's own table differs from machine to machine.
_TYPES = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "eml": "message/rfc822",
    "gif": "image/gif",
    "gz": "application/gzip",
    "htm": "text/html",
    "html": "text/html",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf",
    "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "wav": "audio/wav",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "zip": "application/zip",
}
_GUESSED = frozenset(_TYPES.values())


def guess_content_type(filename: str) -> str:
    """The content type that the name's ending stands for; ``application/octet-stream`` when it is unknown."""
    _, dot, ending = filename.rpartition(".")
    return _TYPES.get(ending.lower(), DEFAULT_TYPE) if dot else DEFAULT_TYPE


def clean_filename(filename: str) -> str:
    """``filename`` if it can be one.

    HeaderError for CR, LF or NUL, AttachmentError when it is empty or too long.

    Nothing in it is changed: the reader's program makes it safe for its own disk (RFC 2183 2.3).
    """
    forbid_line_ends(filename, " as a file name")
    if not filename.strip():
        raise AttachmentError("the file name of an attachment is empty")
    if len(filename) > LONGEST_FILENAME:
        raise AttachmentError(
            f"the file name {shown(filename)} has {len(filename):,} characters, "
            f"at most {LONGEST_FILENAME:,} are allowed"
        )
    return filename


def base_name(path: str) -> str:
    """The last part of a path, for an attachment that was given no name; "" when there is none."""
    return re.split(r"[/\\]", path)[-1]


def read_content_type(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """``("text/csv", (("charset", "utf-8"),))`` from ``text/csv; charset=utf-8`` (RFC 2045 5.1).

    HeaderError for CR, LF or NUL; AttachmentError for what is not a content type, and for ``multipart/*``,
    whose boundary would have to fit the data. ``name`` is left out: the file name says it.
    """
    forbid_line_ends(text, " as a content type")
    match = _TYPE.fullmatch(text.strip())
    if match is None or match[1].lower().startswith("multipart/"):
        raise AttachmentError(
            f"{shown(text)} is not a content type of an attachment", hint="for example text/csv"
        )
    parameters: list[tuple[str, str]] = []
    rest = match[2].rstrip(" \t;")
    at = 0
    while at < len(rest):
        parameter = _PARAMETER.match(rest, at)
        if parameter is None:
            raise AttachmentError(
                f"{shown(text)} is not a content type", hint="for example text/csv; charset=utf-8"
            )
        value = parameter[2] if parameter[3] is None else re.sub(r"\\(.)", r"\1", parameter[3])
        parameters.append((parameter[1], value))
        at = parameter.end()
    return match[1], tuple((name, value) for name, value in joined(parameters) if name.lower() != "name")


def encode_text(text: str, content_type: str) -> tuple[str, bytes]:
    """``text`` in the charset that its content type names; without one it is UTF-8, and a ``text/*`` type says so.

    Raises what ``read_content_type`` raises, and AttachmentError for a charset that is unknown or lacks a character.
    """
    # Those that file names stand for are written above, without parameters.
    kind, parameters = (content_type, ()) if content_type in _GUESSED else read_content_type(content_type)
    charset = next((value for name, value in parameters if name.lower() == "charset"), None)
    if charset is None:
        more = "; charset=utf-8" if kind.lower().startswith("text/") else ""
        return content_type.rstrip("; \t") + more, repaired(text).encode()
    try:
        if codecs.lookup(charset).name.replace("-", "_") in _NO_CHARSETS:
            raise LookupError
        return content_type, repaired(text).encode(charset)
    except UnicodeEncodeError as error:
        lacking = text[error.start : error.start + 1]
        raise AttachmentError(
            f"the charset {shown(charset)} of an attachment has no {shown(lacking)}", hint="use charset=utf-8"
        ) from None
    except (LookupError, ValueError):
        raise AttachmentError(
            f"{shown(charset)} is not a charset that flowpost knows", hint="use charset=utf-8"
        ) from None


def check_cid(cid: str) -> str:
    """``cid`` without angle brackets, as ``cid:`` in the HTML names it (RFC 2392).

    HeaderError for CR, LF or NUL; AttachmentError for what cannot stand in a Content-ID.
    """
    forbid_line_ends(cid, " as a content id")
    bare = cid[1:-1] if cid.startswith("<") and cid.endswith(">") else cid
    if _CID.fullmatch(bare) is None or len(bare) > 200:
        raise AttachmentError(
            f"{shown(cid)} is not a content id",
            hint="use letters, digits, dots and hyphens, for example logo",
        )
    return bare


def decode_base64(text: str, room: int) -> bytes:
    """The octets of base64 text, white space and a ``data:`` prefix allowed, nothing else (RFC 4648).

    AttachmentError when it is not base64; LimitError when it would be more than ``room`` octets.
    """
    prefix = _DATA_URI.match(text)
    compact = _BASE64_BLANKS.sub("", text[prefix.end() :] if prefix else text)
    if len(compact) // 4 * 3 - 2 > room:
        raise LimitError(f"an attachment passes the {room:,} bytes that are left of all attachments")
    try:
        data = binascii.a2b_base64(compact, strict_mode=True) if compact else b""
    except (binascii.Error, ValueError) as error:
        raise AttachmentError(
            "an attachment is not base64", hint="use the standard alphabet (+ and /) with padding"
        ) from error
    if len(data) > room:
        raise LimitError(f"an attachment passes the {room:,} bytes that are left of all attachments")
    return data
