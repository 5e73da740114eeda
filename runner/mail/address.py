"""Mail addresses and lists of them (RFC 5322 3.4, RFC 6532), and the rule that no value can add a recipient.

``parse_list`` reads a text that a person wrote. ``from_pieces`` reads an address field of a flow: commas,
angle brackets and quotes count only where the flow's author wrote them; a value between them is one
address, one name, or a list of addresses, whatever characters it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from runner.errors import AddressError, HeaderError
from runner.mail.addrspec import PLAIN, NotAnAddress, canonical, is_plain, split, wire
from runner.mail.addrtoken import Kind, Token, tokens, word
from runner.mail.headers import forbid_line_ends
from runner.mail.shown import shown
from runner.model import Fixed, Given, Pieces

_ONE_HINT = (
    "a value is one address, however many commas it holds; "
    "write << value | addresses >> to let it hold several, separated by commas"
)

_NAME = r'[^"(),:;<>@\[\]\\\x00-\x1f\x7f]'
_FAST = re.compile(
    rf'(?:({PLAIN})|(?:({_NAME}*)|"([^"\\\x00-\x1f\x7f]*)"[ \t]*)<({PLAIN})>)[ \t]*(?:,[ \t,]*|\Z)'
)
_NOTHING = re.compile(r"[ \t,]*")
_MOST_TOKENS = 1000
_PHRASE_NEEDS_QUOTES = re.compile(r'["(),:;<>@\[\]\\.\x00-\x1f\x7f]|^[ \t]|[ \t]$|[ \t]{2}')
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. ``display_name`` is plain text ("" when there is none), ``addr_spec`` canonical.

    Made by the functions of this module; ``compose`` checks again what it is given.
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
        return wire(self.addr_spec)

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


def parse_list(text: str) -> list[Address]:
    """The mailboxes of a comma-separated list, groups opened, in time linear in the text.

    Raises HeaderError (EHEADER) for CR, LF or NUL, AddressError (EADDRESS) for what is not an address list.
    A quote, comment or angle bracket that one single address leaves open is forgiven, where only one
    reading is possible.
    """
    forbid_line_ends(text)
    try:
        return _strict_list(text)
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
        return tuple(_mailboxes(tokens(pieces)))


def from_value(value: object, field: str) -> tuple[Address, ...]:
    """The addresses of a field: a text or a list of texts by the author, or rendered pieces.

    None and blank text give none. Values from outside must come as ``Given`` pieces, never as text.
    """
    if value is None:
        return ()
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
            return tuple(_given_addresses(Given(value)))
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


def _strict_list(text: str) -> list[Address]:
    """The list without forgiveness: plain elements are read by one pattern, the rest by tokens."""
    found: list[Address] = []
    blank = _NOTHING.match(text)
    at, end = blank.end() if blank else 0, len(text)
    if at == end:
        raise AddressError("Invalid address: the text holds no address")
    while at < end:
        match = _FAST.match(text, at)
        if match is None:
            break
        bare, loose, quoted, angled = match.groups()
        spec = bare or angled
        name = quoted or (_BLANKS.sub(" ", loose).strip(" ") if loose else "")
        if not is_plain(spec) or "=?" in name:
            break
        found.append(Address(name, spec))
        at = match.end()
    if at < end:
        found.extend(_mailboxes(tokens((Fixed(text[at:]),))))
    return found


def _mailboxes(stream: Iterable[Token]) -> Iterator[Address]:
    """The mailboxes of a token list: elements between commas, groups opened (RFC 5322 3.4, 4.4)."""
    element: list[Token] = []
    in_group = after_group = angle = False
    for token in stream:
        mark = token.text if token.kind is Kind.SPECIAL else ""
        if mark == "," and not angle:
            yield from _element(element)
            element = []
            after_group = False
            continue
        if after_group and token.kind is not Kind.COMMENT:
            raise AddressError("Invalid address: a comma is missing after the ; of a group")
        if mark == ":" and not angle:
            if in_group or not element or any(t.kind is Kind.SPECIAL for t in element):
                raise AddressError("Invalid address: a colon cannot stand here")
            in_group, element = True, []
        elif mark == ";" and not angle:
            if not in_group:
                raise AddressError(
                    "Invalid address: a semicolon cannot stand here", hint="separate addresses by commas"
                )
            yield from _element(element)
            in_group, after_group, element = False, True, []
        else:
            angle = mark == "<" or (angle and mark != ">")
            element.append(token)
            if len(element) > _MOST_TOKENS:
                raise AddressError(
                    f"Invalid address: {_told(element[:20])} goes on for more than {_MOST_TOKENS} words"
                )
    if in_group:
        raise AddressError("Invalid address: a group is opened and never closed with ;")
    yield from _element(element)


def _element(element: list[Token]) -> Iterator[Address]:
    """What stands between two commas: nothing, a value, ``name <address>`` or an address."""
    comments = [token.text for token in element if token.kind is Kind.COMMENT]
    core = [token for token in element if token.kind is not Kind.COMMENT]
    if not core:
        if comments:
            raise AddressError(f"Invalid address: the comment {shown(comments[0])} stands alone")
        return
    if len(core) == 1 and core[0].given is not None:
        yield from _given_addresses(core[0].given)
        return
    opening = next((i for i, t in enumerate(core) if t.kind is Kind.SPECIAL and t.text == "<"), None)
    if opening is None:
        first, last = element.index(core[0]), len(element) - 1 - element[::-1].index(core[-1])
        if last - first + 1 != len(core):
            raise AddressError("Invalid address: a comment stands inside the address")
        name = " ".join(comment.strip(" \t") for comment in comments).strip(" ")
        _forbid_encoded_word(name)
        yield Address(name, _spec(core))
        return
    if core[-1].kind is not Kind.SPECIAL or core[-1].text != ">":
        raise AddressError(f"Invalid address: {_told(core)} does not end with its angle bracket")
    yield Address(_phrase(core[:opening], core[opening + 1 : -1]), _spec(core[opening + 1 : -1]))


def _phrase(words: list[Token], spec: list[Token]) -> str:
    """The display name: words joined as they were written, values and quoted texts exactly as they are."""
    name = ""
    for token in words:
        if token.kind in (Kind.SPECIAL, Kind.LITERAL):
            # "a@b.com <a@b.com>" is common; "a@b.com <c@d.com>" lacks a comma and would lose somebody.
            if "".join(t.text for t in words) == "".join(t.text for t in spec) and not any(
                t.given for t in words
            ):
                return "".join(t.text for t in words)
            raise AddressError(
                f"Invalid address: {_told(words)} cannot be a name", hint="put the name in double quotes"
            )
        if token.given is None:
            _forbid_encoded_word(token.text)
        text = word(token.given.value) if token.given is not None else token.text
        name += f" {text}" if token.spaced and name and text else text
    return name


def _forbid_encoded_word(name: str) -> None:
    """A name that is already encoded (RFC 2047) would be shown as it stands: say so instead of sending it."""
    if "=?" in name and "?=" in name:
        raise AddressError(
            f"Invalid address: the name {shown(name)} is encoded", hint="write names as plain text"
        )


def _spec(core: list[Token]) -> str:
    """One addr-spec from the tokens of its place; AddressError when they are none or more."""
    if any(token.spaced for token in core[1:]):
        raise AddressError(
            f"Invalid address: {_told(core)} is not one address",
            hint="write Name <user@example.com>, and a comma between addresses",
        )
    try:
        return _joined(core)
    except NotAnAddress as error:
        raise AddressError(f"Invalid address: {error}") from None


def _joined(core: list[Token]) -> str:
    ats = [i for i, token in enumerate(core) if token.kind is Kind.SPECIAL and token.text == "@"]
    given = any(token.given is not None for token in core)
    if any(token.kind is Kind.SPECIAL and token.text != "@" for token in core) or len(ats) > 1 or not core:
        raise NotAnAddress(f"{_told(core)} is not one address")
    if not ats:
        if any(token.kind is Kind.QUOTED for token in core) or not given:
            raise NotAnAddress(f"{_told(core)} has no @")
        # The @ comes from a value, so the whole is read as one strict addr-spec.
        return canonical(*split(_text(core).strip(" \t")))
    before, after = core[: ats[0]], core[ats[0] + 1 :]
    if not given:
        if len(before) > 1 or len(after) > 1:
            raise NotAnAddress(f"{_told(core)} is not one address")
        if before and before[0].kind is Kind.ATOM:
            split(f"{before[0].text}@x")  # a dot-atom, for text that is not quoted stays unquoted
    domain = "".join(f"[{t.text}]" if t.kind is Kind.LITERAL else _text([t]) for t in after)
    if any(t.kind is Kind.LITERAL for t in before) or any(t.kind is Kind.QUOTED for t in after):
        raise NotAnAddress(f"{_told(core)} is not one address")
    return canonical(_text(before), domain)


def _text(some: list[Token]) -> str:
    return "".join(word(token.given.value) if token.given is not None else token.text for token in some)


def _told(core: list[Token]) -> str:
    """The tokens as words for an error."""
    parts: list[str] = []
    for token in core:
        text = str(token.given.value) if token.given is not None else token.text
        parts.append((" " if token.spaced and parts else "") + text)
    return shown("".join(parts))


def _given_addresses(given: Given) -> Iterator[Address]:
    """What a value that stands alone stands for: nothing, one address, or the addresses of a list."""
    value = given.value
    if isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, (list, tuple)):
                raise AddressError("Invalid address: a list stands inside a list of addresses")
            yield from _given_addresses(Given(item, given.expand))
    elif isinstance(value, Mapping):
        yield _mapped(value)
    elif value is None:
        return
    elif not isinstance(value, str):
        raise AddressError(
            f"Invalid address: {shown(str(value))} is not text, a list, or a mapping with an address"
        )
    else:
        forbid_line_ends(value)
        if not value.strip():
            return
        if given.expand:
            yield from _strict_list(value)
        else:
            yield _one_from_value(value)


def _mapped(value: Mapping[object, object]) -> Address:
    """``{name, email}`` or ``{name, address}``, as CRMs and Nodemailer write it."""
    spec = value.get("address") or value.get("email")
    name = value.get("name")
    if not isinstance(spec, str) or not (name is None or isinstance(name, str)):
        raise AddressError(
            'Invalid address: a mapping must have "address" or "email", and may have "name", as text'
        )
    forbid_line_ends(spec)
    return Address(word(name), _bare(spec))


def _bare(text: str) -> str:
    try:
        return canonical(*split(text.strip(" \t")))
    except NotAnAddress as error:
        raise AddressError(f"Invalid address: {error}") from None


_NAMED_VALUE = re.compile(r'([^"<>@:;\\\x00-\x1f\x7f]*)<([^<>]*)>[ \t]*')


def _one_from_value(value: str) -> Address:
    """A value as exactly one mailbox; ``Doe, John <j@example.com>`` is one: its comma is no author's."""
    try:
        found = _strict_list(value)
    except AddressError as error:
        named = _NAMED_VALUE.fullmatch(value)
        if named is not None:
            return Address(_BLANKS.sub(" ", named[1]).strip(" "), _bare(named[2]))
        raise AddressError(error.message, hint=error.hint or (_ONE_HINT if "," in value else None)) from None
    if len(found) != 1:
        raise AddressError(
            f"Invalid address: the value {shown(value)} holds {len(found)} addresses, one is expected",
            hint=_ONE_HINT,
        )
    return found[0]


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
            name = _BLANKS.sub(" ", fields.get("name", "")).strip(" ")
            if "name" in fields and not name:
                return None
            return Address(name + fields.get("stray", ""), _bare(fields["spec"]))
    return None
