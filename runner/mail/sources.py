"""Where an attachment's octets come from: ``url``, ``base64``, ``content`` or ``file``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from runner.errors import AttachmentError, LimitError
from runner.mail.attach import clean_filename, decode_base64, encode_text, guess_content_type
from runner.mail.limits import MAX_ATTACHMENTS_BYTES
from runner.mail.paths import SECRETS, file_path, resolve_inside
from runner.model import Attachment

KINDS = ("url", "base64", "content", "file")


class Source(NamedTuple):
    """One attachment before its octets are at hand. ``value`` is a URL, base64 text, content or a path."""

    kind: str
    value: object
    filename: str | None = None
    content_type: str | None = None
    cid: str | None = None


Fetch = Callable[[str, int], Awaitable[tuple[bytes, str, str | None]]]
"""``(url, max_bytes)`` to ``(octets, content type, file name)``; raises AttachmentError or BlockedError."""


def read_sources(value: object) -> tuple[Source, ...]:
    """Read the ``attachments`` parameter; raises AttachmentError naming the attachment by its number."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise AttachmentError("attachments need a list")
    return tuple(_read_source(item, number) for number, item in enumerate(value, 1))


async def load(
    sources: tuple[Source, ...], root: Path, fetch: Fetch, secrets: str = SECRETS
) -> tuple[Attachment, ...]:
    """Load every source, within 25 MB in all; raises AttachmentError, BlockedError or LimitError.

    ``secrets`` is the folder below ``root`` of which nothing is mailed.
    """
    loaded: list[Attachment] = []
    room = MAX_ATTACHMENTS_BYTES
    for source in sources:
        attachment = await _load(source, root, fetch, room, secrets)
        room = _left(room, attachment)
        loaded.append(attachment)
    return tuple(loaded)


def load_here(sources: tuple[Source, ...], root: Path, secrets: str = SECRETS) -> tuple[Attachment, ...]:
    """As ``load``, without leaving the caller's thread; ValueError for a ``url``, which has to be fetched."""
    loaded: list[Attachment] = []
    room = MAX_ATTACHMENTS_BYTES
    for source in sources:
        if source.kind == "file":
            path = resolve_inside(root, _text(source), secrets)
            attachment = _attachment(source, _read_file(path, room), _name(source))
        else:
            attachment = _attachment(source, _given(source, room))
        room = _left(room, attachment)
        loaded.append(attachment)
    return tuple(loaded)


def check_sizes(root: Path, files: Iterable[str], secrets: str) -> None:
    """LimitError when the files of one message are together too large; raises as ``resolve_inside`` does."""
    if sum(resolve_inside(root, file, secrets).stat().st_size for file in files) > MAX_ATTACHMENTS_BYTES:
        raise _too_large()


async def _load(source: Source, root: Path, fetch: Fetch, room: int, secrets: str) -> Attachment:
    if source.kind == "url":
        data, fetched_type, fetched_name = await fetch(_text(source), room)
        return _attachment(source, data, fetched_name, fetched_type)
    if source.kind == "file":
        path = resolve_inside(root, _text(source), secrets)
        return _attachment(source, await asyncio.to_thread(_read_file, path, room), _name(source))
    return _attachment(source, _given(source, room))


def _name(source: Source) -> str:
    """A file's name as it was asked for: a link goes by its own."""
    return PurePath(_text(source)).name


def _given(source: Source, room: int) -> bytes | str:
    """The octets of ``base64``, or the octets or text of ``content``."""
    if source.kind == "base64":
        return decode_base64(_text(source), room)
    if source.kind == "content":
        return _content(source)
    raise ValueError(f"a {source.kind} is not at hand")


def _attachment(
    source: Source, data: bytes | str, filename: str | None = None, content_type: str | None = None
) -> Attachment:
    """The octets with what the flow says of them, else with what their place says."""
    name = clean_filename(source.filename or filename or "attachment")
    kind = source.content_type or content_type or guess_content_type(name)
    if isinstance(data, str):
        kind, data = encode_text(data, kind)
    return Attachment(name, kind, data, source.cid)


def _left(room: int, attachment: Attachment) -> int:
    if len(attachment.data) > room:
        raise _too_large()
    return room - len(attachment.data)


def _read_source(item: object, number: int) -> Source:
    if not isinstance(item, Mapping):
        raise AttachmentError(f"attachment {number} needs a mapping")
    kinds = [kind for kind in KINDS if item.get(kind) is not None]
    if len(kinds) != 1:
        raise AttachmentError(f"attachment {number} needs exactly one of {', '.join(KINDS)}")
    value = item[kinds[0]]
    return Source(
        kind=kinds[0],
        value=file_path(value) if kinds[0] == "file" else value,
        filename=_optional(item, "filename", number),
        content_type=_optional(item, "content_type", number),
        cid=_optional(item, "cid", number),
    )


def _optional(item: Mapping[str, object], key: str, number: int) -> str | None:
    value = item.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise AttachmentError(f"attachment {number}: {key} needs text")
    return value


def _text(source: Source) -> str:
    if isinstance(source.value, str):
        return source.value
    raise AttachmentError(f"attachment {source.kind} needs text")


def _content(source: Source) -> bytes | str:
    if isinstance(source.value, bytes | str):
        return source.value
    raise AttachmentError("attachment content needs text or bytes", hint="use << value | tojson >> for data")


def _read_file(path: Path, room: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(room + 1)
    if len(data) > room:
        raise _too_large()
    return data


def _too_large() -> LimitError:
    return LimitError(f"attachments pass {MAX_ATTACHMENTS_BYTES:,} bytes in all")
