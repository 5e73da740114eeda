"""Address headers: ``Name <user@example.com>, …``, folded between mailboxes (RFC 5322 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

from runner.mail.address import Address
from runner.mail.words import LINE, phrase


def address_header(name: str, addresses: Sequence[Address]) -> str:
    """``Name: mailbox, mailbox`` and CRLF. Names are ASCII always; a non-ASCII local part stays UTF-8 (RFC
    6532).
    """
    text = f"{name}: "
    column = len(text)
    start = column
    last = len(addresses) - 1
    for index, address in enumerate(addresses):
        item = mailbox(address, column if index == 0 else 1)
        if index < last:
            item += ","
        first, fold, rest = item.partition("\r\n")
        if index == 0:
            text += item
        elif column + 1 + len(first) <= LINE and not fold:
            text += " " + item
            column += 1
        else:
            text += "\r\n " + item
            column = 1
        column = len(item) - item.rindex("\r\n") - 2 if fold else column + len(item)
        if index == 0 and not rest and not fold:
            column = start + len(item)
    return text + "\r\n"


def mailbox(address: Address, column: int) -> str:
    """One mailbox that begins at ``column``; may hold folds."""
    spec = address.wire
    if not address.display_name:
        return spec
    name = phrase(address.display_name, column)
    end = len(name) - name.rindex("\r\n") - 2 if "\r\n" in name else column + len(name)
    space = " " if end + len(spec) + 4 <= LINE - 2 else "\r\n "
    return f"{name}{space}<{spec}>"
