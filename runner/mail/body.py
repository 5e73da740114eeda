"""Bodies as octets of 7 bits: as they are, quoted-printable or base64 (RFC 2045 6)."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from runner.mail.verify import Known
from runner.mail.words import LONGEST_LINE, repaired

_CONTROLS = bytes(range(9)) + bytes(range(11, 13)) + bytes(range(14, 32)) + b"\x7f"
_EIGHT_BIT = bytes(range(128, 256))
_LINE = 76
HOLE = b"\r\n\0\r\n"
"""Where known lines stand among others. Nothing that is encoded holds a NUL."""


class Encoded(NamedTuple):
    """A body as it is written, and the Content-Transfer-Encoding that says how.

    ``loose`` has a ``HOLE`` for each of the ``known`` lines. ``texts`` are the octets in which a boundary could
    occur: what is not encoded.
    """

    encoding: str
    loose: bytes
    known: Sequence[Known] = ()
    texts: Sequence[bytes] = ()

    @property
    def data(self) -> bytes:
        """The whole."""
        return b"".join(chain.from_iterable(zip(self.loose.split(HOLE), (*self.known, b""), strict=True)))


def text_body(text: str) -> Encoded:
    """A text or HTML body: UTF-8, every line end (CRLF, CR or LF) as CRLF, nothing else changed.

    7bit where it can be; base64 where it is much shorter than quoted-printable; else quoted-printable. A
    NUL or another control character is encoded and arrives.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    data = octets(text)
    if data.isascii():
        if is_clean(data):
            return Encoded("7bit", data, texts=(data,))
    elif is_mostly_high(high_octets(data), len(data)):
        return Encoded("base64", base64_lines(data))
    return Encoded("quoted-printable", quoted_printable(data))


def octets(text: str) -> bytes:
    """Text whose line ends are LF as UTF-8 whose line ends are CRLF."""
    text = text.replace("\n", "\r\n")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return repaired(text).encode()


def high_octets(data: bytes) -> int:
    """How many octets are above 127."""
    return len(data) - len(data.translate(None, _EIGHT_BIT))


def is_mostly_high(high: int, size: int) -> bool:
    """Whether base64 is much shorter than quoted-printable for ``size`` octets of which ``high`` are above 127."""
    return high * 6 > size


def base64_lines(data: bytes) -> bytes:
    """``data`` as base64 in lines of 76, without a CRLF after the last."""
    text = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join([text[at : at + _LINE] for at in range(0, len(text), _LINE)])


def quoted_printable(data: bytes) -> bytes:
    """``data``, whose line ends are CRLF, as quoted-printable in lines of at most 76."""
    # b2a_qp breaks lines with a bare LF unless it meets a CRLF first: give it one, and take it away again.
    text = binascii.b2a_qp(data + b"\r\n", istext=True)
    if text.find(b"=20\r\n") >= 0 or text.find(b"=09\r\n") >= 0:
        # It also lets a line grow past 76 when white space at its end has to be encoded.
        text = b"\r\n".join(
            [line if len(line) <= _LINE else line[:-3] + b"=\r\n" + line[-3:] for line in text.split(b"\r\n")]
        )
    text = text[:-2]
    if text.startswith(b"From "):
        text = b"=46=\r\n" + text[1:]
    # A mailbox file would turn "From " at the start of a line into ">From ".
    return text.replace(b"\r\nFrom ", b"\r\n=46=\r\nrom ")


def is_seven_bit(data: bytes) -> bool:
    """Whether octets can stand in a message unencoded: ASCII, no NUL, CRLF only, lines within 998."""
    ends = data.count(b"\r\n")
    return (
        data.isascii()
        and ends == data.count(b"\n") == data.count(b"\r")
        and b"\x00" not in data
        and not _has_long_line(data)
    )


def is_clean(data: bytes, holes: int = 0) -> bool:
    """Whether ASCII lines, the first at its beginning, can stand as they are, in mailbox files too.

    ``holes`` is how many NUL they hold; all of them stand for other lines.
    """
    # "in" would take the octets for a number first, and cost three times what "find" does.
    return (
        not _has_long_line(data)
        and len(data.translate(None, _CONTROLS)) + holes == len(data)
        and not data.startswith(b"From ")
        and data.find(b"\nFrom ") < 0
    )


def _has_long_line(data: bytes) -> bool:
    """Whether a line passes 998 octets; looks only at the last line end within reach of a line's start."""
    at = 0
    while len(data) - at > LONGEST_LINE:
        end = data.rfind(b"\r\n", at, at + LONGEST_LINE + 2)
        if end < 0:
            return True
        at = end + 2
    return False
