"""A message with places for plain values: its octets are written once, and a row's values put where they belong.

A value that is a few letters and digits, with nothing in it that mail, a header or a mailbox file gives a meaning,
changes a message in no other place than where it stands. With letters beyond ASCII it changes its header, which is
written anew, and its lines of a quoted-printable body (``runner.nodes.quoted``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from runner.mail.addrspec import is_usual
from runner.mail.compose import boundary_seed
from runner.mail.identity import message_id
from runner.mail.limits import MAX_SUBJECT
from runner.mail.mailbox import Address
from runner.mail.mailboxes import address_header
from runner.mail.words import text_header
from runner.model import Envelope
from runner.nodes.quoted import quoted
from runner.template.output import MARKUP, html_out
from runner.template.together import Looked, Pick, Step

MOST = 400
"""Characters of a row's values; longer ones are for the composer."""
_LOOSE = 6 * MOST
"""Octets of a message that is not joined, about."""
_TO_ROOM = 76 - len("To: ") - 4
"""Characters of name and address for which the header is not folded."""

# No "=" and "?" (encoded words, quoted-printable, boundaries), no control character. A letter or digit first: no dot
# to stuff, no white space that folding could lose. Beyond ASCII letters and digits only: nothing there is white space,
# joins with its neighbours, or is half a character.
_PROSE = r"""[A-Za-z0-9](?:[A-Za-z0-9 .,:;!#%()*+/@_~&<>'"-]*[A-Za-z0-9.,:;!#%()*+/@_~&<>'"-])?"""
_WIDE_PROSE = r"""[^\W_](?:[\w .,:;!#%()*+/@~&<>'"-]*[\w.,:;!#%()*+/@~&<>'"-])?"""
# A phrase of atoms (RFC 5322 3.2.3): no quotes are needed around it.
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#%*+/_~&'-]*(?: [A-Za-z0-9!#%*+/_~&'-]+)*"
_WIDE_NAME = r"[^\W_][\w!#%*+/~&'-]*(?: [\w!#%*+/~&'-]+)*"
_SPEC = r"[A-Za-z0-9][A-Za-z0-9.+_-]*@[A-Za-z0-9][A-Za-z0-9.-]*"
_TESTED = r"[^\n]*"
# "From " at the start of a line is changed by mailbox files.
_NOT_FROM = "(?!F)"


class Outgoing(NamedTuple):
    """A message that may leave: to whom, the octets (CRLF, not dot-stuffed), and whether a line begins with a dot."""

    envelope: Envelope
    data: bytes
    dotted: bool
    message_id: str

    @property
    def room(self) -> int:
        """Octets that it takes while it is kept."""
        return len(self.data) + 1024

    @property
    def whole(self) -> Outgoing:
        """Itself."""
        return self


class Loose(NamedTuple):
    """As ``Outgoing``, and not joined yet: to keep it takes a tenth of the room."""

    envelope: Envelope
    blank: Blank
    texts: tuple[str, ...]
    dotted: bool
    message_id: str

    @property
    def data(self) -> bytes:
        """The octets."""
        return self.blank.joined(self.texts)

    @property
    def room(self) -> int:
        """See ``Outgoing``."""
        return _LOOSE

    @property
    def whole(self) -> Outgoing:
        """What leaves."""
        return Outgoing(self.envelope, self.data, self.dotted, self.message_id)


Draft = Outgoing | Loose
"""A message that may leave."""


class Field(NamedTuple):
    """What a field is made of, in order; ``escaped`` for HTML."""

    steps: list[Step]
    escaped: bool = False

    @property
    def values(self) -> list[int]:
        """The value in each of its places."""
        return [step for step in self.steps if isinstance(step, int)]

    def numbered(self, count: int) -> list[Step]:
        """The steps with values taken from ``count`` texts and then the same escaped."""
        return [step + count if self.escaped and isinstance(step, int) else step for step in self.steps]


class Shape(NamedTuple):
    """How messages are made of rows of ``size`` values: ``fields`` by name, all but that of the recipient.

    ``to`` are the values that are name and address of the recipient, or its address. ``wide`` are those that are not
    ASCII.
    """

    size: int
    to: tuple[int, ...]
    fields: Mapping[str, Field]
    wide: frozenset[int] = frozenset()

    def mark(self, number: int, *, escaped: bool = False) -> str:
        """What stands for a value while the message is written; an address for the one that is the recipient's."""
        if number == self.to[-1]:
            return f"qy{number:03}yq@qy.example"
        return f"qx{number:03}x{'h' if escaped else 'q'}{'é' if number in self.wide else ''}"

    def placed(self) -> list[int]:
        """The value in each place of a message, in no order."""
        return [*self.to, *[number for field in self.fields.values() for number in field.values]]


class Anew(NamedTuple):
    """What a row writes anew: headers of name or subject, and lines of quoted-printable bodies.

    ``subject`` and ``lines`` pick what they are made of from values and escaped values, ``texts`` behind them. ``more``
    is how many octets more than characters the values may have.
    """

    to: bool
    subject: Pick | None
    lines: Pick | None
    texts: tuple[str, ...]
    more: int

    def written(self, name: str, spec: str, values: tuple[str, ...]) -> list[str] | None:
        """The pieces, in the order of their slots; None where the subject is too long."""
        pieces = [address_header("To", (Address(name, spec),))] if self.to else []
        values += self.texts
        if self.subject is not None:
            subject = "".join(self.subject(values))
            if len(subject) > MAX_SUBJECT:
                return None
            pieces.append(text_header("Subject", subject, prose=True))
        if self.lines is not None:
            pieces += quoted("".join(self.lines(values)))
        return pieces


class Blank(NamedTuple):
    """``pick`` takes what the message is made of from values, those for HTML, Message-ID, boundary, what is written
    anew, and ``texts``.

    ``to`` is as in ``Shape``; ``subject`` are the values of the subject. ``room`` is how many characters the values may
    have together, ``subject_room`` those of the subject.
    """

    plain: re.Pattern[str]
    pick: Pick
    texts: tuple[str, ...]
    sender: str
    domain: str
    to: tuple[int, ...]
    subject: tuple[int, ...]
    subject_room: int
    room: int
    dotted: bool
    anew: Anew | None

    def filled(self, looked: Looked, together: str, key: tuple[str, ...]) -> Loose | None:
        """The row's message; None when one of its values is not plain. ``together`` are its texts, a line each."""
        values, texts, _ = looked
        if len(together) > self.room or self.plain.fullmatch(together) is None:
            return None
        escaped = texts
        if MARKUP(together) is not None:
            escaped = tuple(map(html_out, texts))
            if sum(map(len, escaped)) > self.room:
                return None
        spec = texts[self.to[-1]]
        for number in self.to:
            if type(values[number]) is not str:
                return None
        anew = self.anew
        raw = len(self.to) == 2 and (anew is None or not anew.to)
        if raw and len(spec) + len(texts[self.to[0]]) > _TO_ROOM:
            return None
        size = 0
        for number in self.subject:
            size += len(texts[number])
        if size > self.subject_room or not is_usual(spec):
            return None
        identity = message_id(self.domain, *key)
        seed = boundary_seed(identity)
        if seed in together:
            return None
        pieces: Sequence[str] | None = ()
        if anew is not None:
            if len(together.encode()) - len(together) > anew.more:
                return None
            pieces = anew.written(texts[self.to[0]], spec, (*texts, *escaped))
        if pieces is None:
            return None
        dotted = self.dotted
        for piece in pieces:
            # Where a long line is broken, the next one may begin with a dot.
            dotted |= piece.startswith(".") or piece.find("\r\n.") >= 0
        texts = (*texts, *escaped, identity, seed, *pieces)
        return Loose(Envelope(self.sender, (spec,)), self, texts, dotted, identity)

    def joined(self, texts: tuple[str, ...]) -> bytes:
        """The octets of a message of these texts."""
        return "".join(self.pick((*texts, *self.texts))).encode()


def plain_values(shape: Shape, at_start: Collection[int]) -> re.Pattern[str]:
    """What a row's values match, a line each, when all of them are plain; those ``at_start`` begin a line."""
    placed = {*shape.placed()}
    patterns = []
    for number in range(shape.size):
        wide = number in shape.wide
        if number == shape.to[-1]:
            pattern = _SPEC
        elif number in shape.to:
            pattern = _WIDE_NAME if wide else _NAME
        elif number in placed:
            pattern = _WIDE_PROSE if wide else _PROSE
        else:
            pattern = _TESTED
        patterns.append(f"{_NOT_FROM if number in at_start else ''}{pattern}")
    return re.compile("\n".join(patterns))
