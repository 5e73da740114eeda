"""Two renderings of one message as unified diffs of what its reader meets."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from runner.nodes.base import Message
from runner.plan.face import Face, face

CONTEXT = 2
"""Lines around a change in a text."""
MAX_LINES = 2_000
"""Lines that are compared one by one; a longer stretch of changes is shown as one."""
MAX_SHOWN = 60
"""Lines of one part's diff that are kept."""
MAX_WIDTH = 240
"""Characters of a line that are kept, around what has changed in it."""
_MANY_LINES = 400
_MAX_WORDS = 200
_MAX_MASKED = 20_000
_CONTENT = re.compile(r", [\d,]+ bytes, sha256 \w+…\)$", re.MULTILINE)
_WORDS = re.compile(r"\w+\s*|\s+|.")


@dataclass(frozen=True, slots=True)
class Part:
    """What has changed in one part of a message: ``name`` is headers, text, HTML or attachments.

    ``lines`` begin with ``-``, ``+``, a space or ``@``, as in a unified diff.
    """

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that has changed in one message, part by part."""

    parts: tuple[Part, ...]


_Opcode = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Stretch:
    name: str
    old: Sequence[str]
    new: Sequence[str]
    context: int
    groups: Sequence[_Opcode]


@dataclass(frozen=True, slots=True)
class Difference:
    """That a message has changed. ``kind`` says in what, whatever the row's own values."""

    kind: bytes
    _stretches: tuple[_Stretch, ...]

    def change(self) -> Change:
        """The same, written out."""
        return Change(tuple(Part(stretch.name, tuple(_shown(stretch))) for stretch in self._stretches))


def compare(before: Message, after: Message, values: object) -> Difference | None:
    """What has changed between two renderings for one row; None when their reader meets the same.

    ``values`` is the row's body: what two rows differ in by their own values alone is the same change.
    """
    if (before.credential, before.envelope, before.data) == (after.credential, after.envelope, after.data):
        return None
    return compare_faces(face(before), face(after), values)


def compare_faces(before: Face, after: Face, values: object) -> Difference | None:
    """As ``compare``, for what there is to see."""
    sides: tuple[tuple[str, Sequence[str], Sequence[str], int], ...] = (
        ("headers", before.head, after.head, 0),
        ("text", (before.text or "").splitlines(), (after.text or "").splitlines(), CONTEXT),
        ("HTML", (before.html or "").splitlines(), (after.html or "").splitlines(), CONTEXT),
        ("attachments", before.attached, after.attached, 0),
    )
    masks = _masks(values)
    digest = hashlib.blake2b(digest_size=16)
    stretches = []
    for name, old, new, context in sides:
        if old == new:
            continue
        groups = list(_groups(old, new))
        for tag, a, b, c, d in groups:
            for word in _kind(old[a:b], new[c:d], masks, name) if tag != "equal" else ():
                digest.update(f"{name}\0{word}\0".encode("utf-8", "surrogatepass"))
        stretches.append(_Stretch(name, old, new, context, groups))
    return Difference(digest.digest(), tuple(stretches)) if stretches else None


def _groups(old: Sequence[str], new: Sequence[str]) -> Iterator[_Opcode]:
    """The opcodes that turn ``old`` into ``new``, in bounded time."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old_end, new_end = len(old) - tail, len(new) - tail
    yield "equal", 0, head, 0, head
    if max(old_end, new_end) - head > MAX_LINES:
        yield "replace", head, old_end, head, new_end
    else:
        # Lines that come up all the time cost the square of their number: in long texts they are left aside.
        often = max(old_end, new_end) - head > _MANY_LINES
        matcher = SequenceMatcher(None, old[head:old_end], new[head:new_end], autojunk=often)
        for tag, a, b, c, d in matcher.get_opcodes():
            yield tag, a + head, b + head, c + head, d + head
    yield "equal", old_end, len(old), new_end, len(new)


def _shown(stretch: _Stretch) -> Iterator[str]:
    for number, line in enumerate(_unified(stretch.groups, stretch.old, stretch.new, stretch.context)):
        if number == MAX_SHOWN:
            rest = sum(max(b - a, d - c) for tag, a, b, c, d in stretch.groups if tag != "equal")
            yield f"@ … of {rest:,} changed lines in all"
            return
        yield line


def _unified(
    groups: Sequence[_Opcode], old: Sequence[str], new: Sequence[str], context: int
) -> Iterator[str]:
    groups = [group for group in groups if group[1] != group[2] or group[3] != group[4]]
    for number, (tag, a, b, c, d) in enumerate(groups):
        if tag != "equal":
            yield from _pairs(old[a:b], new[c:d])
            continue
        after = min(context, b - a) if number else 0
        before = min(context, b - a - after) if number + 1 < len(groups) else 0
        yield from (" " + _cut(line) for line in new[c : c + after])
        if after + before < b - a and before + (number + 1 < len(groups)) and context:
            yield f"@ line {d - before + 1}"
        yield from (" " + _cut(line) for line in new[d - before : d])


def _pairs(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Removed lines and added ones; where they pair up, a long line is cut around what has changed in it."""
    cuts = [_around(one, other) for one, other in zip(old, new, strict=False)]
    for number, line in enumerate(old):
        yield "-" + (cuts[number][0] if number < len(cuts) else _cut(line))
    for number, line in enumerate(new):
        yield "+" + (cuts[number][1] if number < len(cuts) else _cut(line))


def _cut(line: str) -> str:
    return line if len(line) <= MAX_WIDTH else line[: MAX_WIDTH - 1] + "…"


def _around(old: str, new: str) -> tuple[str, str]:
    if max(len(old), len(new)) <= MAX_WIDTH:
        return old, new
    same = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    start = max(0, same - MAX_WIDTH // 4)
    mark = "…" if start else ""
    return mark + _cut(old[start:]), mark + _cut(new[start:])


def _kind(removed: Sequence[str], added: Sequence[str], masks: Sequence[str], part: str) -> tuple[str, ...]:
    """What was done, in words that are the same for every row it was done to."""
    before, after = "\n".join(removed), "\n".join(added)
    if part == "attachments":
        # Each row's file may be its own: that it is another one is the change, and not its size and hash.
        before, after = _CONTENT.sub("\1", before), _CONTENT.sub("\2", after)
    if max(len(before), len(after)) <= _MAX_MASKED:
        before, after = _masked(before, masks), _masked(after, masks)
    return _words(before, after)


@lru_cache(maxsize=1000)
def _words(before: str, after: str) -> tuple[str, ...]:
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > _MAX_WORDS:
        return before, after
    return tuple(
        "".join(old[a:b]) + "\1" + "".join(new[c:d])
        for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if tag != "equal"
    )


def _masks(values: object) -> list[str]:
    """The row's own values, as they are and escaped for HTML; the longest first.

    Words of a value count too, for a template may take a first name of it; short ones don't, for they are
    everybody's.
    """
    words: set[str] = set()
    for text in _leaves(values, 100):
        words |= {text, html.escape(text), *(word for word in text.split() if len(word) > 2)}
    return sorted(filter(str.strip, words), key=lambda word: (-len(word), word))[:200]


def _masked(text: str, words: Sequence[str]) -> str:
    """``text`` with a mark in place of each of the words, where it is no part of a longer one."""
    for word in words:
        start = 0
        while (at := text.find(word, start)) >= 0:
            end = at + len(word)
            inside = (at and text[at - 1].isalnum() and word[0].isalnum()) or (
                text[end : end + 1].isalnum() and word[-1].isalnum()
            )
            if inside:
                start = at + 1
            else:
                text = f"{text[:at]}\0{text[end:]}"
                start = at + 1
    return text


def _leaves(value: object, most: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value[:most]:
            yield from _leaves(item, most)
    elif isinstance(value, str) and len(value) <= 1000:
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
