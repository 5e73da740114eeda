"""A strict reader of mail octets, written against the RFCs and sharing nothing with ``runner.mail``."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from itertools import pairwise

ENCODED = re.compile(r"=\?([^?]+)\?([bqBQ])\?([^? ]*)\?=")


class Broken(AssertionError):
    """The octets break a rule."""


@dataclass
class Entity:
    headers: list[tuple[str, str]]
    body: bytes
    parts: list[Entity] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        values = self.all(name)
        if len(values) != 1:
            raise Broken(f"{len(values)} headers {name}")
        return values[0]

    @property
    def type(self) -> str:
        return self.one("Content-Type").split(";")[0].strip()

    def parameter(self, header: str, name: str) -> str | None:
        return parameters(self.one(header)).get(name)

    def content(self) -> bytes:
        return decoded(self.one("Content-Transfer-Encoding"), self.body)

    def leaves(self) -> list[Entity]:
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]


def read(data: bytes, *, utf8: bool = False) -> Entity:
    """The message; Broken for a bare CR or LF, a NUL, a long line, octets above 127 where there may be none."""
    if not data.endswith(b"\r\n"):
        raise Broken("no line end at the end")
    for line in data[:-2].split(b"\r\n"):
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Broken(f"bare CR, LF or NUL: {line!r}")
        if len(line) > 998:
            raise Broken(f"a line of {len(line)} octets")
    head, _, body = data.partition(b"\r\n\r\n")
    if not body.isascii() or not (utf8 or head.isascii()):
        raise Broken("octets above 127")
    return entity(data)


def entity(data: bytes) -> Entity:
    if data.startswith(b"\r\n"):
        raise Broken("no headers")
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        raise Broken("no blank line")
    headers: list[tuple[str, str]] = []
    for line in head.decode("utf-8").split("\r\n"):
        if line[:1] in (" ", "\t"):
            if not line.strip() or not headers:
                raise Broken("a folded line of white space only, or none to continue")
            name, value = headers[-1]
            headers[-1] = (name, value + line)
        else:
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[!-9;-~]+", name):
                raise Broken(f"not a header: {line!r}")
            headers.append((name, value))
    found = Entity([(name, value[1:] if value[:1] == " " else value) for name, value in headers], body)
    check_encoded_words(head.decode("utf-8"))
    if found.all("Content-Type") and found.type.startswith("multipart/"):
        boundary = found.parameter("Content-Type", "boundary")
        assert boundary
        found.parts = [entity(part) for part in split(body, boundary.encode())]
    return found


def split(body: bytes, boundary: bytes) -> list[bytes]:
    lines = body.split(b"\r\n")
    marks = [i for i, line in enumerate(lines) if line.startswith(b"--" + boundary)]
    if not marks or marks[0] != 0 or lines[marks[-1]] != b"--" + boundary + b"--":
        raise Broken("delimiters")
    if any(lines[i] != b"--" + boundary for i in marks[:-1]) or any(lines[marks[-1] + 1 :]):
        raise Broken("a foreign delimiter, or text after the last one")
    return [b"\r\n".join(lines[a + 1 : b]) for a, b in pairwise(marks)]


def check_encoded_words(head: str) -> None:
    for line in head.split("\r\n"):
        for match in ENCODED.finditer(line):
            if len(match[0]) > 75:
                raise Broken(f"an encoded word of {len(match[0])} octets")
            octets(match).decode(match[1])  # whole characters only
        if ENCODED.search(line) and len(line) > 76:
            raise Broken(f"a line with encoded words of {len(line)} octets: {line}")


def octets(match: re.Match[str]) -> bytes:
    if match[2] in "bB":
        return base64.b64decode(match[3], validate=True)
    raw = match[3].replace("_", " ")
    if re.search(r"=(?![0-9A-F]{2})", raw):
        raise Broken("a broken Q encoding")
    return re.sub(rb"=(..)", lambda m: bytes([int(m[1], 16)]), raw.encode())


def text(value: str) -> str:
    """An unstructured value, decoded: white space between two encoded words is nothing."""
    found = ""
    at = 0
    last = -1
    for match in ENCODED.finditer(value):
        gap = value[at : match.start()]
        if not (last == at and gap and not gap.strip(" \t")):
            found += gap
        found += octets(match).decode(match[1])
        at = last = match.end()
    return found + value[at:]


def decoded(encoding: str, body: bytes) -> bytes:
    if encoding == "7bit":
        return body
    if encoding == "base64":
        if any(len(line) > 76 for line in body.split(b"\r\n")):
            raise Broken("a long line of base64")
        return base64.b64decode(body.replace(b"\r\n", b""), validate=True)
    if encoding != "quoted-printable":
        raise Broken(encoding)
    lines = body.split(b"\r\n")
    found: list[bytes] = []
    for index, line in enumerate(lines):
        if len(line) > 76:
            raise Broken(f"a quoted-printable line of {len(line)}")
        soft = line.endswith(b"=")
        if line[-1:] in (b" ", b"\t"):
            raise Broken("white space at the end of a quoted-printable line")
        raw = line[:-1] if soft else line
        if re.search(rb"=(?![0-9A-F]{2})|[^\t\x20-\x7e]", raw):
            raise Broken(f"not quoted-printable: {raw!r}")
        found.append(re.sub(rb"=(..)", lambda m: bytes([int(m[1], 16)]), raw))
        if soft and index == len(lines) - 1:
            raise Broken("a soft line break at the end")
        if not soft and index < len(lines) - 1:
            found.append(b"\r\n")
    return b"".join(found)


def parameters(value: str) -> dict[str, str]:
    """RFC 2045 parameters with RFC 2231 continuations and character sets."""
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    at = value.find(";")
    while at >= 0 and at < len(value):
        match = re.compile(r';\s*([^\s=;]+)=("(?:[^"\\]|\\.)*"|[^\s;"]+)\s*').match(value, at)
        if match is None:
            raise Broken(f"a parameter: {value[at:]!r}")
        name, raw = match[1], match[2]
        if raw.startswith('"'):
            raw = re.sub(r"\\(.)", r"\1", raw[1:-1])
        base, *rest = name.split("*")
        extended = name.endswith("*")
        if not rest:
            plain[name.lower()] = raw
        else:
            number = int(rest[0]) if rest[0] else 0
            pieces.setdefault(base.lower(), {})[number] = (raw, extended)
        at = match.end() if match.end() < len(value) else -1
    for name, parts in pieces.items():
        if sorted(parts) != list(range(len(parts))):
            raise Broken("a gap in RFC 2231 continuations")
        charset = "utf-8"
        raw_octets = b""
        for number in range(len(parts)):
            piece, extended = parts[number]
            if number == 0 and extended:
                charset, _, piece = piece.split("'", 2)
            chunk = (
                re.sub(rb"%(..)", lambda m: bytes([int(m[1], 16)]), piece.encode())
                if extended
                else piece.encode()
            )
            raw_octets += chunk
        plain[name] = raw_octets.decode(charset)
    return plain


def mailboxes(value: str) -> list[tuple[str, str]]:
    """``(display name, addr-spec)`` of an address header, read character by character (RFC 5322 3.4)."""
    found: list[tuple[str, str]] = []
    element, quoted, angle, escaped = "", False, False, False
    for char in value:
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif not quoted and char == "<":
            angle = True
        elif not quoted and char == ">":
            angle = False
        elif not quoted and not angle and char == ",":
            found.append(one_mailbox(element))
            element = ""
            continue
        element += char
    if quoted or angle:
        raise Broken("an open quote or bracket")
    return [*found, one_mailbox(element)]


def one_mailbox(element: str) -> tuple[str, str]:
    element = element.strip(" ")
    match = re.fullmatch(
        r'(|(?:"(?:[^"\\]|\\.)*"|[^"<>])*?) ?<((?:[^<>"]|"(?:[^"\\]|\\.)*")+)>', element, re.DOTALL
    )
    if match is None:
        return "", element
    name = match[1]
    if name.startswith('"'):
        if not re.fullmatch(r'"(?:[^"\\]|\\.)*"', name):
            raise Broken(f"a phrase: {name!r}")
        return re.sub(r"\\(.)", r"\1", name[1:-1]), match[2]
    if not ENCODED.search(name) and re.search(r"[^A-Za-z0-9!#$%&\'*+/=?^_`{|}~ -]", name):
        raise Broken(f"a phrase: {name!r}")
    return text(name), match[2]
