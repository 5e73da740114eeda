"""A body of which most lines are the same in every message: those are encoded once.

A template's own text between two values is cut into the end of the line that a value began, whole lines, and the
beginning of the line that the next value goes on with. Whole lines encode alike wherever they stand, so what
comes out is octet for octet what ``body.text_body`` makes of the whole text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runner.mail.body import (
    Encoded,
    high_octets,
    is_clean,
    is_mostly_high,
    octets,
    quoted_printable,
    text_body,
)
from runner.mail.verify import Known

_SHORTEST = 40
"""Characters of whole lines that pay for being kept."""
_HOLE = "\0"
"""A line of its own where kept lines stand. No text holds one that is written this way: a NUL is counted."""
_PLAIN_HOLE, _QUOTED_HOLE = b"\r\n\0\r\n", b"\r\n=00\r\n"


class Recurring:
    """``texts`` are the author's texts that come again; others are taken too, and cost their encoding."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._lines = {text: Lines(text) for text in texts if has_lines(text)}
        self._around = {text: lines.around for text, lines in self._lines.items()}
        self._all_ascii = all(lines.ascii for lines in self._lines.values())
        self._all_plain = all(lines.plain is not None for lines in self._lines.values())

    def encoded(self, parts: Sequence[str]) -> Encoded:
        """What ``text_body`` gives for the parts joined."""
        kept = list(filter(None, map(self._lines.get, parts)))
        loose = "".join(map(self._around.get, parts, parts))
        if not kept or "\r" in loose or loose.count(_HOLE) != len(kept):
            return text_body("".join(parts))
        data = octets(loose)
        if data.isascii() and (self._all_ascii or all(lines.ascii for lines in kept)):
            if (self._all_plain or all(lines.plain for lines in kept)) and is_clean(
                data.replace(_PLAIN_HOLE, b"\r\n")
            ):
                plain = [lines.plain for lines in kept if lines.plain]
                marked = [lines for lines in plain if lines.marked]
                return Encoded("7bit", data.split(_PLAIN_HOLE), plain, [data, *marked])
        else:
            size, high = len(data) - 3 * len(kept), high_octets(data)
            for lines in kept:
                size += lines.size
                high += lines.high
            if is_mostly_high(high, size):
                return text_body("".join(parts))
        quoted = [lines.quoted for lines in kept]
        return Encoded("quoted-printable", quoted_printable(data).split(_QUOTED_HOLE), quoted)


def has_lines(text: str) -> bool:
    """Whether ``text`` holds enough whole lines. A CR would make a line end of its own with what follows it."""
    first = text.find("\n")
    return first >= 0 and text.rfind("\n") - first > _SHORTEST and "\r" not in text and _HOLE not in text


class Lines:
    """The whole lines of one text; ``around`` is the text with a hole where they stood.

    ``plain`` is None when they cannot stand as they are. ``size`` and ``high`` count octets, all and above 127.
    """

    __slots__ = ("around", "ascii", "high", "plain", "quoted", "size")

    def __init__(self, text: str) -> None:
        first, last = text.find("\n") + 1, text.rfind("\n") + 1
        self.around = f"{text[:first]}{_HOLE}\n{text[last:]}"
        data = octets(text[first:last])
        self.ascii = data.isascii()
        self.size, self.high = len(data), high_octets(data)
        self.plain = Known(b"\r\n" + data) if self.ascii and is_clean(data) else None
        self.quoted = Known(b"\r\n" + quoted_printable(data))
