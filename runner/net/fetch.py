"""Attachments from a URL: no redirects, 2xx only, capped while they stream (SPEC section 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from runner.errors import AttachmentError, BlockedError, FlowpostError
from runner.net.http import HttpClient
from runner.net.url import parse_url

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.ASCII)
_EXTENDED = re.compile(r";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.ASCII | re.IGNORECASE)
_QUOTED = re.compile(r';\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.ASCII | re.IGNORECASE)
_BARE = re.compile(r";\s*filename\s*=\s*([^;\s\"]+)", re.ASCII | re.IGNORECASE)
_NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched. ``content_type`` has no parameters; ``filename`` has no folders in it."""

    data: bytes = field(repr=False)
    content_type: str
    filename: str | None


async def fetch_attachment(
    client: HttpClient,
    url: str,
    max_bytes: int,
    timeout: float,  # noqa: ASYNC109
) -> Fetched:
    """Fetch ``url``, at most ``max_bytes`` decoded bytes in ``timeout`` seconds.

    Raises BlockedError when the guard refuses, AttachmentError for everything else that goes wrong, transient
    when trying again can help.
    """
    try:
        reply = await client.request("GET", url, timeout=timeout, max_bytes=max_bytes)
    except BlockedError:
        raise
    except FlowpostError as exc:
        raise AttachmentError(
            f"cannot fetch the attachment: {exc.message}", hint=exc.hint, transient=exc.transient
        ) from exc
    place = parse_url(reply.url)
    if not 200 <= reply.status < 300:
        told = ", and redirects are not followed" if 300 <= reply.status < 400 else ""
        raise AttachmentError(
            f"cannot fetch the attachment: {place.shown} answered {reply.status}{told}",
            hint="check the URL, or attach the file itself",
            transient=reply.status in TRANSIENT_STATUSES,
        )
    return Fetched(reply.body, _content_type(reply.headers), _filename(reply.headers, place.path))


def _content_type(headers: Mapping[str, str]) -> str:
    found = headers.get("content-type", "").partition(";")[0].strip().lower()
    return found if _MEDIA_TYPE.fullmatch(found) else "application/octet-stream"


def _filename(headers: Mapping[str, str], path: str) -> str | None:
    """The name that the server gives (RFC 6266), or the last part of the path."""
    given = ";" + headers.get("content-disposition", "")[:2000].partition(";")[2]
    if extended := _EXTENDED.search(given):
        return _safe(unquote(extended[1]))
    if quoted := _QUOTED.search(given):
        return _safe(re.sub(r"\\(.)", r"\1", quoted[1]))
    if bare := _BARE.search(given):
        return _safe(bare[1])
    return _safe(unquote(path.rpartition("/")[2]))


def _safe(name: str) -> str | None:
    """The last part of a name, printable: a server must not choose folders or break a header."""
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(char for char in last if char.isprintable()).strip(" .")
    return printable[:_NAME_LIMIT] or None
