"""Content codings, undone in bounded pieces, so that a small answer cannot become a large one in memory.

Only what Python brings: gzip and deflate (RFC 9110 section 8.4.1). One coding, not a chain: between two
stages a bomb could grow where nobody counts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PIECE = 64 * 1024
_MEMBERS = 1024
ACCEPTED = "gzip, deflate"


class Inflater:
    """Undoes one coding: ``gzip``, ``x-gzip``, ``deflate`` (zlib or raw), or ``identity``.

    Raises ValueError for any other coding, and for data that is damaged or ends early.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower().removeprefix("x-") or "identity"
        if self._coding not in ("gzip", "deflate", "identity"):
            raise ValueError("its content encoding was not asked for")
        self._stream: zlib._Decompress | None = None
        self._begun = False
        self._over = False
        self._members = 0

    @property
    def plain(self) -> bool:
        """Whether there is nothing to undo."""
        return self._coding == "identity"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` holds, in pieces of at most 64 KiB; the caller stops when it has enough."""
        if self.plain:
            yield data
            return
        self._begun = self._begun or bool(data)
        while data and not self._over:
            if self._stream is None:
                self._stream = self._open(data)
                if self._stream is None:
                    self._over = True  # padding behind the last gzip member is common, and means nothing
                    return
            stream = self._stream
            try:
                piece = stream.decompress(data, _PIECE)
                while len(piece) == _PIECE:
                    yield piece
                    piece = stream.decompress(stream.unconsumed_tail, _PIECE)
            except zlib.error as exc:
                raise ValueError("its compressed body is damaged") from exc
            if piece:
                yield piece
            data = stream.unused_data if stream.eof else stream.unconsumed_tail
            if stream.eof:
                self._close()

    def finish(self) -> None:
        """Say that no more data comes; ValueError when something is missing."""
        if self._begun and self._stream is not None:
            raise ValueError("its compressed body ends early")

    def _open(self, data: bytes) -> zlib._Decompress | None:
        if self._coding == "gzip":
            if self._members and data[0] != 0x1F:
                return None
            return zlib.decompressobj(wbits=31)
        # Servers send raw deflate under this name as often as the zlib format that the RFC means.
        zlib_format = data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] * 256 + data[1]) % 31 == 0)
        return zlib.decompressobj(wbits=15 if zlib_format else -15)

    def _close(self) -> None:
        self._stream = None
        self._members += 1
        self._over = self._coding == "deflate"
        # Each member costs a copy of what follows it: a thousand empty ones a packet would stop the loop.
        if self._members > _MEMBERS:
            raise ValueError("its compressed body is in too many parts")
