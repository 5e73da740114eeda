"""``http``: call an HTTP service, through the outbound guard, and read its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from runner.credential import HttpCredential
from runner.errors import FlowpostError, HttpError, ReservedHeaderError
from runner.net.answer import read_answer
from runner.net.body import Pair, form_body, json_body, pairs_of, plain_body, text_of
from runner.net.fetch import TRANSIENT_STATUSES
from runner.net.header import FOLLOWS_ANYWHERE, check_headers
from runner.net.url import parse_url
from runner.nodes.base import (
    Context,
    NodeType,
    NotRehearsed,
    Problem,
    References,
    credential_reference,
    is_literal,
)
from runner.units import duration

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
RESPONSES = ("auto", "json", "text", "bytes")
MAX_REDIRECTS = 10
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_CAP = 10 * 10**6
_BODIES = ("json", "form", "body")
_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "body": "text/plain; charset=utf-8",
}
_HINTS = {
    401: "check the credential",
    403: "check the credential, and what it may do",
    404: "check the url",
    429: "the server asks for fewer requests",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(NodeType):
    """One request. The output has ``status``, ``headers`` (names in lower case) and ``body``.

    At most one of ``json``, ``form`` and ``body`` is there, ready to send. Answers are capped at 10 MB;
    ``timeout`` is seconds for everything, redirects included; ``expect`` holds status codes and classes
    (``404``, ``2xx``).
    """

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: tuple[Pair, ...] = field(default=(), repr=False)
    json: bytes | None = field(default=None, repr=False)
    form: bytes | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    credential: str | None = None
    timeout: float = 30.0
    response: str = "auto"
    expect: tuple[str, ...] = ("2xx",)
    redirects: int = 0

    @classmethod
    def parse(cls, params: Mapping[str, object]) -> Self:
        """Make the request from rendered parameters; raises HttpError, HeaderError, ReservedHeaderError."""
        given = [name for name in _BODIES if name in params]
        if len(given) > 1:
            raise HttpError(f"{' and '.join(given)} are given together, and a request has one body")
        url = params.get("url")
        if not isinstance(url, str):
            raise HttpError("the url is not text")
        headers = check_headers(dict(pairs_of("headers", params.get("headers", {}))))
        if given:
            raw = isinstance(params.get("body"), bytes)
            headers.setdefault("content-type", "application/octet-stream" if raw else _TYPES[given[0]])
        credential = params.get("credential")
        return cls(
            url=url,
            method=_choice("method", params.get("method", "GET"), METHODS),
            headers=headers,
            query=pairs_of("query", params.get("query", {})),
            json=json_body(params["json"]) if "json" in params else None,
            form=form_body(params["form"]) if "form" in params else None,
            body=plain_body(params["body"]) if "body" in params else None,
            credential=None if credential is None else str(credential),
            timeout=_seconds(params.get("timeout", "30s")),
            response=_choice("response", params.get("response", "auto"), RESPONSES),
            expect=_expected(params.get("expect", "2xx")),
            redirects=_count(params.get("redirects", 0)),
        )

    async def run(self, ctx: Context) -> object:
        """Make the request once; raises HttpError for an answer that is not expected or cannot be read.

        A rehearsal makes only requests that change nothing (RFC 9110 section 9.2.1).
        """
        if ctx.rehearsal and self.method not in _SAFE_METHODS:
            raise NotRehearsed
        login = await ctx.credentials.http(self.credential) if self.credential is not None else None
        reply = await ctx.http.request(
            self.method,
            self.url,
            headers=self._with_login(login),
            params=self.query,
            content=next((data for data in (self.json, self.form, self.body) if data is not None), None),
            timeout=self.timeout,
            max_bytes=_CAP,
            redirects=self.redirects,
        )
        place = f"{self.method} {parse_url(self.url).shown}"
        if not any(_matches(reply.status, expected) for expected in self.expect):
            raise HttpError(
                f"{place} answered {reply.status}",
                hint=_hint(reply.status),
                transient=reply.status in TRANSIENT_STATUSES,
            )
        empty = not reply.body and (self.method == "HEAD" or reply.status in (204, 205, 304))
        return await read_answer(
            reply,
            "auto" if empty else self.response,
            place,
            None if login is None else login.value.reveal(),
        )

    @classmethod
    def check(cls, params: Mapping[str, object]) -> Iterable[Problem]:
        """Find a URL or a header that can never work; the schema sees to the rest."""
        url = params.get("url")
        if isinstance(url, str):
            try:
                parse_url(url)
            except ValueError as exc:
                yield Problem(("url",), HttpError(str(exc)))
        headers = params.get("headers")
        for name, value in headers.items() if isinstance(headers, Mapping) else ():
            try:
                check_headers({str(name): text_of("headers", value) if is_literal(value) else ""})
            except FlowpostError as exc:
                yield Problem(("headers", name), exc)

    @classmethod
    def references(cls, params: Mapping[str, object]) -> References:
        """The credential of type http, and the URL when it is written out."""
        url = params.get("url")
        return References(
            credentials=tuple(credential_reference(params, "http")),
            urls=((url, ("url",)),) if isinstance(url, str) else (),
        )

    def _with_login(self, login: HttpCredential | None) -> dict[str, str]:
        """The headers with the credential's as the last one, which no parameter can replace."""
        headers = dict(self.headers)
        if self.response == "json":
            headers.setdefault("accept", "application/json")
        if login is None:
            return headers
        name = login.header.lower()
        if name in FOLLOWS_ANYWHERE:
            # These follow a redirect to any origin, and a credential must not.
            raise ReservedHeaderError(
                f'Reserved header is not allowed: credential "{login.name}" sets "{login.header}"',
                hint="a credential needs a header of its own, like Authorization",
            )
        return {**headers, name: login.value.reveal()}


def _choice(what: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise HttpError(f"the {what} is not one of {', '.join(allowed)}")
    return value


def _seconds(value: object) -> float:
    try:
        seconds = duration(str(value))
    except ValueError as exc:
        raise HttpError(f"the timeout {exc}") from exc
    if seconds <= 0:
        raise HttpError("the timeout is not longer than nothing")
    return seconds


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_REDIRECTS:
        raise HttpError(f"redirects is not a number from 0 to {MAX_REDIRECTS}")
    return value


def _expected(value: object) -> tuple[str, ...]:
    """``2xx``, ``404``, ``"2xx, 404"`` and lists of these, as codes and classes."""
    items = value if isinstance(value, list | tuple) else [value]
    found = tuple(part.strip().lower() for item in items for part in str(item).split(","))
    if not found or not all(_is_expectation(part) for part in found):
        raise HttpError(
            "expect is not a status code or class, or a list of these", hint="like 200, 2xx or [200, 404]"
        )
    return found


def _is_expectation(part: str) -> bool:
    return len(part) == 3 and part[0] in "12345" and (part[1:] == "xx" or (part.isascii() and part.isdigit()))


def _matches(status: int, expected: str) -> bool:
    return str(status) == expected or (expected.endswith("xx") and str(status)[0] == expected[0])


def _hint(status: int) -> str | None:
    if 300 <= status < 400:
        return "redirects are followed only when the node says redirects: N"
    if status in TRANSIENT_STATUSES:
        return _HINTS.get(status, "retry: {attempts: 3} tries again later")
    return _HINTS.get(status, "expect lists the status codes that are fine")


NODE = Http
