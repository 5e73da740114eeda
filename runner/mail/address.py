"""Mail addresses and lists of them (RFC 5322 3.4, RFC 6532), and the rule that no value can add a recipient.

``parse_list`` reads a text that a person wrote. ``from_pieces`` reads an address field of a flow: commas,
angle brackets and quotes count only where the flow's author wrote them; a value between them is one
address, one name, or a list of addresses, whatever characters it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runner.errors import AddressError, HeaderError
from runner.mail.addrlist import BLANKS, bare_spec, given_addresses, mailboxes, strict_list
from runner.mail.addrspec import is_usual
from runner.mail.addrtoken import tokens
from runner.mail.headers import forbid_line_ends
from runner.mail.mailbox import Address
from runner.mail.shown import shown
from runner.model import Fixed, Given, Pieces

__all__ = ["Address", "from_pieces", "from_value", "parse_list", "parse_one"]


def parse_list(text: str) -> list[Address]:
    """The mailboxes of a comma-separated list, groups opened, in time linear in the text.

    Raises HeaderError (EHEADER) for CR, LF or NUL, AddressError (EADDRESS) for what is not an address list.
    A quote, comment or angle bracket that one single address leaves open is forgiven, where only one
    reading is possible.
    """
    forbid_line_ends(text)
    try:
        return strict_list(text)
    except AddressError:
        one = _recovered(text)
        if one is None:
            raise
        return [one]


def parse_one(text: str) -> Address:
    """The one mailbox that ``text`` is; raises AddressError when it is none or several, else as ``parse_list``."""
    found = parse_list(text)
    if len(found) != 1:
        raise AddressError(f"Invalid address: {shown(text)} holds {len(found)} addresses, one is expected")
    return found[0]


def from_pieces(pieces: Pieces, field: str) -> tuple[Address, ...]:
    """The addresses of a rendered address field (SPEC 4); ``field`` is named in errors.

    A value that stands alone between commas is one address, a list of them, or nothing when it is empty;
    before angle brackets it is a name; between them, or glued to text, it is part of one addr-spec and
    quoted where needed. Raises AddressError or HeaderError.
    """
    with _in_field(field):
        if all(isinstance(piece, Fixed) for piece in pieces):
            text = "".join(piece.text for piece in pieces if isinstance(piece, Fixed)).rstrip("\r\n")
            return tuple(parse_list(text)) if text.strip() else ()
        last = pieces[-1]
        if isinstance(last, Fixed):
            # A YAML block scalar ends in a line end that its author did not mean.
            pieces = (*pieces[:-1], Fixed(last.text.rstrip("\r\n")))
        return tuple(mailboxes(tokens(pieces)))


_OPENING, _CLOSING = ("<", " <"), (">", ">\n")


_COMMON = [Given, Fixed, Given, Fixed]


def _quick(pieces: tuple[Any, ...]) -> Address | None:
    """``<<name>> <<<address>>>``, the common shape, where both are texts and nothing about them is unusual."""
    if [*map(type, pieces)] != _COMMON:
        return None
    (name, _), (opening,), (spec, _), (closing,) = pieces
    if (
        type(name) is not str
        or type(spec) is not str
        or opening not in _OPENING
        or closing not in _CLOSING
        or not name.isprintable()
    ):
        return None
    plain = spec.strip(" \t")
    return Address(name, plain) if is_usual(plain) else None


def from_value(value: object, field: str) -> tuple[Address, ...]:
    """The addresses of a field: a text or a list of texts by the author, or rendered pieces.

    None and blank text give none. Values from outside must come as ``Given`` pieces, never as text.
    """
    if value is None:
        return ()
    if type(value) is tuple:
        quick = _quick(value)
        if quick is not None:
            return (quick,)
    if isinstance(value, str):
        return from_pieces((Fixed(value),), field)
    if isinstance(value, Address):
        return (value,)
    if isinstance(value, (Fixed, Given)):
        return from_pieces((value,), field)
    if isinstance(value, tuple) and value and all(isinstance(piece, (Fixed, Given)) for piece in value):
        return from_pieces(value, field)
    if isinstance(value, (list, tuple)):
        return tuple(address for item in value for address in from_value(item, field))
    if isinstance(value, Mapping):
        with _in_field(field):
            return tuple(given_addresses(Given(value)))
    with _in_field(field):
        raise AddressError(f"Invalid address: {shown(str(value))} is not text or a list")


class _in_field:  # noqa: N801  (reads as a phrase)
    """Name the field in an error's message, once."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (AddressError, HeaderError)):
            start, colon, rest = error.message.partition(":")
            if colon and not start.endswith(f" in {self.field}"):
                message = f"{start} in {self.field}:{rest}"
                raise type(error)(message, hint=error.hint) from error.__cause__


_WORDS = r'[^"(),:;<>@\[\]\\\x00-\x1f\x7f]'
_SPEC = r'[^"(),:;<>@\[\]\\ \t\x00-\x1f\x7f]+@[^"(),:;<>@\[\]\\ \t\x00-\x1f\x7f]+'
_RECOVERABLE = (
    re.compile(rf'[ \t]*"(?P<spec>{_SPEC})[ \t]*'),
    re.compile(rf"(?P<name>{_WORDS}+)<(?P<spec>{_SPEC})[ \t]*"),
    re.compile(rf"[ \t]*(?P<spec>{_SPEC})[ \t]+\((?P<name>{_WORDS}*)"),
    re.compile(rf"(?P<name>{_WORDS}+)<<(?P<spec>{_SPEC})(?P<stray>>)>[ \t]*"),
)


def _recovered(text: str) -> Address | None:
    """The one address of a text that leaves a quote, comment or bracket open, or opens a bracket twice."""
    for pattern in _RECOVERABLE:
        match = pattern.fullmatch(text)
        if match is not None:
            fields = match.groupdict(default="")
            name = BLANKS.sub(" ", fields.get("name", "")).strip(" ")
            if "name" in fields and not name:
                return None
            return Address(name + fields.get("stray", ""), bare_spec(fields["spec"]))
    return None
