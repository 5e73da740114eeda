"""From a place in a scalar's text to the place in the file: folds, escapes and indentation undone."""

from __future__ import annotations

import re

from runner.source.place import Place

_FOLD = re.compile(r"[ \t]*(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))*[ \t]*")
_BREAK = re.compile(r"\r\n|\r|\n")
_ESCAPES = {"x": 4, "u": 6, "U": 10}


def locate(content: str, place: Place, value: str, line: int, column: int) -> int:
    """The index in ``content`` of ``line`` and ``column`` (from 1) of ``value``, which is at ``place``."""
    lines = value.split("\n")
    line = max(1, min(line, len(lines)))
    offset = sum(len(text) + 1 for text in lines[: line - 1]) + max(0, min(column - 1, len(lines[line - 1])))
    if place.style in ("|", ">"):
        return _in_block(content, place, value, offset)
    indexes = _in_flow(content, place)
    if offset < len(indexes):
        return indexes[offset]
    return max(place.start, place.end - (1 if place.style else 0))


def _in_flow(content: str, place: Place) -> list[int]:
    """The index of each character of a plain or quoted scalar's text (YAML 1.2, 6.5 and 7.3)."""
    quote = place.style
    index = place.start + len(quote)
    end = place.end - len(quote)
    found: list[int] = []
    while index < end:
        character = content[index]
        if quote == '"' and character == "\\":
            following = content[index + 1]
            if following in "\r\n":
                match = _FOLD.match(content, index + 1, end)
                index = match.end() if match else index + 2
                continue
            found.append(index)
            index += _ESCAPES.get(following, 2)
        elif character in " \t\r\n" and (fold := _FOLD.match(content, index, end)):
            breaks = [match.start() for match in _BREAK.finditer(content, index, fold.end())]
            found.extend(breaks[:1] if len(breaks) == 1 else breaks[1:])
            index = fold.end()
        else:
            found.append(index)
            index += 2 if quote == "'" and character == "'" else 1
    return found


def _in_block(content: str, place: Place, value: str, offset: int) -> int:
    """Walk the lines of a block scalar and of its text side by side (YAML 1.2, 8.1)."""
    header = _BREAK.search(content, place.start)
    if header is None:
        return place.start
    indent = _indentation(content[header.end() : place.end], value)
    start = header.end()
    used = 0
    best = start + indent
    while start < place.end or used == 0:
        match = _BREAK.search(content, start)
        end = match.start() if match else len(content)
        text = content[start + indent : end] if end - start > indent else ""
        best = start + min(indent, end - start)
        if offset <= used + len(text) or match is None:
            return best + max(0, min(offset - used, len(text)))
        used += len(text)
        if place.style == "|" or not text:
            used += 1
        else:
            # A fold: one break becomes a space, n breaks become n - 1, whose blank lines count themselves.
            used += (
                1
                if value[used : used + 1] == " " or _more_indented(content, match.end(), indent, text)
                else 0
            )
        start = match.end()
    return best


def _more_indented(content: str, start: int, indent: int, text: str) -> bool:
    """Whether the break after ``text`` is kept, since this line or the next is indented more."""
    following = content[start + indent : start + indent + 1]
    blank = content[start : start + indent].strip(" ") != "" or following in ("\n", "\r", "")
    return text[:1] in (" ", "\t") or (not blank and following in (" ", "\t"))


def _indentation(lines: str, value: str) -> int:
    """How many spaces the scalar's lines stand in: what its first line has before it and the text has not.

    So an indentation indicator needs no reading.
    """
    written = next((line for line in lines.splitlines() if line.strip(" ")), "")
    meant = next((line for line in value.split("\n") if line.strip(" ")), "")
    return max(0, len(written) - len(written.lstrip(" ")) - (len(meant) - len(meant.lstrip(" "))))
