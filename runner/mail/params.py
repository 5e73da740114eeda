"""Parameters of MIME headers: quoted strings, and RFC 2231 for what they cannot hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.mail.words import chunks, encoded, is_raw, percent

_LINE = 76
_CHARSET = "utf-8''"
_WORD_ROOM = 50
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")


def parameter(name: str, value: str) -> str:
    """``;`` and the parameter on lines of its own: ``name="value"``, ``name*=utf-8''…`` or ``name*0*=…``."""
    if is_simple(name, value):
        return f';\r\n {name}="{value}"'
    whole = percent(value)
    if len(name) + len(_CHARSET) + len(whole) + 4 <= _LINE:
        return f";\r\n {name}*={_CHARSET}{whole}"
    # "*99999*=", a leading space and the ";" are 10 octets.
    room = _LINE - len(name) - 10
    found = chunks(whole, "%", room - len(_CHARSET), room)
    found[0] = _CHARSET + found[0]
    return "".join(f";\r\n {name}*{index}*={chunk}" for index, chunk in enumerate(found))


def joined(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Parameters as they were meant, from parameters as they were written: RFC 2231 pieces joined and decoded.

    What cannot be decoded is replaced by U+FFFD; a character set that is not known is read as UTF-8.
    """
    found: dict[str, list[tuple[int, bytes]]] = {}
    charsets: dict[str, str] = {}
    for written, value in pairs:
        name, star, rest = written.partition("*")
        octets = value.encode("utf-8", "replace")
        if written.endswith("*") and star:
            if value.count("'") >= 2 and name not in charsets:
                charsets[name], _, value = value.split("'", 2)
            octets = _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), value.encode("utf-8", "replace"))
        found.setdefault(name, []).append((int(rest.rstrip("*") or 0), octets))
    return [
        (name, _decoded(b"".join(octets for _, octets in sorted(pieces)), charsets.get(name, "")))
        for name, pieces in found.items()
    ]


def _decoded(octets: bytes, charset: str) -> str:
    known = charset if charset.lower() in ("us-ascii", "iso-8859-1", "windows-1252") else "utf-8"
    return octets.decode(known, "replace")


def is_simple(name: str, value: str) -> bool:
    """Whether ``value`` can stand between quotes: short, printable ASCII, without quote or backslash."""
    return len(name) + len(value) <= _LINE - 6 and is_raw(value) and '"' not in value and "\\" not in value


def legacy_name(value: str) -> str:
    """The ``name`` parameter of a Content-Type: the file name for readers that know no RFC 2231.

    Short names stand there as an encoded word in quotes, against the letter of RFC 2047 and as everybody
    does it. It is not a second ``filename`` in Content-Disposition, since widely used parsers prefer that
    to ``filename*``.
    """
    if not is_simple("name", value) and len(percent(value)) <= _WORD_ROOM:
        return f';\r\n name="{encoded(value, 63)[0]}"'
    return parameter("name", value)
