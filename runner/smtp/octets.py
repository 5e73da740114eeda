"""The message as DATA carries it: strictly CRLF, dots stuffed (RFC 5321 sections 2.3.8 and 4.5.2)."""

from __future__ import annotations

from runner.errors import MessageError

MAX_LINE = 998
"""Octets of a line without its end (RFC 5322 section 2.1.1)."""


def stuffed(data: bytes) -> bytes:
    """``data`` with dots doubled at the head of lines and a line end at its end, without the final dot.

    Raises MessageError for a bare CR or LF, a NUL, and a line over MAX_LINE octets: servers disagree about
    where such a message ends, and one that ends elsewhere can smuggle a second message.
    """
    lines = data.split(b"\r\n")
    if max(map(len, lines)) > MAX_LINE:
        raise MessageError(f"the message has a line of more than {MAX_LINE} octets")
    ends = len(lines) - 1
    if data.count(b"\n") != ends or data.count(b"\r") != ends:
        raise MessageError("the message has a line end that is not CRLF")
    if b"\0" in data:
        raise MessageError("the message holds a NUL")
    if data.startswith(b"."):
        data = b"." + data
    data = data.replace(b"\r\n.", b"\r\n..")
    return data if not data or data.endswith(b"\r\n") else data + b"\r\n"
