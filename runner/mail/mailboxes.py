"""Address headers: ``Name <user@example.com>, …``, folded between mailboxes (RFC 5322 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

from runner.mail.mailbox import Address
from runner.mail.words import phrase

_LINE = 76
"""Octets of a line, for RFC 2047 5 allows no more where an encoded word stands."""


def address_header(name: str, addresses: Sequence[Address]) -> str:
    """``Name: mailbox, mailbox`` and CRLF.

    Names are ASCII always; a non-ASCII local part stays UTF-8 (RFC 6532).
    """
    text = f"{name}: "
    column = len(text)
    if len(addresses) == 1:
        return f"{text}{mailbox(addresses[0], column)}\r\n"
    last = len(addresses) - 1
    for index, address in enumerate(addresses):
        item = mailbox(address, column if index == 0 else 1)
        if index < last:
            item += ","
        if index:
            fits = "\r\n" not in item and column + 1 + len(item) <= _LINE
            text += " " if fits else "\r\n "
            column = column + 1 if fits else 1
        text += item
        column = _column(column, item)
    return text + "\r\n"


def mailbox(address: Address, column: int) -> str:
    """One mailbox that begins at ``column``; may hold folds."""
    spec = address.wire
    if not address.display_name:
        return spec
    name = phrase(address.display_name, column)
    space = " " if _column(column, name) + len(spec) + 4 <= _LINE else "\r\n "
    return f"{name}{space}<{spec}>"


def _column(column: int, text: str) -> int:
    """Where a line stands after ``text``."""
    return len(text) - text.rindex("\r\n") - 2 if "\r\n" in text else column + len(text)
