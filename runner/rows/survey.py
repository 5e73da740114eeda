"""The first look at a file's octets, all of them: their digest, and whether they are UTF-8 text at all.

It is taken before the first row is handed out, so that no mail leaves for a file whose end cannot be read.
"""

from __future__ import annotations

import codecs
import hashlib

from runner.errors import UsageError
from runner.rows.limits import MAX_ROW

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_OTHERS = {
    b"PK\x03\x04": ("an Excel workbook or another zip archive", "save the sheet as CSV UTF-8"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV UTF-8"),
    b"%PDF": ("a PDF", "export the table as CSV UTF-8"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it, or compress it with gzip"),
    b"\xfd7zX": ("compressed with xz", "unpack it, or compress it with gzip"),
    b"BZh": ("compressed with bzip2", "unpack it, or compress it with gzip"),
}


class NotText(Exception):
    """What stands at ``offset`` cannot be read: ``what``. ``octet``: it is that octet's fault."""

    def __init__(self, offset: int, what: str, hint: str, *, octet: bool = True) -> None:
        super().__init__(what)
        self.offset = offset
        self.octet = octet
        self.what = what
        self.hint = hint


class Survey:
    """Takes a file's octets piece by piece; the first piece holds at least four octets if the file does."""

    def __init__(self, name: str, *, lines: bool | None = None) -> None:
        """``lines``: every row begins on a line of its own, so that no line is longer than a row may be.

        None: that is told from the first octet, as an array begins with ``[``.
        """
        self.name = name
        self._lines = lines
        self._unended = 0
        self._hash = hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pending = 0
        self.size = 0

    @property
    def digest(self) -> str:
        """SHA-256 of all octets so far, in hexadecimal."""
        return self._hash.hexdigest()

    def feed(self, piece: bytes) -> None:
        """The next octets. Raises UsageError for another kind of file, NotText for what is no UTF-8 text."""
        if self.size == 0:
            _check_kind(self.name, piece)
            if self._lines is None:
                self._lines = piece.removeprefix(codecs.BOM_UTF8).lstrip()[:1] not in (b"[", b"")
        self._hash.update(piece)
        if (at := piece.find(b"\0")) >= 0:
            wide = piece[:200].count(0) * 4 >= len(piece[:200])
            hint = (
                "it looks like UTF-16: " + _convert("UTF-16LE")
                if wide
                else "is it a text file? save it as UTF-8"
            )
            raise NotText(self.size + at, "is NUL, which no row may hold", hint)
        if self._pending or not piece.isascii():
            self._decode(piece, False)
        self.size += len(piece)
        if self._lines:
            self._measure(piece)

    def finish(self) -> None:
        """No more octets. Raises NotText when they end inside a character, UsageError when there are none."""
        self._decode(b"", True)
        if self.size == 0:
            raise UsageError(
                f"{self.name} is empty",
                hint="expected CSV with a header, NDJSON, or a JSON array of objects",
            )

    def _measure(self, piece: bytes) -> None:
        ended = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        self._unended = len(piece) - ended + (0 if ended else self._unended)
        if self._unended > MAX_ROW:
            what = f"the line is longer than a row may be (1 MiB, {MAX_ROW:,} octets)"
            hint = "is it the right file? CSV and NDJSON have one row a line"
            raise NotText(self.size - self._unended, what, hint, octet=False)

    def _decode(self, piece: bytes, final: bool) -> None:
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            raise NotText(
                self.size - self._pending + error.start,
                "is not UTF-8" if not final else "begins a character of UTF-8 that the file's end cuts off",
                "save the file as UTF-8; if it is from Windows (Latin-1): " + _convert("WINDOWS-1252"),
            ) from None
        self._pending = len(self._decoder.getstate()[0])


def _convert(encoding: str) -> str:
    return f"iconv -f {encoding} -t UTF-8 OLD > NEW"


def _check_kind(name: str, head: bytes) -> None:
    if head.startswith(_UTF32):
        raise UsageError(f"{name} is UTF-32, expected UTF-8", hint="convert it: " + _convert("UTF-32"))
    if head.startswith(_UTF16):
        raise UsageError(f"{name} is UTF-16, expected UTF-8", hint="convert it: " + _convert("UTF-16"))
    for magic, (kind, hint) in _OTHERS.items():
        if head.startswith(magic):
            raise UsageError(f"{name} is {kind}, expected CSV, NDJSON or JSON", hint=hint)
