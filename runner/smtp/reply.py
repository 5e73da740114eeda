"""Server replies: read with bounds, never trusted (RFC 5321 section 4.2)."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LINE = 8 * 1024
"""Octets of one line; RFC 5321 section 4.5.3.1.5 says 512, and servers write longer ones."""
MAX_REPLY = 64 * 1024
"""Octets of one reply with all its lines; a long EHLO reply has about 1 KiB."""

_KNOWN = 32
_KNOWN_LINE = 64
# Most replies of a session are the same few lines: "250 2.1.0 Ok", "354 go ahead". Each is read once.

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


class Garbage(Exception):
    """What the server sent is no SMTP reply, or has no end. The text says which, and quotes nothing."""


class Reply(NamedTuple):
    """A whole reply. ``lines`` are its lines without code and line ends, as they came: clean them before
    use.
    """

    code: int
    lines: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Reply({self.code})"

    @property
    def positive(self) -> bool:
        """2xx."""
        return 200 <= self.code < 300

    @property
    def transient(self) -> bool:
        """4xx: may work later."""
        return 400 <= self.code < 500


class ReplyReader:
    """Octets in, replies out; at most MAX_REPLY octets are ever held."""

    __slots__ = ("_buffer", "_code", "_held", "_known", "_lines", "garbage")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []
        self._code = b""
        self._held = 0
        self._known: dict[bytes, Reply] = {}
        self.garbage: str | None = None
        """Why nothing more can be read, once that is so; it quotes nothing of what came."""

    @property
    def unfinished(self) -> bool:
        """True when part of a reply has come, and not its end."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that ``data`` completes, and set ``garbage`` at what is none.

        What comes before the garbage counts: a message that was accepted stays accepted, whatever follows.
        """
        replies: list[Reply] = []
        if self.garbage is not None:
            return replies
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        known = self._known
        try:
            for line in lines:
                reply = known.get(line)
                if reply is None or self._lines:
                    reply = self._line(line.removesuffix(b"\r"))
                    if reply is None:
                        continue
                    if len(line) <= _KNOWN_LINE and len(reply.lines) == 1:
                        # The oldest make room, for a server numbers its answers to messages.
                        if len(known) >= _KNOWN:
                            del known[next(iter(known))]
                        known[line] = reply
                replies.append(reply)
            if len(self._buffer) > MAX_LINE:
                raise Garbage("a line of the reply has no end")
        except Garbage as exc:
            self.garbage = str(exc)
            self._buffer = b""
            self._lines.clear()
        return replies

    def _line(self, line: bytes) -> Reply | None:
        self._held += len(line) + 2
        if len(line) > MAX_LINE or self._held > MAX_REPLY:
            raise Garbage("the reply has no end")
        match = _LINE.fullmatch(line)
        if match is None:
            raise Garbage("the answer is not an SMTP reply")
        code, more, text = match.groups()
        if self._lines and code != self._code:
            raise Garbage("the lines of one reply carry different codes")
        self._code = code
        self._lines.append(text or b"")
        if more == b"-":
            return None
        reply = Reply(int(code), tuple(self._lines))
        self._lines = []
        self._held = 0
        return reply
