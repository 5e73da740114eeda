"""The short way to a row's message, for nodes whose fields are texts and plain paths: all values are looked up at once.

For each way through the templates one message is written with marks where values go. A row whose values are all plain
is that message with its values in their places (``runner.nodes.blank``); any other row is composed, under the
composer's last look, from what that message and the row differ in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.credential import SmtpCredential
from runner.errors import FlowpostError
from runner.mail.addrspec import is_usual
from runner.mail.body import Encoded, text_body
from runner.mail.compose import Composed, write
from runner.mail.identity import message_id
from runner.mail.mailbox import Address
from runner.mail.message import Mail
from runner.mail.parts import attachment
from runner.mail.recurring import Recurring
from runner.model import Fixed, Given
from runner.nodes.blank import MOST, Blank, Draft, Field, Outgoing, Shape
from runner.nodes.drafted import make_blank
from runner.template.kinds import Kind
from runner.template.output import MARKUP, html_out
from runner.template.straight import NotStraight
from runner.template.together import Looked, Pick, Step, Together, picked

if TYPE_CHECKING:
    from runner.template import Template

_MOST_KEPT = 64
"""Ways through the templates for which a message is kept, and messages with places that are."""
_ASCII: tuple[bool, ...] = ()
"""The kind of values that are all ASCII."""
_FIELDS = frozenset({"to", "subject", "body", "html_body"})
_KEY = ("a message with room for values",)

Message = tuple[Mapping[str, object], SmtpCredential, tuple[str, ...], datetime]
"""Scope, credential, key and date of a message."""
Whole = Callable[[Mapping[str, object], SmtpCredential, tuple[str, ...], datetime], Outgoing]
"""Writes the message of a scope without any of this."""
Write = Callable[[dict[str, Any], SmtpCredential, tuple[str, ...], datetime], tuple[Mail, Composed]]
"""Writes the message of rendered parameters."""


class Form:
    """The templated ``fields`` of one node; ``recurring`` are the bodies of which lines are kept, by field.

    Raises NotStraight for a node whose messages are not made in this way.
    """

    def __init__(
        self, fields: Mapping[str, Template], recurring: Mapping[str, Recurring], write: Write, whole: Whole
    ) -> None:
        if not fields.keys() <= _FIELDS or "to" not in fields:
            raise NotStraight
        self._together = Together(fields)
        self._markup = {name for name, template in fields.items() if template.kind is Kind.HTML}
        self._recurring = recurring
        self._write = write
        self._whole = whole
        self._ways: dict[tuple[bool, ...], Way | None] = {}
        self._blanks = 0
        self._for: tuple[SmtpCredential, datetime] | None = None

    def fill(
        self, scope: Mapping[str, object], credential: SmtpCredential, key: tuple[str, ...], date: datetime
    ) -> Draft | None:
        """The message, octet for octet what the long way gives; None for a row that has to take it.

        Raises what is wrong with the row.
        """
        looked = self._together.look(scope)
        if looked is None:
            return None
        known = self._for
        if known is None or known[0] is not credential or known[1] is not date:
            self._ways.clear()
            self._blanks = 0
            self._for = (credential, date)
        way = self._ways.get(looked.outcome)
        if way is None:
            if looked.outcome in self._ways or len(self._ways) >= _MOST_KEPT:
                return None
            way = self._ways[looked.outcome] = self._way(looked.outcome, credential, date)
            return None if way is None else self._first(way, looked, (scope, credential, key, date))
        together = "\n".join(looked.texts)
        kind = _ASCII if together.isascii() else tuple(map(str.isascii, looked.texts))
        blank = way.blanks.get(kind)
        if blank is None and kind not in way.blanks and self._blanks < _MOST_KEPT:
            blank = way.blanks[kind] = self._blank(way, kind, credential, date)
        found = None if blank is None else blank.filled(looked, together, key)
        if found is None:
            return way.composed(looked, key)
        if kind not in way.proven:
            # As the first row of the way itself.
            whole = self._whole(scope, credential, key, date)
            if found.whole != whole:
                way.blanks[kind] = None
                return whole
            way.proven.add(kind)
        return found

    def _first(self, way: Way, looked: Looked, message: Message) -> Outgoing | None:
        """The first row of a way is written both ways: what differs there would differ in every row."""
        found = way.composed(looked, message[2])
        if found is None:
            return None
        whole = self._whole(*message)
        if found != whole:
            self._ways[looked.outcome] = None
        return whole

    def _way(self, outcome: tuple[bool, ...], credential: SmtpCredential, date: datetime) -> Way | None:
        steps = self._together.steps(outcome)
        to = _recipient(steps["to"])
        if to is None:
            return None
        size = self._together.size
        fields = {name: Field(field, name in self._markup) for name, field in steps.items() if name != "to"}
        shape = Shape(size, to, fields)
        marked = self._marked(steps, shape, credential, date)
        if marked is None:
            return None
        params, mail, _ = marked
        text = next((name for name in fields if params[name] is mail.text), "")
        html = next((name for name in fields if params[name] is mail.html), "")
        if len({text, html} - {""}) + ("subject" in fields) != len(fields):
            # A body is not what its template gives: it is left out, or escaped once more.
            return None
        names = {"subject": "subject", "text": text, "html": html}
        roles = {role: name for role, name in names.items() if name in fields}
        parts = {
            role: Part.of(fields[name], size, recurring=self._recurring.get(name))
            for role, name in roles.items()
        }
        shape = shape._replace(fields={role: fields[name] for role, name in roles.items()})
        return Way(shape, steps, mail, parts.get("subject"), parts.get("text"), parts.get("html"), {}, set())

    def _blank(
        self, way: Way, kind: tuple[bool, ...], credential: SmtpCredential, date: datetime
    ) -> Blank | None:
        self._blanks += 1
        wide = frozenset([number for number, is_ascii in enumerate(kind) if not is_ascii])
        shape = way.shape._replace(wide=wide)
        marked = self._marked(way.steps, shape, credential, date)
        return None if marked is None else make_blank(marked.mail, marked.composed, shape)

    def _marked(
        self,
        steps: Mapping[str, Sequence[Step]],
        shape: Shape,
        credential: SmtpCredential,
        date: datetime,
    ) -> Marked | None:
        params: dict[str, Any] = {
            name: "".join(
                [
                    step if isinstance(step, str) else shape.mark(step, escaped=name in self._markup)
                    for step in field
                ]
            )
            for name, field in steps.items()
        }
        params["to"] = tuple(
            [Fixed(step) if isinstance(step, str) else Given(shape.mark(step)) for step in steps["to"]]
        )
        try:
            return Marked(params, *self._write(params, credential, _KEY, date))
        except FlowpostError:
            # What is wrong with it is wrong with every row, and told there.
            return None


class Marked(NamedTuple):
    """A message with marks for values, as parameters and as written."""

    params: Mapping[str, Any]
    mail: Mail
    composed: Composed


def _recipient(to: list[Step]) -> tuple[int, ...] | None:
    """The values that are name and address of the one recipient, or its address; None for another shape."""
    match to:
        case [int() as spec]:
            return (spec,)
        case [int() as name, " <" | "<", int() as spec, ">" | ">\n"] if name != spec:
            return (name, spec)
    return None


class Part(NamedTuple):
    """A field: ``pick`` takes what it is made of from values and ``texts``; ``escaped`` for HTML."""

    pick: Pick
    texts: tuple[str, ...]
    escaped: bool
    recurring: Recurring | None

    @classmethod
    def of(cls, field: Field, size: int, *, recurring: Recurring | None) -> Part:
        """``size`` is how many values a row has."""
        return cls(*picked(field.steps, size), field.escaped, recurring)

    def parts(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """What the field is joined of."""
        if self.escaped and MARKUP("".join(values)) is not None:
            values = tuple(map(html_out, values))
        return self.pick(values + self.texts)

    def encoded(self, parts: tuple[str, ...]) -> Encoded:
        """The body that ``parts`` join to."""
        return text_body("".join(parts)) if self.recurring is None else self.recurring.encoded(parts)


class Way(NamedTuple):
    """One way through the templates: ``mail`` with marks for values, and the fields in which a row's differs from it.

    ``steps`` are what each parameter is made of. ``blanks`` are for the kinds of values that were there: whether each
    is ASCII. ``proven`` are kinds of which a row came out as on the long way.
    """

    shape: Shape
    steps: Mapping[str, Sequence[Step]]
    mail: Mail
    subject: Part | None
    text: Part | None
    html: Part | None
    blanks: dict[tuple[bool, ...], Blank | None]
    proven: set[tuple[bool, ...]]

    def composed(self, looked: Looked, key: tuple[str, ...]) -> Outgoing | None:
        """The row's message; None for one that has to take the long way. Raises what is wrong with the row."""
        values, texts, _ = looked
        if sum(map(len, texts)) > MOST:
            return None
        recipient = self._recipient(values)
        if recipient is None:
            return None
        mail = self.mail
        changed: dict[str, Any] = {
            "to": (recipient,),
            "message_id": message_id(mail.sender.domain, *key),
        }
        if self.subject is not None:
            changed["subject"] = "".join(self.subject.parts(texts))
        text = html = None
        if self.text is not None:
            text = self.text.parts(texts)
            changed["text"] = "".join(text)
        if self.html is not None:
            html = self.html.parts(texts)
            changed["html"] = "".join(html)
        mail = mail._replace(**changed)
        if mail.text == "" or (mail.html is not None and (not mail.html or mail.html.isspace())):
            # Without a text or HTML of its own, the message may have another shape.
            return None
        envelope, data, dotted = write(mail, partial(self._encoded, text, html), attachment)
        return Outgoing(envelope, data, dotted, mail.message_id)

    def _recipient(self, values: tuple[Any, ...]) -> Address | None:
        """The recipient, where nothing about name and address is unusual."""
        to = self.shape.to
        name, spec = "" if len(to) == 1 else values[to[0]], values[to[-1]]
        if type(name) is not str or type(spec) is not str or not name.isprintable() or not is_usual(spec):
            return None
        return Address(name, spec)

    def _encoded(
        self, text: tuple[str, ...] | None, html: tuple[str, ...] | None, mail: Mail
    ) -> tuple[Encoded | None, Encoded | None]:
        return _body(self.text, text, mail.text), _body(self.html, html, mail.html)


def _body(part: Part | None, parts: tuple[str, ...] | None, text: str | None) -> Encoded | None:
    if part is not None and parts is not None:
        return part.encoded(parts)
    return None if text is None else text_body(text)
