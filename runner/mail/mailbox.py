"""One mailbox: a name and an addr-spec."""

from __future__ import annotations

import re
from typing import NamedTuple

from runner.mail.addrspec import wire

_PHRASE_NEEDS_QUOTES = re.compile(r'["(),:;<>@\[\]\\.\x00-\x1f\x7f]|^[ \t]|[ \t]$|[ \t]{2}')


class Address(NamedTuple):
    """One mailbox. ``display_name`` is plain text ("" when there is none), ``addr_spec`` canonical.

    Made by the functions of ``runner.mail.address``; ``compose`` checks again what it is given.
    """

    display_name: str
    addr_spec: str

    @property
    def local(self) -> str:
        """What stands before the @, quoted where it must be."""
        return self.addr_spec.rpartition("@")[0]

    @property
    def domain(self) -> str:
        """What stands after the @, in the script it was written in."""
        return self.addr_spec.rpartition("@")[2]

    @property
    def wire(self) -> str:
        """The addr-spec with its domain in ASCII, as MAIL FROM and RCPT TO carry it."""
        spec = self.addr_spec
        return spec if spec.isascii() else wire(spec)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the local part is not ASCII, so that the server must offer SMTPUTF8 (RFC 6531)."""
        return not self.addr_spec.isascii() and not self.local.isascii()

    def __str__(self) -> str:
        if not self.display_name:
            return self.addr_spec
        name = self.display_name
        if _PHRASE_NEEDS_QUOTES.search(name):
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{name} <{self.addr_spec}>"
