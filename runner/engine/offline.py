"""What a rehearsal has in place of the world: answers that nobody has yet, attachments that are not fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from runner.credential import HttpCredential, SmtpCredential
from runner.errors import AttachmentError, FlowpostError
from runner.net.http import HttpClient, HttpReply
from runner.net.url import Params, parse_url
from runner.nodes.base import Credentials, NotRehearsed

STAND_IN = b"fetched when the message is sent\r\n"
"""The octets of an attachment that is not fetched in a rehearsal."""


class Later(Mapping[str, Any]):
    """An answer that nobody has yet: whatever a template does with it is noted, and ends the rendering."""

    def __init__(self, node: str, touched: list[str]) -> None:
        self._node = node
        self._touched = touched

    def _touch(self) -> NoReturn:
        self._touched.append(self._node)
        raise LookupError(f'the answer of "{self._node}" is not known yet')

    def __getitem__(self, key: str) -> NoReturn:
        self._touch()

    def __contains__(self, key: object) -> NoReturn:
        self._touch()

    def __iter__(self) -> Iterator[str]:
        self._touch()

    def __len__(self) -> int:
        self._touch()

    def __eq__(self, other: object) -> bool:
        self._touch()

    __hash__ = None  # type: ignore[assignment]


class Offline(HttpClient):
    """A client that makes no request."""

    def __init__(self) -> None:
        pass

    async def request(self, *given: Any, **named: Any) -> HttpReply:
        """Refuse."""
        raise NotRehearsed


class StandIns(HttpClient):
    """A client that answers every attachment with a stand-in of its kind."""

    def __init__(self) -> None:
        pass

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params = (),
        content: bytes | None = None,
        timeout: float,  # noqa: ASYNC109
        max_bytes: int,
        redirects: int = 0,
    ) -> HttpReply:
        """Answer at once; AttachmentError for what is no URL."""
        from mimetypes import guess_type

        try:
            path = parse_url(url, params).path
        except ValueError as error:
            raise AttachmentError(str(error)) from error
        kind = guess_type(path)[0] or "application/octet-stream"
        return HttpReply(200, {"content-type": kind}, STAND_IN, url)


class Once:
    """Looks each credential up once: a rehearsal of many rows must not read its file for each."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._known: dict[str, SmtpCredential | FlowpostError] = {}

    async def smtp(self, name: str) -> SmtpCredential:
        """The SMTP credential of that name; what was wrong with it stays wrong."""
        known = self._known.get(name)
        if known is None:
            try:
                known = await self._credentials.smtp(name)
            except FlowpostError as error:
                known = error
            self._known[name] = known
        if isinstance(known, FlowpostError):
            raise known.with_traceback(None)
        return known

    async def http(self, name: str) -> HttpCredential:
        """None is needed where no request is made, so nothing is decrypted."""
        raise NotRehearsed
