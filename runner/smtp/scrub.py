"""Replies made fit to be shown: no control characters, bounded, and without what the server echoes of the
login.
"""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse

from runner.credential import OAuth2Auth, PasswordAuth
from runner.model import Rejection
from runner.smtp.reply import Reply

MAX_TEXT = 500
"""Characters of a reply that enter an error, a log or the history."""

MASK = "***"

_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")
_LOGIN_LINE = re.compile(r"(?i)\b(AUTH\s+[A-Z0-9_-]{1,20})\s+\S+")
# C0, DEL, C1, line separators, bidirectional overrides and zero-width characters: what could forge a log
# line or hide text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]+")


class Scrubber:
    """Knows the forms in which a login can come back, and takes them out of any text of that session."""

    __slots__ = ("_pattern",)

    def __init__(self, auth: PasswordAuth | OAuth2Auth | None = None) -> None:
        self._pattern = _pattern(_forms(auth)) if isinstance(auth, PasswordAuth) else None

    def clean(self, text: str) -> str:
        """``text`` in one line, with every form of the secret masked, at most MAX_TEXT characters."""
        if text.isascii() and text.isprintable() and len(text) <= MAX_TEXT:
            # Nearly every reply: nothing to fold, so one look for the secret is enough.
            text = self._mask(" ".join(text.split()))
            return _LOGIN_LINE.sub(rf"\1 {MASK}", text) if "AUTH" in text.upper() else text
        # Before and after: a server may hide an echo behind control characters, or a secret may hold some.
        text = self._mask(text)
        text = " ".join(_UNPRINTABLE.sub(" ", text).split())
        text = _LOGIN_LINE.sub(rf"\1 {MASK}", self._mask(text))
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"

    def reply(self, reply: Reply) -> str:
        """The reply as one line, ``550 5.1.1 no such user``."""
        enhanced, text = self.parts(reply)
        told = f"{reply.code} {enhanced}" if enhanced else str(reply.code)
        return f"{told} {text}" if text else told

    def parts(self, reply: Reply) -> tuple[str | None, str]:
        """The enhanced code (RFC 3463), if there is one, and the text without it."""
        enhanced: str | None = None
        texts: list[str] = []
        for line in reply.lines:
            text = line.decode("utf-8", "replace").strip()
            match = _ENHANCED.match(text)
            if match is not None and match[1][0] == str(reply.code)[0]:
                enhanced = enhanced or match[1]
                text = text[match.end() :]
            texts.append(text)
        # A secret that the server breaks over two lines is seen when they are put together without the
        # break.
        if len(texts) > 1 and self._pattern is not None and self._pattern.search("".join(texts)):
            return enhanced, self.clean("".join(texts))
        return enhanced, self.clean(" ".join(texts))

    def rejection(self, address: str, reply: Reply) -> Rejection:
        """A refused recipient."""
        enhanced, text = self.parts(reply)
        return Rejection(address, reply.code, enhanced, text)

    def _mask(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def _forms(auth: PasswordAuth) -> set[str]:
    password = auth.password.reveal()
    name, secret = auth.username.encode(), password.encode()
    quote = urllib.parse.quote
    plain = {password, quote(password), quote(password, safe=""), urllib.parse.quote_plus(password)}
    plain |= {html.escape(password), json.dumps(password)[1:-1], repr(password)[1:-1], secret.hex()}
    blobs = {
        secret,
        b"\0" + name + b"\0" + secret,
        name + b"\0" + name + b"\0" + secret,
        name + b":" + secret,
        password.encode("latin-1", "replace"),
    }
    encoded = {base64.b64encode(blob).decode("ascii") for blob in blobs}
    encoded |= {base64.urlsafe_b64encode(blob).decode("ascii") for blob in blobs}
    return {form for text in plain | encoded for form in (text, text.rstrip("="))} - {""}


def _pattern(forms: set[str]) -> re.Pattern[str]:
    # The longest first, so that no form leaves a tail of a longer one; a server may change the case.
    alternatives = (re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile("|".join(alternatives), re.IGNORECASE)
