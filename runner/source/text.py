"""Bytes to text: size, encoding, characters, and the marks that git leaves in a file during a conflict."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from functools import cached_property
from typing import NoReturn

from runner.diagnostic import Diagnostic, Invalid, Position
from runner.source.limits import MAX_BYTES

# What libyaml refuses as "not printable", found before it, since it tells no line. U+FEFF inside a text is
# invisible and would make two equal-looking keys differ.
# Written as what is forbidden: the complement, nearly all of Unicode, takes 5 ms to compile.
_FORBIDDEN = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f]|[\\ud800-\\udfff]|[\\ufeff\\ufffe\\uffff]"
)
_CONFLICT = re.compile(r"^(?:<{7} |>{7} |\|{7} |={7}$)[^\r\n]*", re.MULTILINE)
_BREAK = re.compile(r"\r\n|\r|\n")


class Text:
    """A file's text and where its lines begin. A place in it is an index, counted in characters from 0."""

    def __init__(self, content: str, path: str) -> None:
        self.content = content
        self.path = path

    @cached_property
    def starts(self) -> list[int]:
        """Where each line begins."""
        return [0, *(match.end() for match in _BREAK.finditer(self.content))]

    def position(self, index: int) -> Position:
        """The line and column of ``index``."""
        line = bisect_right(self.starts, index)
        return Position(line, index - self.starts[line - 1] + 1)

    def line_at(self, index: int) -> str:
        """The whole line that ``index`` lies in, without its break."""
        line = bisect_right(self.starts, index)
        end = self.starts[line] if line < len(self.starts) else len(self.content)
        return self.content[self.starts[line - 1] : end].rstrip("\r\n")

    def before(self, index: int) -> str:
        """What its line holds before ``index``."""
        return self.content[self.starts[bisect_right(self.starts, index) - 1] : index]

    def finding(self, index: int, message: str, hint: str = "", code: str = "yaml") -> Diagnostic:
        """A finding at ``index``."""
        place = self.position(index)
        return Diagnostic(self.path, place.line, place.column, message, code, hint=hint)

    def fail(self, index: int, message: str, hint: str = "") -> NoReturn:
        """Raise Invalid with one finding at ``index``."""
        raise Invalid([self.finding(index, message, hint)])


def decode(data: bytes, path: str) -> Text:
    """``data`` as text; raises Invalid when it is too large, not UTF-8, or holds what YAML forbids."""
    if len(data) > MAX_BYTES:
        Text("", path).fail(
            0,
            f"the file has {len(data):,} bytes; a file may have {MAX_BYTES:,} (1 MiB)",
            "move long bodies to templates/ and lists of recipients to a batch's data file",
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        Text("", path).fail(0, "the file is UTF-16, not UTF-8", "save it as UTF-8")
    try:
        content = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as exc:
        good = exc.object[: exc.start].decode("utf-8")
        Text(good, path).fail(
            len(good), f"byte 0x{exc.object[exc.start]:02x} is not UTF-8", "save the file as UTF-8"
        )
    text = Text(content, path)
    if bad := _FORBIDDEN.search(content):
        name = "a NUL character" if bad[0] == "\0" else f"the control character U+{ord(bad[0]):04X}"
        text.fail(
            bad.start(),
            f"{name} is not allowed in a YAML file",
            "delete it, or write it as an escape in double quotes",
        )
    if "<<<<<<<" in content and (mark := _CONFLICT.search(content)):
        text.fail(
            mark.start(),
            f'"{mark[0][:40]}" is the mark of an unresolved git conflict',
            "choose one side, delete the marks, and commit again",
        )
    return text
