"""Bodies of answers: JSON, text or bytes by content type, bounded, without our own credential in them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import NoReturn

from runner.errors import HttpError
from runner.net.http import HttpReply
from runner.redact import MASK, MIN_LENGTH, forms

_DEPTH = 64
_CONTAINERS = 1_000_000
_BRACKETS_CHECKED = _DEPTH
_THREAD_FROM = 256 * 1024
_MASK = MASK.encode()
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9_-]{1,40})", re.ASCII)
# Only codecs of plain text: some of Python's others (idna, unicode_escape, utf_7) are slow or surprising.
_TEXT_CODEC = re.compile(
    r"(us-?)?ascii|utf-?8|utf-?16([lb]e)?|utf-?16-[lb]e|iso-?8859-\d{1,2}|latin-?1|windows-125\d|cp125\d|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gb2312|gbk|gb18030|big5|iso-2022-jp|tis-620|macintosh",
    re.ASCII | re.IGNORECASE,
)
_TEXT_TYPES = frozenset(
    {
        "application/javascript",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/yaml",
    }
)


async def read_answer(reply: HttpReply, kind: str, place: str, secret: str | None) -> dict[str, object]:
    """``status``, ``headers`` and ``body`` of ``reply``, the body as ``kind``: auto, json, text or bytes.

    ``auto`` reads JSON (also ``+json``) and text by content type, keeps bytes otherwise, and gives None for
    an empty body. ``secret`` is the header value we sent: where the server echoes it, ``***`` stands. Raises
    HttpError for JSON that is broken, deeper than 64 levels or made of over a million containers; ``place``
    names the request.
    """
    needles = _needles(secret)
    body = reply.body
    for needle in needles:
        body = body.replace(needle, _MASK)
    headers = {name: _masked(value, needles) for name, value in reply.headers.items()}
    media_type = headers.get("content-type", "")
    return {"status": reply.status, "headers": headers, "body": await _read(body, media_type, kind, place)}


async def _read(body: bytes, content_type: str, kind: str, place: str) -> object:
    media_type = content_type.partition(";")[0].strip().lower()
    if kind == "auto":
        if not body:
            return None
        kind = _kind_of(media_type)
    if kind == "bytes":
        return body
    if kind == "text":
        return body.decode(_codec(content_type), "replace")
    try:
        if len(body) > _THREAD_FROM:
            return await asyncio.to_thread(_parse_json, body)
        return _parse_json(body)
    except (ValueError, RecursionError) as exc:
        told = f", its content type is {media_type[:80]}" if media_type.isprintable() and media_type else ""
        raise HttpError(
            f"{place} did not answer in JSON that can be read{told}",
            hint="set response: text to see it as it is",
        ) from exc


def _kind_of(media_type: str) -> str:
    if media_type == "application/json" or media_type.endswith("+json"):
        return "json"
    if media_type.startswith("text/") or media_type.endswith("+xml") or media_type in _TEXT_TYPES:
        return "text"
    return "bytes"


def _codec(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found[1] if found is not None and _TEXT_CODEC.fullmatch(found[1]) else "utf-8"


def _parse_json(body: bytes) -> object:
    """JSON of RFC 8259 and no more (no NaN); raises ValueError or RecursionError."""
    brackets = body.count(b"[") + body.count(b"{")
    # "[],[],…" grows twentyfold in memory: 10 MB of it would be 200.
    if brackets > _CONTAINERS:
        raise ValueError("too many containers")
    text = body.decode(json.detect_encoding(body))
    value = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_constant)
    if brackets > _BRACKETS_CHECKED:
        _check_depth(value)
    if "\\ud" in text or "\\uD" in text:
        # Half a surrogate pair would break whoever writes the value out as UTF-8 later.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_DEPTH):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return
    raise ValueError("nested too deep")


def _children(parent: object) -> list[object]:
    if isinstance(parent, Mapping):
        return list(parent.values())
    return parent if isinstance(parent, list) else []


def _needles(secret: str | None) -> list[bytes]:
    """The ways in which a server that shows us our own request may write the credential."""
    if secret is None:
        return []
    scheme, _, token = secret.partition(" ")
    found = {secret, token} if token else {secret}
    if scheme.lower() == "basic":
        try:
            login = base64.b64decode(token, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            login = ""
        found |= {login, login.partition(":")[2]}
    written = {form for text in found if len(text) >= MIN_LENGTH for form in forms(text)}
    written |= {form.replace("/", "\\/") for form in written}  # as PHP writes JSON
    long_enough = [form.encode() for form in written if len(form) >= MIN_LENGTH]
    return sorted(long_enough, key=len, reverse=True)


def _masked(text: str, needles: list[bytes]) -> str:
    raw = text.encode("latin-1", "replace")
    for needle in needles:
        raw = raw.replace(needle, _MASK)
    return raw.decode("latin-1")
