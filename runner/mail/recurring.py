"""A body of which most lines are the same in every message: those are encoded once.

A template's own text between two values is cut into the end of the line that a value began, whole lines, and the
beginning of the line that the next value goes on with. Whole lines encode alike wherever they stand, so what
comes out is octet for octet what ``body.text_body`` makes of the whole text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from runner.mail.body import (
    HOLE,
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
_QUOTED_HOLE = b"\r\n=00\r\n"
_MOST_LENGTHS = 256
"""Numbers of parts of which it is kept what was found in them."""


class Recurring:
    """``texts`` are the author's texts that come again; others are taken too, and cost their encoding."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._lines = {text: Lines(text) for text in texts if has_lines(text)}
        self._kept: dict[int, _Kept] = {}

    def __bool__(self) -> bool:
        """Whether there are lines to keep."""
        return bool(self._lines)

    def encoded(self, parts: Sequence[str]) -> Encoded:
        """What ``text_body`` gives for the parts joined."""
        # Bodies of as many parts mostly have the same of the author's texts in the same places.
        kept = self._kept.get(len(parts))
        if kept is None or kept.pick(parts) != kept.picked:
            kept = self._found(parts)
            if kept is None:
                return text_body("".join(parts))
        pieces = list(parts)
        for place, around in kept.around:
            pieces[place] = around
        loose, holes = "".join(pieces), kept.holes
        if "\r" in loose or loose.count(_HOLE) != holes:
            return text_body("".join(parts))
        data = octets(loose)
        if kept.ascii and data.isascii():
            if kept.plain is not None and is_clean(data, holes):
                return Encoded("7bit", data, kept.plain, (data, *kept.marked))
        elif is_mostly_high(kept.high + high_octets(data), kept.size + len(data)):
            return text_body("".join(parts))
        return Encoded("quoted-printable", quoted_printable(data).replace(_QUOTED_HOLE, HOLE), kept.quoted)

    def _found(self, parts: Sequence[str]) -> _Kept | None:
        places = [place for place, text in enumerate(parts) if text in self._lines]
        if not places:
            return None
        if len(self._kept) >= _MOST_LENGTHS:
            self._kept.clear()
        pick = itemgetter(*places)
        kept = self._kept[len(parts)] = _Kept.of(
            pick, pick(parts), {place: self._lines[parts[place]] for place in places}
        )
        return kept


class _Kept(NamedTuple):
    """The lines that are kept of bodies of which ``pick`` finds ``picked``; ``plain`` is as in ``Lines``.

    ``around`` has places among the parts, and what stands there instead. ``size`` is without the holes.
    """

    pick: Callable[[Sequence[str]], object]
    picked: object
    around: list[tuple[int, str]]
    holes: int
    ascii: bool
    size: int
    high: int
    plain: list[Known] | None
    marked: list[Known]
    quoted: list[Known]

    @classmethod
    def of(cls, pick: Callable[[Sequence[str]], object], picked: object, found: Mapping[int, Lines]) -> _Kept:
        kept = list(found.values())
        plain = [lines.plain for lines in kept if lines.plain is not None]
        return cls(
            pick,
            picked,
            [(place, lines.around) for place, lines in found.items()],
            len(kept),
            all(lines.ascii for lines in kept),
            sum(lines.size for lines in kept) - len(kept) * (len(_HOLE) + 2),
            sum(lines.high for lines in kept),
            plain if len(plain) == len(kept) else None,
            [lines for lines in plain if lines.marked],
            [lines.quoted for lines in kept],
        )


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
