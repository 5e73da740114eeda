"""One HTTP request before it is sent: what may be asked for, its headers, and what a redirect makes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from runner.errors import HttpError
from runner.net.coding import ACCEPTED
from runner.net.header import across_origins, check_headers, without_content
from runner.net.url import Params, Url, parse_url

_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII)
_NEVER = ("CONNECT", "TRACE")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; its text in messages is method and URL as they may be shown."""

    method: str
    url: Url
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.url.shown}"


def make_request(
    method: str, url: str, headers: Mapping[str, str], params: Params, content: bytes | None
) -> Request:
    """The request; HttpError, HeaderError or ReservedHeaderError for one that cannot be meant."""
    if not _METHOD.fullmatch(method) or method in _NEVER:
        raise HttpError("the method is not one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    try:
        return Request(method, parse_url(url, params), check_headers(headers), content)
    except ValueError as exc:
        raise HttpError(str(exc)) from exc


def complete(request: Request) -> dict[str, str]:
    """The headers as they leave: the request's own, and those that every request has."""
    headers = {"host": request.url.authority, "accept": "*/*", "user-agent": "flowpost"}
    headers.update(request.headers)
    headers.setdefault("accept-encoding", ACCEPTED)
    if request.content is not None or request.method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = str(len(request.content or b""))
    headers["connection"] = "close"
    return headers


def redirected(request: Request, status: int, location: str) -> Request:
    """The next request (RFC 9110 section 15.4), without what must not leave the origin."""
    try:
        url = request.url.join(location)
    except ValueError as exc:
        raise HttpError(f"{request} redirects to where nobody can go: {exc}") from exc
    if request.url.scheme == "https" and url.scheme == "http":
        raise HttpError(f"{request} redirects from https to http, which is refused")
    following = replace(request, url=url)
    if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
        following = replace(following, method="GET", content=None, headers=without_content(request.headers))
    if url.origin != request.url.origin:
        following = replace(following, headers=across_origins(following.headers))
    return following
