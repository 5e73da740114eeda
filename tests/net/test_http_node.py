"""The http node: what it sends, what it makes of the answer, and what it never gives away."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from http_origin import Origin, answer

from runner.credential import HttpCredential, Secret, SmtpCredential
from runner.errors import FlowpostError, HttpError, ReservedHeaderError, SecretError
from runner.model import Envelope, Outcome, Settings
from runner.net.guard import Guard
from runner.net.http import HttpClient
from runner.nodes.base import Context, NotRehearsed
from runner.nodes.http import Http

TOKEN = "hunter2/hunter2+hunter2"
CREDENTIALS = {
    "bearer": ("Authorization", f"Bearer {TOKEN}"),
    "basic": ("Authorization", "Basic " + base64.b64encode(f"someone:{TOKEN}".encode()).decode()),
    "key": ("X-Api-Key", TOKEN),
    "accept": ("Accept", TOKEN),
    "broken": ("X-Key", f"{TOKEN}\r\nX-Evil: 1"),
}


class Known:
    """A store of credentials that holds what the tests need."""

    async def http(self, name: str) -> HttpCredential:
        if name not in CREDENTIALS:
            raise SecretError(f'no credential "{name}"')
        header, value = CREDENTIALS[name]
        return HttpCredential(workspace="w", name=name, header=header, value=Secret(value))

    async def smtp(self, name: str) -> SmtpCredential:
        raise NotImplementedError


class Nobody:
    """A sender that must not be used."""

    async def send(self, credential: SmtpCredential, envelope: Envelope, data: bytes) -> Outcome:
        raise NotImplementedError


@pytest.fixture
async def ctx() -> AsyncIterator[Context]:
    async with HttpClient(Guard(["127.0.0.0/8"])) as client:
        yield Context(
            key=("w", "run", "n"),
            node="n",
            started=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            root=Path(),
            settings=Settings(),
            credentials=Known(),
            http=client,
            sender=Nobody(),
        )


async def output(ctx: Context, params: Mapping[str, object]) -> dict[str, object]:
    found = await Http.parse(params).run(ctx)
    assert isinstance(found, dict)
    return found


async def error_of(ctx: Context, params: Mapping[str, object]) -> FlowpostError:
    with pytest.raises(FlowpostError) as caught:
        await Http.parse(params).run(ctx)
    return caught.value


# what is sent


async def test_a_node_with_a_url_alone_is_a_get(ctx: Context) -> None:
    async with Origin({"/c/1": answer(b'{"a": [1]}', content_type="application/json")}) as origin:
        found = await output(ctx, {"url": origin.url("/c/1")})

        assert found == {
            "status": 200,
            "headers": {"content-length": "10", "content-type": "application/json"},
            "body": {"a": [1]},
        }
        assert origin.requests[0].startswith(b"GET /c/1 HTTP/1.1\r\n")


async def test_the_query_is_added_with_lists_repeated_and_nulls_left_out(ctx: Context) -> None:
    async with Origin({"/": answer()}) as origin:
        await output(ctx, {"url": origin.url("/?z=0"), "query": {"a": 1, "b": ["x&", True], "c": None}})

        assert origin.requests[0].startswith(b"GET /?z=0&a=1&b=x%26&b=true HTTP/1.1\r\n")


BODIES = {
    "json": ({"json": {"a": "ä", "b": [1, None]}}, '{"a":"ä","b":[1,null]}', "application/json"),
    "null": ({"json": None}, "null", "application/json"),
    "form": ({"form": {"a": "ä b", "c": [1, 2]}}, "a=%C3%A4+b&c=1&c=2", "application/x-www-form-urlencoded"),
    "text": ({"body": "hällo"}, "hällo", "text/plain; charset=utf-8"),
    "bytes": ({"body": b"\x00\x01"}, "\x00\x01", "application/octet-stream"),
    "number": ({"body": 42}, "42", "text/plain; charset=utf-8"),
    "own type": ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, "<a/>", "text/xml"),
}


@pytest.mark.parametrize(("params", "sent", "content_type"), BODIES.values(), ids=BODIES)
async def test_a_body_is_sent_with_its_type(
    ctx: Context, params: dict[str, object], sent: str, content_type: str
) -> None:
    async with Origin({"/": answer()}) as origin:
        await output(ctx, {"method": "POST", "url": origin.url(), **params})

        assert origin.requests[0].partition(b"\r\n\r\n")[2] == sent.encode()
        assert origin.heads()[0]["content-type"] == content_type


@pytest.mark.parametrize("pair", [("json", "form"), ("json", "body"), ("form", "body")])
def test_two_bodies_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(HttpError, match=" and ".join(pair)):
        Http.parse({"url": "http://h/", **{name: {"a": 1} for name in pair}})


@pytest.mark.parametrize(
    "params",
    [
        {"json": {"a": b"bytes"}},
        {"json": float("nan")},
        {"json": "\ud800"},
        pytest.param({"json": {"a": object()}}, id="json of an object"),
        {"form": "text"},
        {"form": {"a": {"b": 1}}},
        {"form": {"a": "\ud800"}},
        {"body": ["list"]},
        {"body": "x" * 10_000_001},
        {"json": "x" * 10_000_001},
        {"headers": {"a": {"b": 1}}},
        {"headers": {"A": "1", "a": "2"}},
        {"headers": {"X": "a\r\nb"}},
        {"headers": {"Host": "evil"}},
        {"query": [1]},
        {"url": 5},
        {"method": "CONNECT"},
        {"method": "get"},
        {"timeout": "soon"},
        {"timeout": "0s"},
        {"response": "xml"},
        {"redirects": -1},
        {"redirects": 11},
        {"redirects": True},
        {"expect": "6xx"},
        {"expect": []},
        {"expect": "2x"},
        {"expect": "٢٠٠"},
    ],
    ids=lambda params: ascii(params)[:40],
)
def test_parameters_that_cannot_be_meant_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(FlowpostError):
        Http.parse({"url": "http://h.example/", **params})


# what comes back


@pytest.mark.parametrize(
    ("kind", "content_type", "sent", "expected"),
    [
        ("auto", "application/json", b"[1]", [1]),
        ("auto", "application/problem+json; charset=utf-8", b'{"a":1}', {"a": 1}),
        ("auto", "APPLICATION/JSON", b"\xef\xbb\xbf[1]", [1]),
        ("auto", "text/plain", "ä".encode(), "ä"),
        ("auto", "text/plain; charset=ISO-8859-1", b"\xe4", "ä"),
        ("auto", 'text/html; charset="windows-1252"', b"\x80", "€"),
        ("auto", "text/plain; charset=idna", "ä".encode(), "ä"),
        ("auto", "text/plain", b"\xff", "\ufffd"),
        ("auto", "application/xml", b"<a/>", "<a/>"),
        ("auto", "application/pdf", b"%PDF", b"%PDF"),
        ("auto", "", b"x", b"x"),
        ("auto", "application/json", b"", None),
        ("json", "text/plain", b"[1]", [1]),
        ("text", "application/json", b"[1]", "[1]"),
        ("text", "", b"", ""),
        ("bytes", "application/json", b"[1]", b"[1]"),
    ],
)
async def test_an_answer_is_read_by_its_type_or_as_the_node_says(
    ctx: Context, kind: str, content_type: str, sent: bytes, expected: object
) -> None:
    async with Origin({"/": answer(sent, content_type=content_type)}) as origin:
        assert (await output(ctx, {"url": origin.url(), "response": kind}))["body"] == expected


BAD_JSON = {
    "html": b"<html>hunter2</html>",
    "cut off": b'{"a": ',
    "not a number": b"[NaN]",
    "infinity": b"[-Infinity]",
    "two values": b"1 2",
    "latin-1": b'"\xe4"',
    "surrogate": b'["\\ud800"]',
    "surrogate in utf-8": b'["\xed\xa0\x80"]',
    "deep": b"[" * 65 + b"]" * 65,
    "very deep": b"[" * 100_000 + b"]" * 100_000,
    "deep mapping": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge number": b"[" + b"9" * 5000 + b"]",
    "a million lists": b"[" + b"[]," * 1_000_000 + b"1]",
    "empty": b"",
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
async def test_json_that_is_broken_or_a_bomb_is_an_error_that_does_not_quote_it(
    ctx: Context, body: bytes
) -> None:
    async with Origin({"/": answer(body, content_type="application/json")}) as origin:
        error = await error_of(ctx, {"url": origin.url(), "response": "json"})

        assert error.code == "EHTTP"
        assert error.message == (
            f"GET {origin.url()} did not answer in JSON that can be read, its content type is application/json"
        )


async def test_json_of_64_levels_is_read(ctx: Context) -> None:
    async with Origin({"/": answer(b"[" * 64 + b"]" * 64)}) as origin:
        assert (await output(ctx, {"url": origin.url(), "response": "json"}))["status"] == 200


async def test_a_large_answer_in_json_is_read(ctx: Context) -> None:
    rows = [{"id": number, "name": "x" * 50} for number in range(20_000)]
    async with Origin({"/": answer(json.dumps(rows).encode(), content_type="application/json")}) as origin:
        assert (await output(ctx, {"url": origin.url()}))["body"] == rows


async def test_an_answer_over_10_mb_is_refused(ctx: Context) -> None:
    async with Origin({"/": answer(b"x" * 10_000_001)}) as origin:
        error = await error_of(ctx, {"url": origin.url()})

        assert "larger than 10000000 bytes" in error.message


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content")])
async def test_an_answer_that_may_not_have_a_body_is_none_even_as_json(
    ctx: Context, method: str, status: str
) -> None:
    async with Origin({"/": answer(status=status, content_type="application/json")}) as origin:
        found = await output(ctx, {"url": origin.url(), "method": method, "response": "json"})

        assert found["body"] is None


# status


@pytest.mark.parametrize(
    ("expect", "status", "fine"),
    [
        ("2xx", 204, True),
        ("2xx", 301, False),
        (200, 200, True),
        (200, 201, False),
        ("2xx,404", 404, True),
        ("2xx, 404", 404, True),
        ([200, "4xx"], 418, True),
        (["2xx", 404], 500, False),
        ("2XX", 200, True),
    ],
)
async def test_the_status_is_what_the_node_expects_or_the_node_fails(
    ctx: Context, expect: object, status: int, fine: bool
) -> None:
    async with Origin({"/": answer(status=f"{status} X")}) as origin:
        if fine:
            assert (await output(ctx, {"url": origin.url(), "expect": expect}))["status"] == status
        else:
            assert (
                f"answered {status}" in (await error_of(ctx, {"url": origin.url(), "expect": expect})).message
            )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_status_that_may_pass_is_transient(ctx: Context, status: int) -> None:
    async with Origin({"/a": answer(b"details hunter2", status=f"{status} hunter2")}) as origin:
        error = await error_of(ctx, {"url": origin.url("/a?k=hunter2"), "query": {"q": "hunter2"}})

        assert (error.code, error.message, error.transient) == (
            "EHTTP",
            f"GET {origin.url('/a')} answered {status}",
            True,
        )


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 422, 501])
async def test_a_status_that_stays_is_not_transient(ctx: Context, status: int) -> None:
    async with Origin({"/": answer(status=f"{status} X")}) as origin:
        error = await error_of(ctx, {"url": origin.url()})

        assert not error.transient
        assert error.hint


@pytest.mark.parametrize(
    ("url", "code", "transient"),
    [
        ("http://127.0.0.1:1/", "ECONNECTION", True),
        ("http://10.0.0.1/", "EBLOCKED", False),
        ("http://169.254.169.254/latest/meta-data/", "EBLOCKED", False),
        ("ftp://h.example/", "EHTTP", False),
    ],
)
async def test_what_keeps_a_request_from_being_made_keeps_its_code(
    ctx: Context, url: str, code: str, transient: bool
) -> None:
    error = await error_of(ctx, {"url": url})

    assert (error.code, error.transient) == (code, transient)


async def test_the_timeout_of_the_node_is_for_the_whole_request(ctx: Context) -> None:
    import asyncio

    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with Origin({"/": silent}) as origin:
        assert (await error_of(ctx, {"url": origin.url(), "timeout": "200ms"})).code == "ETIMEDOUT"


async def test_redirects_are_followed_as_often_as_the_node_says(ctx: Context) -> None:
    async with Origin({"/": answer(status="302 Found", location="/b"), "/b": answer(b"x")}) as origin:
        assert (await error_of(ctx, {"url": origin.url()})).message.endswith("answered 302")
        assert (await output(ctx, {"url": origin.url(), "redirects": 1}))["status"] == 200


# credentials


@pytest.mark.parametrize("name", ["bearer", "basic", "key"])
async def test_a_credential_is_the_header_that_is_added_last(ctx: Context, name: str) -> None:
    header, value = CREDENTIALS[name]
    async with Origin({"/": answer()}) as origin:
        await output(
            ctx, {"url": origin.url(), "credential": name, "headers": {header.upper(): "of the flow"}}
        )

        assert origin.heads()[0][header.lower()] == value
        assert b"of the flow" not in origin.requests[0]


async def test_a_credential_does_not_follow_a_redirect_to_another_origin(ctx: Context) -> None:
    async with Origin({"/x": answer()}) as away, Origin({}) as home:
        home.scripts["/"] = answer(status="302 Found", location=away.url("/x"))
        for name in ("bearer", "basic", "key"):
            await output(ctx, {"url": home.url(), "credential": name, "redirects": 1})
            value = CREDENTIALS[name][1].encode()

            assert value in home.requests[-1]
            assert value not in away.requests[-1]
            assert b"authorization" not in away.requests[-1]


@pytest.mark.parametrize("name", ["bearer", "basic", "key"])
@pytest.mark.parametrize("escape", ["plain", "json", "slashes"])
async def test_a_server_that_echoes_the_credential_does_not_bring_it_into_the_output(
    ctx: Context, name: str, escape: str
) -> None:
    """Like httpbin's /headers; the output goes into the run's history."""
    value = CREDENTIALS[name][1]
    body = json.dumps({"all": value, "token": value.split(" ")[-1], "password": TOKEN})
    if escape == "slashes":
        body = body.replace("/", "\\/")
    if escape == "plain":
        body = f"{value} {TOKEN}"
    script = answer(
        body.encode(), content_type="text/plain" if escape == "plain" else "application/json", x_echo=value
    )
    async with Origin({"/": script}) as origin:
        found = await output(ctx, {"url": origin.url(), "credential": name})

        assert "hunter2" not in repr(found)
        assert value.split(" ")[-1] not in repr(found)
        assert "***" in repr(found["body"])


@pytest.mark.parametrize("name", ["bearer", "basic", "key", "broken", "accept"])
async def test_no_error_holds_the_credential(ctx: Context, name: str) -> None:
    async with Origin({"/": answer(b"hunter2", status="500 hunter2")}) as origin:
        error = await error_of(ctx, {"url": origin.url(), "credential": name})

        assert "hunter2" not in f"{error!r} {error.as_dict()}"
        if name != "basic":
            assert TOKEN not in repr(error.__context__)


async def test_a_credential_in_a_header_that_goes_everywhere_is_refused(ctx: Context) -> None:
    assert isinstance(
        await error_of(ctx, {"url": "http://127.0.0.1:1/", "credential": "accept"}), ReservedHeaderError
    )


async def test_an_unknown_credential_is_said_before_anything_is_sent(ctx: Context) -> None:
    async with Origin({"/": answer()}) as origin:
        assert (await error_of(ctx, {"url": origin.url(), "credential": "none"})).code == "ESECRET"
        assert origin.connections == 0


def test_the_repr_of_a_node_shows_neither_url_nor_bodies() -> None:
    node = Http.parse({"url": "http://h/?k=hunter2", "json": "hunter2", "query": {"q": "hunter2"}})

    assert "hunter2" not in repr(node)


# rehearsal and static checks


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_rehearsal_changes_nothing(ctx: Context, method: str) -> None:
    async with Origin({"/": answer()}) as origin:
        with pytest.raises(NotRehearsed):
            await Http.parse({"url": origin.url(), "method": method}).run(
                dataclasses.replace(ctx, rehearsal=True)
            )
        assert origin.connections == 0


async def test_a_rehearsal_may_look(ctx: Context) -> None:
    async with Origin({"/": answer(b"x")}) as origin:
        await Http.parse({"url": origin.url()}).run(dataclasses.replace(ctx, rehearsal=True))

        assert origin.connections == 1


class Written:
    """What ``load`` makes of a text with an expression in it."""

    source = "<<x>>"

    def render(self, scope: Mapping[str, object]) -> object:
        return scope["x"]


@pytest.mark.parametrize(
    ("params", "places"),
    [
        ({"url": "https://h.example/x"}, []),
        ({"url": "ftp://h.example/x"}, [("url",)]),
        ({"url": "http://u:p@h/"}, [("url",)]),
        ({"url": Written(), "headers": {"X": Written(), "Y": "ok"}}, []),
        ({"url": Written(), "headers": {"X": "a\nb", "Host": "h", "a b": Written()}},
         [("headers", "X"), ("headers", "Host"), ("headers", "a b")]),
        ({"url": Written(), "headers": Written()}, []),
    ],
)  # fmt: skip
def test_mistakes_that_are_written_out_show_without_a_run(
    params: dict[str, object], places: list[tuple[str, ...]]
) -> None:
    assert [problem.pointer for problem in Http.check(params)] == places


def test_a_node_names_its_credential_and_its_url() -> None:
    references = Http.references({"url": "https://h.example/", "credential": "crm"})

    assert references.credentials == (("http", "crm", ("credential",)),)
    assert references.urls == (("https://h.example/", ("url",)),)
