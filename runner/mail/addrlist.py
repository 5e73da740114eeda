"""The grammar of address fields (RFC 5322 3.4, 4.4): tokens in, mailboxes out, in time linear in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from runner.errors import AddressError
from runner.mail.addrspec import PLAIN, NotAnAddress, canonical, is_plain, split
from runner.mail.addrtoken import Kind, Token, tokens, word
from runner.mail.headers import forbid_line_ends
from runner.mail.mailbox import Address
from runner.mail.shown import shown
from runner.model import Fixed, Given

_ONE_HINT = (
    "a value is one address, however many commas it holds; "
    "write << value | addresses >> to let it hold several, separated by commas"
)
_SPECIAL = r'"(),:;<>@\[\]\\\x00-\x1f\x7f'
_NAME = rf'(?:([^{_SPECIAL}]*)|"([^"\\\x00-\x1f\x7f]*)"[ \t]*)'
_ANY = rf"[^{_SPECIAL} \t]+@[^{_SPECIAL} \t]+"
_END = r"[ \t]*(?:,[ \t,]*|\Z)"
_FAST = re.compile(rf"(?:({PLAIN})|{_NAME}<({PLAIN})>){_END}")
_BROAD = re.compile(rf"(?:({_ANY})|{_NAME}<({_ANY})>){_END}")
_NOTHING = re.compile(r"[ \t,]*")
_MOST_TOKENS = 1000
"""Words of one element."""
_MOST = 10_000
"""Elements of one list that take longer (not ASCII, comments, groups, escapes): a megabyte takes no second."""
BLANKS = re.compile(r"[ \t]+")
"""What a name holds between its words, to be written as one space."""


def strict_list(text: str) -> list[Address]:
    """The list without forgiveness: plain elements are read by one pattern, the rest by tokens."""
    found: list[Address] = []
    blank = _NOTHING.match(text)
    at, end = blank.end() if blank else 0, len(text)
    slow = 0
    if at == end:
        raise AddressError("Invalid address: the text holds no address")
    while at < end:
        match = _FAST.match(text, at)
        plain = match is not None
        if match is None:
            match = _BROAD.match(text, at)
            if match is None:
                break
        bare, loose, quoted, angled = match.groups()
        spec = bare or angled
        name = quoted or (BLANKS.sub(" ", loose).strip(" ") if loose else "")
        if "=?" in name:
            break
        if not plain or not is_plain(spec):
            slow += 1
            if slow > _MOST:
                raise AddressError(f"Invalid address: the list has more than {_MOST:,} elements")
            spec = bare_spec(spec)
        found.append(Address(name, spec))
        at = match.end()
    if at < end:
        found.extend(mailboxes(tokens((Fixed(text[at:]),))))
    return found


def mailboxes(stream: Iterable[Token]) -> Iterator[Address]:
    """The mailboxes of a token list: elements between commas, groups opened (RFC 5322 3.4, 4.4)."""
    element: list[Token] = []
    in_group = after_group = angle = False
    commas = 0
    for token in stream:
        mark = token.text if token.kind is Kind.SPECIAL else ""
        if mark == "," and not angle:
            commas += 1
            if commas > _MOST:
                raise AddressError(f"Invalid address: the list has more than {_MOST:,} elements")
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
        yield from given_addresses(core[0].given)
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
        if token.given is None and not token.holds_value:
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
        listed = any(token.given is not None and "," in str(token.given.value) for token in core)
        raise AddressError(f"Invalid address: {error}", hint=_ONE_HINT if listed else None) from None


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


def given_addresses(given: Given) -> Iterator[Address]:
    """What a value that stands alone stands for: nothing, one address, or the addresses of a list."""
    value = given.value
    if isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, (list, tuple)):
                raise AddressError("Invalid address: a list stands inside a list of addresses")
            yield from given_addresses(Given(item, given.expand))
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
            yield from strict_list(value)
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
    return Address(word(name), bare_spec(spec))


def bare_spec(text: str) -> str:
    """The one canonical addr-spec that ``text`` is; AddressError when it is none."""
    try:
        return canonical(*split(text.strip(" \t")))
    except NotAnAddress as error:
        raise AddressError(f"Invalid address: {error}") from None


_NAMED_VALUE = re.compile(r'([^"<>@:;\\\x00-\x1f\x7f]*)<([^<>]*)>[ \t]*')


def _one_from_value(value: str) -> Address:
    """A value as exactly one mailbox; ``Doe, John <j@example.com>`` is one: its comma is no author's."""
    try:
        found = strict_list(value)
    except AddressError as error:
        named = _NAMED_VALUE.fullmatch(value)
        if named is not None:
            return Address(BLANKS.sub(" ", named[1]).strip(" "), bare_spec(named[2]))
        raise AddressError(error.message, hint=error.hint or (_ONE_HINT if "," in value else None)) from None
    if len(found) != 1:
        raise AddressError(
            f"Invalid address: the value {shown(value)} holds {len(found)} addresses, one is expected",
            hint=_ONE_HINT,
        )
    return found[0]
