"""Bodies in quoted-printable: lines without a value are encoded once, those with one for each row, all at one go.

A hard line end ends whatever quoted-printable does to a line (RFC 2045 6.7), so that lines encode alike alone and
among others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from runner.mail.body import high_octets, is_mostly_high, octets, quoted_printable
from runner.template.together import Step

_HOLE = "\r\n\0\r\n"
"""Between the lines of one place and those of the next: no value holds a NUL."""
_QUOTED_HOLE = "\r\n=00\r\n"


class Place(NamedTuple):
    """Lines that stand together and have values in them: texts and numbers of values."""

    steps: list[Step]


def laid_out(steps: Sequence[Step]) -> list[str | Place] | None:
    """A body as encoded lines and places for others; None for one whose own text is unusual."""
    own = _own(steps)
    # Half a surrogate pair is no character: the composer repairs it.
    if "\r" in own or "\0" in own or any("\ud800" <= letter <= "\udfff" for letter in own):
        return None
    pieces: list[str | Place] = []
    groups = [(has, list(lines)) for has, lines in groupby(_lines(steps), _has_value)]
    for index, (has, lines) in enumerate(groups):
        if has:
            joined: list[Step] = []
            for line in lines:
                joined += (["\r\n"] if joined else []) + line
            pieces.append(Place(joined))
            continue
        text = "\n".join("".join(map(str, line)) for line in lines)
        before, behind = "\r\n" * (index > 0), "\r\n" * (index < len(groups) - 1)
        pieces.append(f"{before}{quoted_printable(octets(text)).decode()}{behind}")
    return pieces


def most_more(steps: Sequence[Step], wide: Iterable[int]) -> int:
    """How many octets more than characters a row's values may have for the body to be quoted-printable, and not base64.

    ``wide`` are the values that may be not ASCII.
    """
    own = octets(_own(steps))
    often = max([steps.count(number) for number in wide], default=0)
    high = high_octets(own)
    if is_mostly_high(high, len(own)):
        return -1
    # Of the octets of a character beyond ASCII at least half are more than the one that counts as its own.
    return (len(own) // 6 - high) // (2 * often) if often else len(own)


def quoted(loose: str) -> list[str]:
    """The encoded lines of each place; ``loose`` has a hole between each two."""
    return quoted_printable(loose.encode()).decode().split(_QUOTED_HOLE)


def between(places: Iterable[Sequence[Step]]) -> list[Step]:
    """All ``places`` with a hole between each two."""
    steps: list[Step] = []
    for place in places:
        steps += ([_HOLE] if steps else []) + list(place)
    return steps


def _own(steps: Sequence[Step]) -> str:
    return "".join([step for step in steps if isinstance(step, str)])


def _has_value(line: list[Step]) -> bool:
    return any(isinstance(step, int) for step in line)


def _lines(steps: Sequence[Step]) -> Iterator[list[Step]]:
    line: list[Step] = []
    for step in steps:
        if isinstance(step, int):
            line.append(step)
            continue
        first, *others = step.split("\n")
        if first:
            line.append(first)
        for other in others:
            yield line
            line = [other] if other else []
    yield line
