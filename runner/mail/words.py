"""Header text as octets: raw where it can be, RFC 2047 encoded words where it must be, folded (RFC 5322
2.2.3).

Text arrives exactly as it was: what folding or reading could change (white space at an end, "=?" in the
text, a control character) is encoded, so that a decoder gives it back. An encoded word holds whole
characters only.
"""

from __future__ import annotations

import binascii
import re

LINE = 78
"""Octets of a line, where it can be had."""
LONGEST_LINE = 998
"""Octets of a line that RFC 5322 2.1.1 forbids to pass."""

_ENCODED_LINE = 76
_HEAD_Q, _HEAD_B, _TAIL = "=?utf-8?q?", "=?utf-8?b?", "?="
_FRAME = len(_HEAD_Q) + len(_TAIL)
_ROOM = _ENCODED_LINE - 1 - _FRAME
_WIDEST = 12
"""A character of four octets in the Q encoding."""

_SINGLE_SPACE = re.compile(r"(?<! ) (?! )")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_ATOMS = re.compile(rf"{_ATEXT}(?: {_ATEXT})*")
_LONGEST_QUOTED = 200


def _table(plain: str, mark: str) -> list[str]:
    """How each octet is written, for ``str.translate``."""
    return [chr(octet) if chr(octet) in plain else f"{mark}{octet:02X}" for octet in range(256)]


_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# RFC 2047 5 (3): the set that is safe in a phrase is safe everywhere.
_Q = _table(_ALNUM + "!*+-/", "=")
_Q[ord(" ")] = "_"
_PERCENT = _table(_ALNUM + "!#$&+-.^_`{|}~", "%")


def percent(text: str) -> str:
    """``text`` as an RFC 2231 extended parameter writes it."""
    return repaired(text).encode().decode("latin-1").translate(_PERCENT)


def repaired(text: str) -> str:
    """``text`` with every lone surrogate, which is no character and has no octets, as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def is_raw(text: str) -> bool:
    """Whether ``text`` can stand in a header as it is, and be read back as it is."""
    return text.isascii() and text.isprintable() and "=?" not in text and text[:1] != " " and text[-1:] != " "


def text_header(name: str, value: str, *, prose: bool = False) -> str:
    """``Name: value`` and CRLF, folded. CR, LF and NUL have been refused before.

    Lines are at most 78 octets where white space allows it. A longer word stays raw up to 998 octets, since
    machines read such headers; ``prose`` (a subject) and longer ones are encoded instead.
    """
    start = f"{name}: "
    if is_raw(value):
        if len(start) + len(value) <= LINE:
            return f"{start}{value}\r\n" if value else f"{name}:\r\n"
        folded = _folded(start, value, LINE if prose else LONGEST_LINE)
        if folded is not None:
            return folded
    room = _ENCODED_LINE - len(start) - _FRAME
    if room < _WIDEST:
        return f"{name}:\r\n {_JOIN.join(encoded(value, _ROOM))}\r\n"
    return f"{start}{_JOIN.join(encoded(value, room))}\r\n"


_JOIN = "\r\n "


def _folded(start: str, value: str, longest: int) -> str | None:
    """The header folded at single spaces; None when a line would pass ``longest``."""
    lines: list[str] = []
    line = start
    for index, word in enumerate(_SINGLE_SPACE.split(value)):
        if index == 0:
            line += word
        elif len(line) + 1 + len(word) <= LINE:
            line += f" {word}"
        else:
            lines.append(line)
            line = f" {word}"
    lines.append(line)
    if any(len(line) > longest for line in lines):
        return None
    return "\r\n".join(lines) + "\r\n"


def encoded(text: str, first: int) -> list[str]:
    """Encoded words of at most 75 octets that are ``text`` together; the first one holds ``first`` octets
    at most.

    Q or B, whichever is shorter. ``first`` is at least 12 and at most 63.
    """
    octets = repaired(text).encode()
    quoted = octets.decode("latin-1").translate(_Q)
    if len(quoted) <= (len(octets) + 2) // 3 * 4:
        if len(quoted) <= first:
            return [_HEAD_Q + quoted + _TAIL]
        return [_HEAD_Q + chunk + _TAIL for chunk in chunks(quoted, "=", first, _ROOM)]
    words: list[str] = []
    at, room = 0, first // 4 * 3
    while at < len(octets):
        end = min(at + room, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        words.append(_HEAD_B + binascii.b2a_base64(octets[at:end], newline=False).decode() + _TAIL)
        at, room = end, _ROOM // 4 * 3
    return words


def chunks(written: str, mark: str, first: int, room: int) -> list[str]:
    """What a table has ``written`` behind ``mark``, in chunks of at most ``first``, then ``room`` octets, never
    within a character.
    """
    found: list[str] = []
    start, first = 0, max(first, 0)
    while len(written) - start > first:
        end = _character(written, mark, start + first)
        # Where nothing fits, each character has a chunk to itself, behind an empty first one.
        while found and end <= start:
            first += 1
            end = _character(written, mark, start + first)
        if end == len(written):
            break
        end = max(start, end)
        found.append(written[start:end])
        start, first = end, room
    found.append(written[start:])
    return found


def _character(written: str, mark: str, at: int) -> int:
    """Where the character begins that holds or follows the place ``at``."""
    inside = written.rfind(mark, max(at - 2, 0), at)
    if inside >= 0:
        at = inside
    # An octet of 80 to BF goes on with a character (RFC 3629 3).
    while written.startswith(mark, at) and written[at + 1] in "89AB":
        at -= 3
    return at


def phrase(name: str, column: int) -> str:
    """A display name as an RFC 5322 phrase that begins at ``column``: atoms, one quoted string, or encoded
    words.

    May hold folds. A quoted string is not folded, since readers lose its quotes, and an ASCII name is encoded
    only when it is very long, since widely used readers put spaces between the encoded words of a phrase.
    """
    if len(name) <= _LONGEST_QUOTED and is_raw(name) and "  " not in name:
        if _ATOMS.fullmatch(name) is not None:
            return name
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    room = _ENCODED_LINE - column - _FRAME
    if room < _WIDEST * 2:
        return _JOIN[:2] + " " + _JOIN.join(encoded(name, _ROOM))
    return _JOIN.join(encoded(name, min(room, _ROOM)))
