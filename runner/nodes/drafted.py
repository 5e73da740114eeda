"""How a message with places is made of one that was written with marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.mail.body import text_body
from runner.mail.compose import Composed, boundary_seed
from runner.mail.mailboxes import address_header
from runner.mail.message import Mail
from runner.mail.words import LINE, LONGEST_LINE, text_header
from runner.nodes.blank import MOST, Anew, Blank, Field, Shape, plain_values
from runner.nodes.quoted import Place, between, laid_out, most_more
from runner.template.together import Step, picked

_LARGE = 500_000
"""Octets; every limit of a message or field is further away."""
_MARK = r"qx[0-9]{3}x[qh]|qy[0-9]{3}yq@qy\.example"
"""What ``Shape.mark`` makes of values in ASCII."""
_SLOT = 0xE000
"""The first of the characters that stand for what a row writes anew; a written message holds none of them."""
_SLOTS = "[\ue000-\uf8ff]"


def make_blank(mail: Mail, composed: Composed, shape: Shape) -> Blank | None:
    """``mail`` was written with marks; values of which no field is made are only tested.

    None for a message in which a value could change more than its place.
    """
    data, envelope, seed = composed.data, composed.envelope, boundary_seed(mail.message_id)
    if not data.isascii() or envelope.smtputf8 or len(data) > _LARGE or shape.to[-1] in shape.wide:
        return None
    size = shape.size
    draft = _Draft(data.decode(), shape)
    subject = draft.headers(mail)
    for name, text in (("text", mail.text), ("html", mail.html)):
        if text is not None:
            draft.body(shape.fields.get(name), text)
    text = draft.text
    plain = text.count("\r\nContent-Transfer-Encoding: 7bit\r\n")
    if draft.failed or text.count("Content-Transfer-Encoding:") != plain + draft.encoded:
        return None
    pieces: list[Step] = []
    for piece in re.split(rf"({_MARK}|{re.escape(mail.message_id)}|{seed}|{_SLOTS})", text):
        if piece == mail.message_id:
            pieces.append(2 * size)
        elif piece == seed:
            pieces.append(2 * size + 1)
        elif re.fullmatch(_MARK, piece):
            pieces.append(int(piece[2:5]) + size * piece.endswith("h"))
        elif re.fullmatch(_SLOTS, piece):
            pieces.append(2 * size + 2 + ord(piece) - _SLOT)
        elif piece:
            pieces.append(piece)
    found = [piece for piece in pieces if isinstance(piece, int) and piece < 2 * size]
    if sorted(number % size for number in found + draft.moved) != sorted(shape.placed()):
        return None
    if pieces.count(2 * size) != 1:
        return None
    lines = text.split("\r\n")
    if (reach := _reach(lines)) is None:
        return None
    room, at_start = reach
    pick, texts = picked(pieces, 2 * size + 2 + draft.slots)
    return Blank(
        plain=plain_values(shape, at_start),
        pick=pick,
        texts=texts,
        sender=envelope.sender,
        domain=mail.sender.domain,
        to=shape.to,
        subject=subject,
        subject_room=LINE - len("Subject: ") - len(re.sub(_MARK, "", mail.subject)) if subject else 0,
        room=room,
        dotted="\r\n." in text,
        anew=draft.anew(),
    )


class _Draft:
    """The text of a message with marks, in which slots take the place of what each row writes anew."""

    def __init__(self, text: str, shape: Shape) -> None:
        self.text = text
        self.shape = shape
        self.slots = 0
        self.encoded = 0
        """How many bodies do not stand as they are."""
        self.moved: list[int] = []
        """The values of which what is written anew is made."""
        self.failed = False
        self._to = False
        self._subject: list[Step] = []
        self._places: list[list[Step]] = []
        self._more = MOST

    def headers(self, mail: Mail) -> tuple[int, ...]:
        """Make room for recipient and subject; returns the values of a subject that stands as it is."""
        shape, address = self.shape, mail.to[0]
        to, subject = address_header("To", mail.to), text_header("Subject", mail.subject, prose=True)
        written = f"\r\n{to}{subject}"
        if self.text.count(written) != 1:
            self.failed = True
        name = f"{address.display_name} <{address.addr_spec}>" if len(shape.to) == 2 else address.addr_spec
        if shape.wide.intersection(shape.to):
            self._to = True
            self.moved += shape.to
            to = self._slot()
        elif to != f"To: {name}\r\n":
            self.failed = True
        field = shape.fields.get("subject", Field([]))
        values = field.values
        if values and subject != f"Subject: {mail.subject}\r\n":
            # Folded or encoded, it would be cut elsewhere for other values.
            self._subject = field.steps
            self.moved += values
            subject, values = self._slot(), []
        self.text = self.text.replace(written, f"\r\n{to}{subject}")
        return tuple(values)

    def body(self, field: Field | None, text: str) -> None:
        """Make room for the lines with values of a quoted-printable body."""
        found = text_body(text)
        if found.encoding == "7bit":
            return
        self.encoded += 1
        values = [] if field is None else field.values
        if field is None or not values:
            return
        written, pieces = found.data.decode(), laid_out(field.steps)
        more = most_more(field.steps, self.shape.wide.intersection(values))
        # One that is quoted for another reason than its letters might not be for other values.
        usual = found.encoding == "quoted-printable" and not text.isascii()
        if not usual or pieces is None or more < 0 or self.text.count(written) != 1:
            self.failed = True
            return
        self._more = min(self._more, more)
        self.moved += values
        laid = ""
        for piece in pieces:
            if isinstance(piece, Place):
                self._places.append(Field(piece.steps, field.escaped).numbered(self.shape.size))
                laid += self._slot()
            else:
                laid += piece
        self.text = self.text.replace(written, laid)

    def anew(self) -> Anew | None:
        """How the slots are filled; None when there are none."""
        if not self.slots:
            return None
        subject, texts = picked(self._subject, 2 * self.shape.size)
        lines, more = picked(between(self._places), 2 * self.shape.size + len(texts))
        return Anew(
            self._to,
            subject if self._subject else None,
            lines if self._places else None,
            (*texts, *more),
            self._more,
        )

    def _slot(self) -> str:
        self.slots += 1
        return chr(_SLOT + self.slots - 1)


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
