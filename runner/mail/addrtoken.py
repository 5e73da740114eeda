"""The words of an address field (RFC 5322 3.2), read from the author's text; values stay whole between them.

A value is never scanned: however many commas, quotes or brackets it holds, it is one token. That is what
keeps a value from adding a recipient. Time is linear in the text: every character is looked at once,
nothing is rescanned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple

from runner.errors import AddressError
from runner.mail.headers import forbid_line_ends
from runner.mail.shown import shown
from runner.model import Fixed, Given, Pieces

_DEEPEST = 16
"""Comments within comments; nobody writes more than two."""

_PLAIN = re.compile(r'([ \t]+)|([^ \t"(),:;<>@\[\]\\\x00-\x1f\x7f]+)|([<>,;:@])|(["(\[])', re.DOTALL)
_QUOTED_TEXT = re.compile(r'[^"\\]*')
_COMMENT_TEXT = re.compile(r"[^()\\]*")
_LITERAL_TEXT = re.compile(r"[^\]\[\\]*")


class Kind(Enum):
    """What a token is."""

    ATOM = auto()
    QUOTED = auto()
    COMMENT = auto()
    LITERAL = auto()
    GIVEN = auto()
    SPECIAL = auto()


class Token(NamedTuple):
    """``text`` is unescaped and without its delimiters; ``spaced`` says that white space stood before it.

    ``given`` is the value that the token is; ``holds_value`` says that one stands between its quotes.
    """

    kind: Kind
    text: str
    spaced: bool
    given: Given | None = None
    holds_value: bool = False


def word(value: object) -> str:
    """A value that stands for a name or a part of an address, as text; AddressError for a list."""
    if value is None:
        return ""
    if isinstance(value, (Mapping, list, tuple, set, frozenset, bytes)):
        kind = "mapping" if isinstance(value, Mapping) else "list"
        raise AddressError(
            f"Invalid address: a {kind} stands where one name or one address is expected",
            hint="a list of addresses must be an element of its own, between commas",
        )
    text = str(value)
    forbid_line_ends(text)
    return text


def tokens(pieces: Pieces) -> Iterator[Token]:
    """The tokens of an address field; AddressError for what is left open, or cannot stand there."""
    scanner = _Scanner()
    found = scanner.found
    for piece in pieces:
        if isinstance(piece, Fixed):
            forbid_line_ends(piece.text)
            at = 0
            while at < len(piece.text):
                at = scanner.step(piece.text, at)
                if found:
                    yield found.pop()
        else:
            scanner.value(piece)
            if found:
                yield found.pop()
    scanner.close()


class _Scanner:
    def __init__(self) -> None:
        self.found: list[Token] = []
        self.inside = ""
        self.buffer: list[str] = []
        self.depth = 0
        self.spaced = False
        self.holds_value = False

    def step(self, text: str, at: int) -> int:
        """Read on from ``at``, to the next position; at most one token is found on the way."""
        if not self.inside:
            return self._plain(text, at)
        if self.inside == '"':
            return self._quoted(text, at)
        return self._comment(text, at) if self.inside == "(" else self._literal(text, at)

    def value(self, given: Given) -> None:
        if self.inside in ('"', "("):
            self.buffer.append(word(given.value))
            self.holds_value = True
        elif self.inside == "[":
            raise AddressError("Invalid address: a value cannot stand between square brackets")
        else:
            self.found.append(Token(Kind.GIVEN, "", self.spaced, given))
            self.spaced = False

    def close(self) -> None:
        if self.inside:
            names = {'"': "a quote", "(": "a comment", "[": "a square bracket"}
            raise AddressError(f"Invalid address: {names[self.inside]} is opened and never closed")

    def _emit(self, kind: Kind, text: str) -> None:
        self.found.append(Token(kind, text, self.spaced))
        self.spaced = False

    def _finish(self, kind: Kind) -> None:
        self.found.append(Token(kind, "".join(self.buffer), self.spaced, None, self.holds_value))
        self.spaced = self.holds_value = False
        self.buffer.clear()
        self.inside = ""

    def _plain(self, text: str, at: int) -> int:
        match = _PLAIN.match(text, at)
        if match is None:
            raise AddressError(
                f"Invalid address: {shown(text[at])} cannot stand here: {shown(text[at : at + 40])}"
            )
        index = match.lastindex
        if index == 1:
            self.spaced = True
        elif index == 2:
            self._emit(Kind.ATOM, match[2])
        elif index == 3:
            self._emit(Kind.SPECIAL, match[3])
        else:
            self.inside = match[4]
            self.depth = 1
        return match.end()

    def _escaped(self, text: str, at: int) -> int:
        if at + 1 >= len(text):
            raise AddressError("Invalid address: a backslash has nothing after it")
        self.buffer.append(text[at + 1])
        return at + 2

    def _quoted(self, text: str, at: int) -> int:
        match = _QUOTED_TEXT.match(text, at)
        assert match is not None
        self.buffer.append(match[0])
        at = match.end()
        if at == len(text):
            return at
        if text[at] == "\\":
            return self._escaped(text, at)
        self._finish(Kind.QUOTED)
        return at + 1

    def _comment(self, text: str, at: int) -> int:
        match = _COMMENT_TEXT.match(text, at)
        assert match is not None
        self.buffer.append(match[0])
        at = match.end()
        if at == len(text):
            return at
        if text[at] == "\\":
            return self._escaped(text, at)
        self.depth += 1 if text[at] == "(" else -1
        if self.depth > _DEEPEST:
            raise AddressError(f"Invalid address: comments are nested more than {_DEEPEST} deep")
        if self.depth:
            self.buffer.append(text[at])
        else:
            self._finish(Kind.COMMENT)
        return at + 1

    def _literal(self, text: str, at: int) -> int:
        match = _LITERAL_TEXT.match(text, at)
        assert match is not None
        self.buffer.append(match[0])
        at = match.end()
        if at == len(text):
            return at
        if text[at] != "]":
            raise AddressError(f"Invalid address: {shown(text[at])} cannot stand between square brackets")
        self._finish(Kind.LITERAL)
        return at + 1
