"""A message with places for plain values: its octets are written once, and a row's values put where they belong.

A value that is a few letters and digits, with nothing in it that mail, a header or a mailbox file gives a meaning,
changes a message in no other place than where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple

from runner.mail.addrspec import is_usual
from runner.mail.compose import Composed, boundary_seed
from runner.mail.identity import message_id
from runner.mail.message import Mail
from runner.mail.words import LINE, LONGEST_LINE
from runner.model import Envelope
from runner.template.output import MARKUP, html_out
from runner.template.together import Looked

MOST = 400
"""Characters of a row's values; longer ones are for the composer."""
_LARGE = 500_000
"""Octets; every limit of a message or field is further away."""
_TO_ROOM = 76 - len("To: ") - 4
"""Characters of name and address for which the header is not folded."""

# No "=" and "?" (encoded words, quoted-printable, boundaries), no control character, nothing above 127. A letter or
# digit first: no dot to stuff, no white space that folding could lose.
_PROSE = r"""[A-Za-z0-9](?:[A-Za-z0-9 .,:;!#%()*+/@_~&<>'"-]*[A-Za-z0-9.,:;!#%()*+/@_~&<>'"-])?"""
# A phrase of atoms (RFC 5322 3.2.3): no quotes are needed around it.
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#%*+/_~&'-]*(?: [A-Za-z0-9!#%*+/_~&'-]+)*"
_SPEC = r"[A-Za-z0-9][A-Za-z0-9.+_-]*@[A-Za-z0-9][A-Za-z0-9.-]*"
_TESTED = r"[^\n]*"
# "From " at the start of a line is changed by mailbox files.
_NOT_FROM = "(?!F)"
_MARK = r"qx[0-9]{3}x[qh]|qy[0-9]{3}yq@qy\.example"


class Outgoing(NamedTuple):
    """A message that may leave: to whom, the octets (CRLF, not dot-stuffed), and whether a line begins with a dot."""

    envelope: Envelope
    data: bytes
    dotted: bool
    message_id: str


def mark(number: int, to: Sequence[int], *, escaped: bool = False) -> str:
    """What stands for a value while the message is written; an address for the one that is the recipient's."""
    if number == to[-1]:
        return f"qy{number:03}yq@qy.example"
    return f"qx{number:03}x{'h' if escaped else 'q'}"


class Blank(NamedTuple):
    """``pick`` takes what the message is made of from values, those for HTML, Message-ID, boundary and ``texts``.

    ``to`` are the values that are name and address of the recipient, or its address; ``subject`` those of the
    subject. ``room`` is how many characters the values may have together, ``subject_room`` those of the subject.
    """

    plain: re.Pattern[str]
    pick: Callable[[tuple[str, ...]], tuple[str, ...]]
    texts: tuple[str, ...]
    sender: str
    domain: str
    to: tuple[int, ...]
    subject: tuple[int, ...]
    subject_room: int
    room: int
    lines: int
    dotted: bool

    def filled(self, looked: Looked, key: tuple[str, ...]) -> Outgoing | None:
        """The row's message; None when one of its values is not plain."""
        values, texts, _ = looked
        together = "\n".join(texts)
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
        if len(self.to) == 2 and len(spec) + len(texts[self.to[0]]) > _TO_ROOM:
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
        data = "".join(self.pick((*texts, *escaped, identity, seed, *self.texts))).encode()
        if data.count(b"\n") != self.lines:
            return None
        return Outgoing(Envelope(self.sender, (spec,)), data, self.dotted, identity)


def make_blank(
    mail: Mail,
    composed: Composed,
    placed: Sequence[int],
    subject: Sequence[int],
    to: tuple[int, ...],
    count: int,
) -> Blank | None:
    """``mail`` was written with marks; of the ``count`` values of a row ``placed`` have places, the others are tested.

    None for a message in which a value could change more than its place.
    """
    data, envelope, seed = composed.data, composed.envelope, boundary_seed(mail.message_id)
    if not data.isascii() or envelope.smtputf8 or len(data) > _LARGE:
        return None
    text = data.decode()
    if text.count("Content-Transfer-Encoding:") != text.count("\r\nContent-Transfer-Encoding: 7bit\r\n"):
        return None
    # Folded or encoded, they would be cut elsewhere for other values.
    name = f"{mail.to[0].display_name} <{mail.to[0].addr_spec}>" if len(to) == 2 else mail.to[0].addr_spec
    if f"\r\nTo: {name}\r\nSubject: {mail.subject}\r\n" not in text:
        return None
    pieces: list[str | int] = []
    for piece in re.split(rf"({_MARK}|{re.escape(mail.message_id)}|{seed})", text):
        if piece == mail.message_id:
            pieces.append(2 * count)
        elif piece == seed:
            pieces.append(2 * count + 1)
        elif re.fullmatch(_MARK, piece):
            pieces.append(int(piece[2:5]) + count * piece.endswith("h"))
        elif piece:
            pieces.append(piece)
    found = [piece for piece in pieces if isinstance(piece, int)]
    if sorted(number % count for number in found if number < 2 * count) != sorted(placed):
        return None
    if found.count(2 * count) != 1:
        return None
    lines = text.split("\r\n")
    if (reach := _reach(lines)) is None:
        return None
    room, at_start = reach
    patterns = [
        (_NOT_FROM if number in at_start else "")
        + (_SPEC if number == to[-1] else _NAME if number in to else _PROSE if number in placed else _TESTED)
        for number in range(count)
    ]
    texts = tuple([piece for piece in pieces if isinstance(piece, str)])
    places = iter(range(2 * count + 2, 2 * count + 2 + len(texts)))
    return Blank(
        plain=re.compile("\n".join(patterns)),
        pick=itemgetter(*[piece if isinstance(piece, int) else next(places) for piece in pieces]),
        texts=texts,
        sender=envelope.sender,
        domain=mail.sender.domain,
        to=to,
        subject=tuple(subject),
        subject_room=LINE - len("Subject: ") - len(re.sub(_MARK, "", mail.subject)),
        room=room,
        lines=len(lines) - 1,
        dotted=composed.dotted,
    )


def _reach(lines: Sequence[str]) -> tuple[int, set[int]] | None:
    """How long the values may be together, and which begin a line; None where a line could come to begin "From "."""
    room, at_start = MOST, set()
    for line in lines:
        marks = [int(found[2:5]) for found in re.findall(_MARK, line)]
        if not marks:
            continue
        room = min(room, (LONGEST_LINE - len(line)) // len(marks))
        before = re.split(_MARK, line, maxsplit=1)[0]
        if not before:
            at_start.add(marks[0])
        elif "From ".startswith(before):
            return None
    return room, at_start
