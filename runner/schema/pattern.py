"""Regular expressions of a user's schema, in linear time.

JSON Schema's are ECMA-262's; Python's ``re`` backtracks, so that one ``^(a+)+$`` and one value end the
service. RE2 never does. What it cannot do (look-around, back references) is refused when the flow loads.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PATTERN = 2_000
"""Characters of a pattern."""

MAX_PROGRAM = 1 << 20
"""Bytes that a compiled pattern may take: RE2's time is the text's length times the program's."""

_TOKEN = re.compile(
    r"\\u\{(?P<code>[0-9a-fA-F]{1,6})\}"
    r"|\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u(?P<unit>[0-9a-fA-F]{4})"
    r"|\\c(?P<control>[A-Za-z])"
    r"|\\(?P<sign>[pP])\{(?:(?:General_Category|gc|Script|sc)=)?(?P<property>\w+)\}"
    r"|\\(?P<space>[sS])"
    r"|\\(?P<escaped>.)"
    r"|(?P<open>\[)|(?P<close>\])",
    re.DOTALL,
)
# ECMA's white space, which RE2 takes to be ASCII's without the vertical tab.
_SPACE = r"\s\v\x{a0}\x{feff}\p{Z}"
_CATEGORIES = {
    "Letter": "L",
    "Lowercase_Letter": "Ll",
    "Uppercase_Letter": "Lu",
    "Mark": "M",
    "Number": "N",
    "Decimal_Number": "Nd",
    "digit": "Nd",
    "Punctuation": "P",
    "Symbol": "S",
    "Separator": "Z",
}


MAX_STEPS = 20_000_000
"""Characters of a text times instructions of the program: about a second where RE2 is at its slowest."""


class TextTooLong(Exception):
    """A text that its pattern would take more than MAX_STEPS for."""


class UnsupportedPattern(ValueError):
    """A pattern that is wrong, too large, or cannot run in linear time."""


@lru_cache(maxsize=512)
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether ``pattern`` (ECMA-262, unanchored) is somewhere in a text.

    Raises UnsupportedPattern.
    """
    import re2

    if len(pattern) > MAX_PATTERN:
        raise UnsupportedPattern(f"the pattern has {len(pattern):,} characters, at most {MAX_PATTERN:,}")
    if found := re.search(r"\(\?(?:<?[=!])|\\[1-9]|\\k<", re.sub(r"\\\\", "", pattern)):
        what = "a back reference" if found[0].startswith("\\") else "look-around"
        raise UnsupportedPattern(f'"{found[0]}" ({what}) is not supported: patterns run in linear time')
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PROGRAM
    try:
        program = re2.compile(_translated(pattern), options=options)
    except re2.error as exc:
        reason = exc.args[0] if exc.args else exc
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise UnsupportedPattern(text) from exc

    size = program.programsize

    def matches(text: str) -> bool:
        if len(text) * size > MAX_STEPS:
            raise TextTooLong
        # A lone surrogate, which JSON can spell, is no character that any pattern means.
        return program.search(text.encode("utf-8", "replace").decode()) is not None

    return matches


def _translated(pattern: str) -> str:
    """``pattern`` in RE2's spelling."""
    inside = False

    def spell(match: re.Match[str]) -> str:
        nonlocal inside
        text = match[0]
        if match["open"] or match["close"]:
            inside = bool(match["open"]) or (inside and not match["close"])
            # ECMA takes a bare "[" inside a class for itself; RE2 would read [:alpha:] there.
            return "\\[" if text == "[" and _in_class(pattern, match.start()) else text
        if match["high"]:
            high, low = int(match["high"], 16), int(match["low"], 16)
            return f"\\x{{{0x10000 + ((high - 0xD800) << 10) + low - 0xDC00:x}}}"
        if code := match["code"] or match["unit"]:
            return f"\\x{{{code}}}"
        if match["control"]:
            return f"\\x{{{ord(match['control']) % 32:x}}}"
        if match["property"]:
            return f"\\{match['sign']}{{{_CATEGORIES.get(match['property'], match['property'])}}}"
        if match["space"] == "s":
            return _SPACE if inside else f"[{_SPACE}]"
        if match["space"] == "S" and not inside:
            return f"[^{_SPACE}]"
        return text

    return _TOKEN.sub(spell, pattern)


def _in_class(pattern: str, index: int) -> bool:
    """Whether the bracket at ``index`` stands inside a class that opened before it."""
    inside = False
    skip = False
    for character in pattern[:index]:
        if skip:
            skip = False
        elif character == "\\":
            skip = True
        elif character == "[":
            inside = True
        elif character == "]":
            inside = False
    return inside
