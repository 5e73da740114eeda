"""Scalars as SOPS sees them: Go's YAML rules for what a plain text is, and the plaintext that is encrypted and summed.

A leaf is a kind and a canonical text, because the MAC runs over that text: ``True``, ``1.5``, ``2024-01-02T00:00:00Z``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

from runner.secret.sops.nodes import FormatError, Scalar

# Compiled where they are used: credentials hardly ever hold a number or a time in clear.
_INT = r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_DOT_FLOAT = r"\.[0-9]+([eE][-+]?[0-9]+)?"
_TIME = (
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:[Tt]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]+))?(Z|[-+][0-9]{2}:[0-9]{2})"
    r"| ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]+))?)?"
)
_CANONICAL_TIME = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(Z|[-+][0-9]{2}:[0-9]{2})"
)
_WORDS: dict[str, tuple[str, str] | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), ("bool", "True")),
    **dict.fromkeys(("false", "False", "FALSE"), ("bool", "False")),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), ("float", "NaN")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), ("float", "+Inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), ("float", "-Inf")),
}
_TAGS = {"str": "str", "int": "int", "float": "float", "bool": "bool", "timestamp": "time", "null": "null"}

Value = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """A value: ``kind`` is SOPS's type name, ``text`` the plaintext. It has no repr, since it may be a secret."""

    kind: str
    text: str

    def value(self) -> Value:
        """The Python value (times lose what is below a microsecond)."""
        if self.kind == "int":
            return int(self.text)
        if self.kind == "float":
            return float(self.text)
        if self.kind == "bool":
            return self.text == "True"
        if self.kind == "time":
            return _datetime(self.text)
        return self.text


def float_text(number: float) -> str:
    """As Go's ``FormatFloat(x, 'f', -1, 64)``: the shortest digits that come back, never an exponent."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    from decimal import Decimal

    text = format(Decimal(repr(number)), "f")
    return text[:-2] if text.endswith(".0") else text


def leaf_of(value: object) -> Leaf | None:
    """The leaf of a Python value, None for None; FormatError for what SOPS has no type for."""
    if value is None:
        return None
    if isinstance(value, bool):
        return Leaf("bool", "True" if value else "False")
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise FormatError("a whole number is outside the 64 bits that SOPS keeps")
        return Leaf("int", str(value))
    if isinstance(value, float):
        return Leaf("float", float_text(value))
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise FormatError("a text holds a lone surrogate, which UTF-8 cannot carry") from None
        return Leaf("str", value)
    if isinstance(value, datetime):
        return Leaf("time", _time_text(value))
    if isinstance(value, date):
        return Leaf("time", f"{value.isoformat()}T00:00:00Z")
    raise FormatError(f"a value of type {type(value).__name__} cannot be encrypted")


def canonical(kind: str, text: str) -> Leaf:
    """The leaf of a decrypted text, which must be the one way to write its value; FormatError if not."""
    leaf: Leaf | None = None
    if kind in ("str", "comment"):
        return Leaf(kind, text)
    if kind == "int" and re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII):
        leaf = Leaf(kind, str(int(text)))
        if not -(2**63) <= int(text) < 2**63:
            leaf = None
    elif kind == "float" and (len(text) < 400 or text in ("NaN", "+Inf", "-Inf")):
        try:
            leaf = Leaf(kind, float_text(float(text)))
        except ValueError:
            leaf = None
    elif (kind == "bool" and text in ("True", "False")) or (kind == "time" and _datetime(text)):
        leaf = Leaf(kind, text)
    if leaf is None or leaf.text != text:
        raise FormatError(f"a value is marked as {kind!r} but is none")
    return leaf


def resolve(scalar: Scalar) -> Leaf | None:
    """What a scalar in clear means to SOPS; None is null. FormatError for tags that it does not resolve."""
    if scalar.tag is not None and scalar.tag != "!":
        kind = _TAGS.get(scalar.tag.removeprefix("tag:yaml.org,2002:"))
        if kind is None or not scalar.tag.startswith("tag:yaml.org,2002:"):
            raise FormatError(f'tag "{scalar.tag}" is not allowed', line=scalar.line, column=scalar.column)
        if kind == "str":
            return Leaf("str", scalar.text)
        leaf = resolve_plain(scalar.text)
        if kind == "float" and leaf is not None and leaf.kind == "int":
            leaf = Leaf("float", float_text(float(leaf.text)))
        if (leaf.kind if leaf else "null") != kind:
            raise FormatError(f"the value is not of its tag {kind}", line=scalar.line, column=scalar.column)
        return leaf
    return resolve_plain(scalar.text) if scalar.plain else Leaf("str", scalar.text)


def resolve_plain(text: str) -> Leaf | None:
    """What an unquoted text means; None is null."""
    if text in _WORDS:
        word = _WORDS[text]
        return Leaf(*word) if word else None
    first = text[0]
    if first == "." and re.fullmatch(_DOT_FLOAT, text, re.ASCII):
        return _float(text) or Leaf("str", text)
    if first not in "+-0123456789" or len(text) > 400:
        return Leaf("str", text)
    time = re.fullmatch(_TIME, text, re.ASCII)
    if time and (leaf := _parse_time(time)):
        return leaf
    number = text.replace("_", "")
    if re.fullmatch(_INT, number, re.ASCII):
        integer = _integer(number)
        if -(2**63) <= integer < 2**63:
            return Leaf("int", str(integer))
        if 0 <= integer < 2**64 and number[0] != "+":
            raise FormatError("a whole number is outside the 64 bits that SOPS keeps")
    if re.fullmatch(_FLOAT, number, re.ASCII):
        return _float(number) or Leaf("str", text)
    return Leaf("str", text)


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if len(digits) > 1 and digits[0] == "0":
        prefix = digits[1]
        base = {"x": 16, "o": 8, "b": 2}.get(prefix, 8)
        return sign * int(digits[2:] if prefix in "xob" else digits, base)
    return sign * int(digits)


def _float(text: str) -> Leaf | None:
    number = float(text)
    # Go's ParseFloat reports a range error here, and the text stays a text.
    return None if math.isinf(number) else Leaf("float", float_text(number))


def _parse_time(match: re.Match[str]) -> Leaf | None:
    year, month, day = match[1], match[2], match[3]
    hour, minute, second = (
        match[4] or match[9] or "0",
        match[5] or match[10] or "0",
        match[6] or match[11] or "0",
    )
    fraction = (match[7] or match[12] or "")[:9].rstrip("0")
    text = f"{year}-{int(month):02}-{int(day):02}T{int(hour):02}:{int(minute):02}:{int(second):02}"
    zone = match[8] or "Z"
    text += f".{fraction}" if fraction else ""
    text += "Z" if zone in ("+00:00", "-00:00") else zone
    try:
        _datetime(text)
    except FormatError:
        return None
    return Leaf("time", text)


def _datetime(text: str) -> datetime:
    match = re.fullmatch(_CANONICAL_TIME, text, re.ASCII)
    if match is None:
        raise FormatError("a value is marked as time but is none")
    zone: timezone = UTC
    if match[8] != "Z":
        hours, minutes = int(match[8][1:3]), int(match[8][4:])
        if hours > 23 or minutes > 59:
            raise FormatError("a value is marked as time but is none")
        offset = timedelta(hours=hours, minutes=minutes)
        zone = timezone(-offset if match[8][0] == "-" else offset)
    micro = int((match[7] or "").ljust(6, "0")[:6])
    try:
        year, month, day, hour, minute, second = (int(match[number]) for number in range(1, 7))
        return datetime(year, month, day, hour, minute, second, micro, zone)
    except ValueError:
        raise FormatError("a value is marked as time but is none") from None


def _time_text(value: datetime) -> str:
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    offset = value.utcoffset() or timedelta()
    if offset.seconds % 60 or offset.microseconds:
        raise FormatError("a time's zone has seconds, which SOPS cannot keep")
    text = value.replace(tzinfo=None, microsecond=0).isoformat()
    text += f".{value.microsecond:06}".rstrip("0") if value.microsecond else ""
    if not offset:
        return text + "Z"
    minutes = int(offset.total_seconds()) // 60
    return f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
