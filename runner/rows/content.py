"""The octets of a source: a file as it lies, or what a stream gave, kept until the end; read at any place."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from runner.errors import UsageError
from runner.rows.block import broken
from runner.rows.limits import MAX_SPOOL
from runner.rows.survey import NotText, Survey

_PIECE = 256 * 1024
_GZIP = b"\x1f\x8b"


class _Identity(NamedTuple):
    """A file as it was when it was opened."""

    stat: tuple[int, int, int, int]
    digest: str


class Content:
    """The octets, checked to be UTF-8 without NUL. Any thread may read."""

    def __init__(
        self, name: str, file: BinaryIO, survey: Survey, path: Path | None, identity: _Identity | None
    ) -> None:
        self.name = name
        self.size = survey.size
        self.digest = survey.digest
        self._file = file
        self._path = path
        self._identity = identity
        self._lock = threading.Lock()

    def read(self, offset: int, octets: int) -> bytes:
        """``octets`` from ``offset``, fewer at the end. UsageError when the file cannot be read or became shorter."""
        with self._lock:
            # Under the lock: behind a close, the descriptor's number may be another file's.
            try:
                data = _pread(self._file.fileno(), offset, octets)
            except OSError as error:
                raise _unreadable(self.name, error) from error
        if len(data) < min(octets, self.size - offset):
            raise UsageError(
                f"{self.name} became shorter while it was read",
                hint="leave the file alone while the batch runs",
            )
        return data[: self.size - offset]

    def changed(self) -> bool:
        """Whether the file at the path is another than the one opened. A stream never is."""
        if self._path is None or self._identity is None:
            return False
        try:
            with self._path.open("rb") as file:
                if _facts(os.fstat(file.fileno())) == self._identity.stat:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() != self._identity.digest
        except OSError:
            return True

    def close(self) -> None:
        """Give the file back; what was kept of a stream is gone."""
        with self._lock:
            self._file.close()


def open_content(
    source: str | Path, stdin: BinaryIO | None, spool: Path | None, *, lines: bool | None = None
) -> Content:
    """The octets of a path, or of ``stdin`` for ``-``; gzip is unpacked. ``lines`` as in ``Survey``. Raises UsageError.

    Streams, and what was unpacked, are kept in a file without a name in ``spool`` (else the system's folder for
    temporary files): nobody else can open it, and nothing is left behind even by a kill.
    """
    if str(source) == "-":
        return _keep(Survey("standard input", lines=lines), stdin or sys.stdin.buffer, spool, None)
    path = Path(source)
    name = str(source)
    try:
        file = path.open("rb", buffering=0)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error
    survey = Survey(name, lines=lines)
    try:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            with file:
                return _keep(survey, file, spool, None)
        if _pread(file.fileno(), 0, 2) == _GZIP:
            with file:
                return _keep(survey, file, spool, path)
        _look(survey, file, iter(lambda: file.read(_PIECE), b""))
        return Content(name, file, survey, path, _Identity(_facts(facts), survey.digest))
    except OSError as error:
        file.close()
        raise _unreadable(name, error) from error
    except BaseException:
        file.close()
        raise


def _keep(survey: Survey, stream: BinaryIO, spool: Path | None, path: Path | None) -> Content:
    from tempfile import TemporaryFile

    name = survey.name
    raw = hashlib.sha256()
    facts = _facts(os.fstat(stream.fileno())) if path is not None else None
    try:
        kept: BinaryIO = TemporaryFile(dir=spool, prefix="rows-", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _no_room(name, spool, error) from error
    try:
        _look(survey, kept, _written(name, _pieces(name, stream, raw), kept, spool))
    except BaseException:
        kept.close()
        raise
    identity = None if facts is None else _Identity(facts, raw.hexdigest())
    return Content(name, kept, survey, path, identity)


def _look(survey: Survey, file: BinaryIO, pieces: Iterator[bytes]) -> None:
    """Survey all pieces; whatever cannot be text is told with its place in ``file``, which holds them."""
    try:
        for piece in pieces:
            survey.feed(piece)
        survey.finish()
    except NotText as error:
        what = error.what
        if error.octet:
            octet = _pread(file.fileno(), error.offset, 1).hex()
            what = f"the octet 0x{octet} at offset {error.offset:,} {what}"
        raise broken(survey.name, _line_at(file.fileno(), error.offset), what, error.hint) from None


def _written(name: str, pieces: Iterator[bytes], kept: BinaryIO, spool: Path | None) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_SPOOL:
            raise UsageError(
                f"{name} holds more than {MAX_SPOOL // 1024**3} GiB",
                hint="unpack it to a file and give its path, or send it in parts",
            )
        try:
            rest = memoryview(piece)
            while rest:
                rest = rest[kept.write(rest) :]
        except OSError as error:
            raise _no_room(name, spool, error) from error
        yield piece


def _pieces(name: str, stream: BinaryIO, raw: hashlib._Hash) -> Iterator[bytes]:
    """What the stream gives, unpacked if it is gzip."""
    import zlib

    pieces = iter(lambda: _read(name, stream), b"")
    first = next(pieces, b"")
    # A pipe gives what it has: the kind is told from four octets.
    while len(first) < 4 and (more := next(pieces, b"")):
        first += more
    unpack = zlib.decompressobj(wbits=31) if first.startswith(_GZIP) else None
    piece = first
    while piece:
        raw.update(piece)
        if unpack is None:
            yield piece
        else:
            unpacked = b""
            # A piece that is used up may have filled the output to the brim, with more to come.
            while piece or len(unpacked) == _PIECE:
                try:
                    unpacked = unpack.decompress(piece, _PIECE)
                except zlib.error as error:
                    raise UsageError(
                        f"{name} is damaged: it is not gzip throughout", hint="pack it again"
                    ) from error
                if unpacked:
                    yield unpacked
                piece = unpack.unconsumed_tail
                if unpack.eof:
                    # RFC 1952, 2.2: members follow each other; zeros pad.
                    piece = unpack.unused_data.lstrip(b"\0")
                    unpack = zlib.decompressobj(wbits=31) if piece else unpack
        piece = next(pieces, b"")
    if unpack is not None and not unpack.eof:
        raise UsageError(f"{name} ends in the middle of its gzip data", hint="is the file complete?")


def _read(name: str, stream: BinaryIO) -> bytes:
    try:
        data: bytes | None = stream.read(_PIECE)
    except OSError as error:
        raise _unreadable(name, error) from error
    if data is None:
        # Its descriptor does not block, and somebody is still writing: that is no end.
        raise UsageError(
            f"{name} does not wait for its data", hint="write the rows to a file and give its path"
        )
    return data


def _pread(descriptor: int, offset: int, octets: int) -> bytes:
    data = os.pread(descriptor, octets, offset)
    while 0 < len(data) < octets and (more := os.pread(descriptor, octets - len(data), offset + len(data))):
        data += more
    return data


def _line_at(descriptor: int, offset: int) -> int:
    feeds = returns = at = 0
    while at < offset and (piece := _pread(descriptor, at, min(_PIECE, offset - at))):
        feeds += piece.count(b"\n")
        returns += piece.count(b"\r")
        at += len(piece)
    return 1 + (feeds or returns)


def _facts(facts: os.stat_result) -> tuple[int, int, int, int]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _unreadable(name: str, error: Exception) -> UsageError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return UsageError(
        f"cannot read {name}: {reason.lower()}", hint="give the path of a CSV, NDJSON or JSON file, or -"
    )


def _no_room(name: str, spool: Path | None, error: OSError) -> UsageError:
    from tempfile import gettempdir

    reason = (error.strerror or str(error)).lower()
    return UsageError(
        f"cannot keep {name} in {spool or gettempdir()}: {reason}",
        hint="it is kept there while the batch runs: make room, or give the path of a file",
    )
