"""Text → tokens: which parts of a text are template, and which are not.

The delimiters ``<<``, ``<%`` and ``<#`` meet HTML, so the rules are our own: of a run of ``<`` the last two
open an expression (``<<<x>>>`` is the value of x between angle brackets), the first ``>>`` outside a string
closes it, and what follows is text again. Each token carries its offset, so that an error can name line and
column. No line statements, no newline rewriting: text between tags is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple, NoReturn

Delimiters = Literal["angle", "curly"]

MAX_SOURCE = 1024 * 1024
"""Characters in one template text."""
MAX_TOKENS = 6_000
"""Tokens in one template text; compiling takes about 50 µs for each."""
_MAX_DIGITS = 60
_MAX_MESSAGE = 300

OPERATORS = {
    "+": "add",
    "-": "sub",
    "/": "div",
    "//": "floordiv",
    "*": "mul",
    "%": "mod",
    "**": "pow",
    "~": "tilde",
    "[": "lbracket",
    "]": "rbracket",
    "(": "lparen",
    ")": "rparen",
    "{": "lbrace",
    "}": "rbrace",
    "==": "eq",
    "!=": "ne",
    ">": "gt",
    ">=": "gteq",
    "<": "lt",
    "<=": "lteq",
    "=": "assign",
    ".": "dot",
    ":": "colon",
    "|": "pipe",
    ",": "comma",
    ";": "semicolon",
}
_LONGEST_FIRST = "|".join(re.escape(text) for text in sorted(OPERATORS, key=len, reverse=True))
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
    | (?P<float>(?<!\.)\d[\d_]*(?:\.\d[\d_]*(?:e[+-]?\d+)?|e[+-]?\d+))
    | (?P<integer>0b[01_]+|0o[0-7_]+|0x[\da-f_]+|\d[\d_]*)
    | (?P<name>[^\W\d]\w*)
    | (?P<string>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
    | (?P<operator>{_LONGEST_FIRST})
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))", re.DOTALL
)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "0": "\0", "\n": ""}


class Mistake(Exception):
    """A template's text is wrong at ``offset``; ``hint`` says how to mend it."""

    def __init__(self, message: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "…"
        self.offset = offset
        self.hint = hint


class Token(NamedTuple):
    """``kind`` is a name of Jinja's token types, ``offset`` where it begins in the text."""

    kind: str
    value: object
    offset: int


class Style(NamedTuple):
    """How one set of delimiters is written."""

    opening: re.Pattern[str]
    expression: tuple[str, str]
    statement: tuple[str, str]
    comment: tuple[str, str]
    end_expression: re.Pattern[str]
    end_statement: re.Pattern[str]
    raw: re.Pattern[str]
    end_raw: re.Pattern[str]


def _style(
    opening: str, expression: tuple[str, str], statement: tuple[str, str], comment: tuple[str, str]
) -> Style:
    begin, end = map(re.escape, statement)
    return Style(
        re.compile(opening),
        expression,
        statement,
        comment,
        re.compile("([-+]?)" + re.escape(expression[1])),
        re.compile("([-+]?)" + end),
        re.compile(rf"{begin}[-+]?\s*raw\s*([-+]?){end}"),
        re.compile(rf"{begin}([-+]?)\s*endraw\s*([-+]?){end}"),
    )


@cache
def style_of(delimiters: Delimiters) -> Style:
    """How templates with these delimiters are written."""
    if delimiters == "angle":
        return _style(r"<+(?=[%#])|<<+", ("<<", ">>"), ("<%", "%>"), ("<#", "#>"))
    return _style(r"\{[{%#]", ("{{", "}}"), ("{%", "%}"), ("{#", "#}"))


def is_template(text: str, delimiters: Delimiters = "angle") -> bool:
    """Whether ``text`` holds an opening delimiter; what does not is plain text and needs no compiling."""
    if delimiters == "angle":
        return "<<" in text or "<%" in text or "<#" in text
    return "{{" in text or "{%" in text or "{#" in text


def scan(text: str, delimiters: Delimiters) -> Iterator[Token]:
    """The tokens of a template; raises Mistake. Linear in the length of the text."""
    if len(text) > MAX_SOURCE:
        raise Mistake(f"the template has {len(text)} characters, more than {MAX_SOURCE}", 0)
    return _Scanner(text, style_of(delimiters)).tokens()


def scan_expression(text: str, delimiters: Delimiters) -> Iterator[Token]:
    """The tokens of a bare expression, as if it stood between delimiters."""
    if len(text) > MAX_SOURCE:
        raise Mistake(f"the expression has {len(text)} characters, more than {MAX_SOURCE}", 0)
    return _Scanner(text, style_of(delimiters)).bare()


class _Scanner:
    def __init__(self, text: str, style: Style) -> None:
        self.text = text
        self.style = style
        self.count = 0
        self.strip_next = False
        self.at = 0

    def bare(self) -> Iterator[Token]:
        yield Token("variable_begin", "", 0)
        yield from self._code(0, None, 0)
        yield Token("variable_end", "", len(self.text))

    def tokens(self) -> Iterator[Token]:
        text, style = self.text, self.style
        search = 0
        while (match := style.opening.search(text, search)) is not None:
            start = self._start(match)
            mark = text[start : start + 2]
            control = text[start + 2 : start + 3]
            yield from self._data(start, control == "-")
            inside = start + 2 + (control in ("-", "+"))
            if mark == style.comment[0]:
                self._comment(inside, start)
            elif mark == style.statement[0]:
                if (raw := style.raw.match(text, start)) is not None:
                    yield from self._raw(raw, start)
                else:
                    yield Token("block_begin", mark, start)
                    yield from self._code(inside, style.end_statement, start)
            else:
                yield Token("variable_begin", mark, start)
                yield from self._code(inside, style.end_expression, start)
            search = self.at
        yield from self._data(len(text), False)

    def _start(self, match: re.Match[str]) -> int:
        # of "<<<x>>>" the first bracket is text; of "<<% if %>" too: no expression begins with a percent sign
        if match[0][0] != "<":
            return match.start()
        return match.end() - (1 if self.text[match.end() : match.end() + 1] in ("%", "#") else 2)

    def _data(self, end: int, strip_end: bool) -> Iterator[Token]:
        data, offset = self.text[self.at : end], self.at
        if self.strip_next:
            data = data.lstrip()
        if strip_end:
            data = data.rstrip()
        self.strip_next = False
        if data:
            yield Token("data", data, offset)

    def _comment(self, inside: int, start: int) -> None:
        end = self.text.find(self.style.comment[1], inside)
        if end < 0:
            raise Mistake(
                f'the comment "{self.style.comment[0]}" is never closed',
                start,
                f'close it with "{self.style.comment[1]}", or {self._literal(self.style.comment[0])}',
            )
        self.strip_next = self.text[end - 1 : end] == "-" and end - 1 >= inside
        self.at = end + 2

    def _raw(self, raw: re.Match[str], start: int) -> Iterator[Token]:
        end = self.style.end_raw.search(self.text, raw.end())
        begin, close = self.style.statement
        if end is None:
            raise Mistake(
                f'"{begin} raw {close}" is never closed', start, f'close it with "{begin} endraw {close}"'
            )
        data = self.text[raw.end() : end.start()]
        if raw[1] == "-":
            data = data.lstrip()
        if end[1] == "-":
            data = data.rstrip()
        if data:
            yield Token("data", data, raw.end())
        self.strip_next = end[2] == "-"
        self.at = end.end()

    def _code(self, at: int, closing: re.Pattern[str] | None, start: int) -> Iterator[Token]:
        text = self.text
        depth: list[str] = []
        while at < len(text):
            # "}}" inside braces ends two mappings, not the tag; ">>" is no operator and always ends it
            if (
                closing is not None
                and not (depth and depth[-1] == "{" and text.startswith("}", at))
                and (end := closing.match(text, at)) is not None
            ):
                kind = "variable_end" if closing is self.style.end_expression else "block_end"
                yield Token(kind, end[0], at)
                self.strip_next = end[1] == "-"
                self.at = end.end()
                return
            match = _TOKEN.match(text, at)
            if match is None:
                self._stray(at, closing, start)
            at = match.end()
            kind, found = str(match.lastgroup), match[0]
            if kind == "space":
                continue
            self.count += 1
            if self.count > MAX_TOKENS:
                raise Mistake(f"the template has more than {MAX_TOKENS} words and operators", match.start())
            if kind == "operator":
                if found in "([{":
                    depth.append(found)
                elif found in ")]}" and depth:
                    depth.pop()
            yield _token(kind, found, match.start())
        if closing is not None:
            self._unclosed(closing, start)
        self.at = at

    def _stray(self, at: int, closing: re.Pattern[str] | None, start: int) -> NoReturn:
        if closing is not None and closing.search(self.text, at) is None:
            self._unclosed(closing, start)
        found = self.text[at]
        if found in "'\"":
            raise Mistake(f"the quoted text that begins here is never closed: {found}", at)
        raise Mistake(f'unexpected character "{found}" in an expression', at)

    def _unclosed(self, closing: re.Pattern[str], start: int) -> NoReturn:
        begin, end = self.style.expression if closing is self.style.end_expression else self.style.statement
        raise Mistake(
            f'"{begin}" is never closed', start, f'close it with "{end}", or {self._literal(begin)}'
        )

    def _literal(self, mark: str) -> str:
        begin, end = self.style.expression
        return f'write {begin} "{mark}" {end} for the characters themselves'


def _token(kind: str, found: str, offset: int) -> Token:
    if kind == "name":
        if not found.isidentifier():
            raise Mistake(f'"{found[:40]}" is not a name', offset)
        return Token(kind, found, offset)
    if kind == "operator":
        return Token(OPERATORS[found], found, offset)
    if kind == "string":
        return Token(kind, _unquote(found, offset), offset)
    if len(found) > _MAX_DIGITS:
        raise Mistake(f"the number has more than {_MAX_DIGITS} digits", offset)
    try:
        digits = found.replace("_", "")
        number = float(digits) if kind == "float" else int(digits, 10 if digits.isdigit() else 0)
    except ValueError:
        raise Mistake(f'"{found}" is not a number', offset) from None
    if number in (float("inf"), float("-inf")):
        raise Mistake(f'"{found}" is too large a number', offset)
    return Token(kind, number, offset)


def _unquote(quoted: str, offset: int) -> str:
    def replace(match: re.Match[str]) -> str:
        digits = match[1] or match[2] or match[3]
        if digits is not None:
            code = int(digits, 16)
        elif match[4] is not None:
            code = int(match[4], 8)
        else:
            return _SIMPLE.get(match[5], match[5] if match[5] in "\\'\"" else match[0])
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise Mistake(f'"{match[0]}" is not a character', offset + match.start())
        return chr(code)

    return _ESCAPE.sub(replace, quoted[1:-1]) if "\\" in quoted else quoted[1:-1]
