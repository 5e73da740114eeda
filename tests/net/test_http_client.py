"""Requests over the guard, with servers that are slow, endless, lying or greedy."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from http_origin import Origin, answer
from servers.certificates import certificate

from runner.errors import (
    BlockedError,
    ConnectionFailed,
    FlowpostError,
    HeaderError,
    HttpError,
    ReservedHeaderError,
    TimedOut,
)
from runner.net.guard import Guard
from runner.net.http import HttpClient, HttpReply

LOCAL = ["127.0.0.0/8"]
ZEROS = b"\0" * 20_000_000


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(Guard(LOCAL)) as made:
        yield made


async def get(client: HttpClient, url: str, **options: object) -> HttpReply:
    settings: dict[str, object] = {"timeout": 20.0, "max_bytes": 100_000, **options}
    return await client.request("GET", url, **settings)  # type: ignore[arg-type]


async def error_of(client: HttpClient, url: str, **options: object) -> FlowpostError:
    with pytest.raises(FlowpostError) as caught:
        await get(client, url, **options)
    return caught.value


async def test_an_answer_has_status_headers_body_and_url(client: HttpClient) -> None:
    scripts = {
        "/a": answer(b"hello", status="404 Not Found", content_type="text/plain", X_Twice="1\r\nX-Twice: 2")
    }
    async with Origin(scripts) as origin:
        reply = await get(client, origin.url("/a?b=c"))

        assert (reply.status, reply.body, reply.url) == (404, b"hello", origin.url("/a?b=c"))
        assert reply.headers == {"content-length": "5", "content-type": "text/plain", "x-twice": "1, 2"}


async def test_a_body_is_sent_with_its_length(client: HttpClient) -> None:
    async with Origin({"/": answer()}) as origin:
        await client.request(
            "POST", origin.url(), content=b"a=1", headers={"Content-Type": "x/y"}, timeout=20, max_bytes=10
        )

        assert origin.requests[0].startswith(b"POST / HTTP/1.1\r\n")
        assert origin.requests[0].endswith(b"\r\n\r\na=1")
        assert origin.heads()[0]["content-type"] == "x/y"
        assert origin.heads()[0]["host"] == f"127.0.0.1:{origin.port}"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_method_that_means_a_body_says_when_it_has_none(client: HttpClient, method: str) -> None:
    async with Origin({"/": answer()}) as origin:
        await client.request(method, origin.url(), timeout=20, max_bytes=10)

        assert origin.heads()[0]["content-length"] == "0"


async def test_the_answer_to_a_head_request_has_no_body_whatever_its_length_says(client: HttpClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\nContent-Encoding: gzip\r\n\r\n"
    async with Origin({"/": head}) as origin:
        reply = await client.request("HEAD", origin.url(), timeout=20, max_bytes=10)

        assert (reply.status, reply.body) == (200, b"")


async def test_cookies_are_not_kept(client: HttpClient) -> None:
    async with Origin({"/": answer(set_cookie="session=1")}) as origin:
        await get(client, origin.url())
        await get(client, origin.url())

        assert [head.get("cookie") for head in origin.heads()] == [None, None]


async def test_every_request_has_a_connection_of_its_own(client: HttpClient) -> None:
    async with Origin({"/": answer()}) as origin:
        await asyncio.gather(*(get(client, origin.url()) for _ in range(5)))

        assert origin.connections == 5
        assert {head["connection"] for head in origin.heads()} == {"close"}


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
)
async def test_a_proxy_of_the_environment_is_not_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Origin({"/": answer(b"direct")}) as origin, Origin({}) as proxy:
        monkeypatch.setenv(name, proxy.url())
        async with HttpClient(Guard(LOCAL)) as client:
            assert (await get(client, origin.url())).body == b"direct"
            await error_of(client, "http://10.0.0.1/")
        assert proxy.connections == 0


# time


async def test_a_server_that_says_nothing_is_timed_out(client: HttpClient) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with Origin({"/": silent}) as origin:
        error = await error_of(client, origin.url("/?token=hunter2"), timeout=0.3)

        assert isinstance(error, TimedOut)
        assert error.message == f"Timed out after 0.3 s: GET http://127.0.0.1:{origin.port}/"
        assert error.transient


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"], ids=["head", "body"]
)
async def test_a_server_that_drips_is_timed_out_as_a_whole(client: HttpClient, head: bytes) -> None:
    """Each byte comes in time; all of them do not."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with Origin({"/": drip}) as origin:
        started = time.monotonic()
        error = await error_of(client, origin.url(), timeout=0.5)

        assert isinstance(error, TimedOut)
        assert time.monotonic() - started < 10


async def test_one_deadline_holds_for_all_redirects_together(client: HttpClient) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(answer(status="302 Found", location="/"))

    async with Origin({"/": slowly}) as origin:
        assert isinstance(await error_of(client, origin.url(), timeout=0.5, redirects=20), TimedOut)
        assert origin.connections < 10


async def test_a_cancelled_request_closes_its_connection(client: HttpClient) -> None:
    gone = asyncio.Event()

    async def wait_for_the_end(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
        gone.set()

    async with Origin({"/": wait_for_the_end}) as origin:
        task = asyncio.create_task(get(client, origin.url()))
        while not origin.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            while origin._tasks:
                await asyncio.sleep(0.02)


# size


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
async def test_a_body_over_the_cap_is_refused_however_it_is_framed(client: HttpClient, framing: str) -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = {
            "length": "Content-Length: 900000000",
            "chunked": "Transfer-Encoding: chunked",
            "until close": "X: y",
        }
        writer.write(f"HTTP/1.1 200 OK\r\n{head[framing]}\r\n\r\n".encode())
        while True:
            piece = b"x" * 10_000
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunked" else piece)
            sent += len(piece)
            await writer.drain()

    async with Origin({"/": flood}) as origin:
        error = await error_of(client, origin.url())

        assert isinstance(error, HttpError)
        assert error.message == f"the answer to GET {origin.url()} is larger than 100000 bytes"
        assert sent < 50_000_000


async def test_a_body_of_exactly_the_cap_is_taken(client: HttpClient) -> None:
    async with Origin({"/": answer(b"x" * 100_000)}) as origin:
        assert len((await get(client, origin.url())).body) == 100_000


async def test_a_length_over_the_cap_is_refused_before_the_body_is_there(client: HttpClient) -> None:
    async def promise(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n")
        await asyncio.sleep(60)

    async with Origin({"/": promise}) as origin:
        assert "larger than" in (await error_of(client, origin.url())).message


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


CODINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": raw_deflate}


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_body_is_read(client: HttpClient, coding: str) -> None:
    text = b"hello " * 1000
    async with Origin({"/": answer(CODINGS[coding](text), content_encoding=coding)}) as origin:
        assert (await get(client, origin.url())).body == text


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_bomb_is_refused_before_it_is_in_memory(client: HttpClient, coding: str) -> None:
    bomb = answer(CODINGS[coding](ZEROS), content_encoding=coding)
    async with Origin({"/": bomb}) as origin:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        try:
            error = await error_of(client, origin.url())
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

        assert "larger than 100000 bytes" in error.message
        assert peak < 5_000_000


async def test_a_compressed_stream_that_never_yields_anything_is_refused(client: HttpClient) -> None:
    """Empty stored blocks: input without end, output none."""

    async def nothing(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n\x78\x9c")
        while True:
            writer.write(b"\x00\x00\x00\xff\xff" * 4000)
            await writer.drain()

    async with Origin({"/": nothing}) as origin:
        assert "larger than" in (await error_of(client, origin.url())).message


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "identity, gzip", "x" * 1000]
)
async def test_an_encoding_that_was_not_asked_for_is_refused(client: HttpClient, coding: str) -> None:
    async with Origin({"/": answer(b"data", content_encoding=coding)}) as origin:
        error = await error_of(client, origin.url())

        assert isinstance(error, HttpError)
        assert "content encoding was not asked for" in error.message


async def test_only_encodings_that_can_be_read_are_asked_for(client: HttpClient) -> None:
    async with Origin({"/": answer()}) as origin:
        await get(client, origin.url())

        assert origin.heads()[0]["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"hello")[:-4], b"not gzip at all", gzip.compress(b"hello")[:8], b"\x1f\x8b\x08\xff" * 30],
    ids=["no checksum", "not gzip", "a head alone", "flags"],
)
async def test_a_damaged_compressed_body_is_an_error(client: HttpClient, body: bytes) -> None:
    async with Origin({"/": answer(body, content_encoding="gzip")}) as origin:
        assert "cannot be read" in (await error_of(client, origin.url())).message


# lies


@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
    ids=["short body", "short chunk", "short head", "nothing"],
)
async def test_an_answer_that_ends_early_may_be_asked_for_again(client: HttpClient, script: bytes) -> None:
    async with Origin({"/": script}) as origin:
        error = await error_of(client, origin.url())

        assert isinstance(error, HttpError)
        assert error.transient


@pytest.mark.parametrize(
    "script",
    [
        b"220 mail.example.com ESMTP hunter2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
    ids=["smtp", "two lengths", "negative", "no colon", "bad chunk", "long header"],
)
async def test_an_answer_that_is_not_http_is_an_error_that_does_not_quote_it(
    client: HttpClient, script: bytes
) -> None:
    async with Origin({"/": script}) as origin:
        error = await error_of(client, origin.url())

        assert isinstance(error, HttpError)
        assert error.message == f"the answer to GET {origin.url()} is not HTTP/1.1 as it should be"


@pytest.mark.parametrize(
    "line", [b"X-Some: header\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["headers", "interim"]
)
async def test_headers_without_end_are_refused_or_timed_out(client: HttpClient, line: bytes) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" if b"Some" in line else b"")
        while True:
            writer.write(line * 500)
            await writer.drain()

    async with Origin({"/": endless}) as origin:
        assert isinstance(await error_of(client, origin.url(), timeout=3), HttpError | TimedOut)


async def test_bytes_behind_the_answer_are_not_part_of_it(client: HttpClient) -> None:
    async with Origin({"/": answer(b"hi") + answer(b"smuggled")}) as origin:
        assert (await get(client, origin.url())).body == b"hi"


async def test_an_answer_that_comes_before_the_whole_request_is_read(client: HttpClient) -> None:
    """A server may say 413 and close while the body is still on its way."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(status="413 Content Too Large"))
        await writer.drain()
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                pass
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        done.set()

    done = asyncio.Event()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    reply = await client.request("POST", url, content=b"x" * 3_000_000, timeout=20, max_bytes=100)
    await done.wait()
    server.close()
    await server.wait_closed()

    assert reply.status == 413


# what is asked


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET /x", "GET\r\n", "", "G" * 30, "PÖST"])
async def test_a_method_that_is_none_is_refused(client: HttpClient, method: str) -> None:
    async with Origin({"/": answer()}) as origin:
        with pytest.raises(HttpError):
            await client.request(method, origin.url(), timeout=20, max_bytes=10)

        assert origin.connections == 0


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "\x1b[0m", "\ud800", "\x7f"], ids=ascii
)
async def test_a_header_value_that_is_more_than_one_line_is_refused(client: HttpClient, value: str) -> None:
    async with Origin({"/": answer()}) as origin:
        error = await error_of(client, origin.url(), headers={"X-Name": value})

        assert isinstance(error, HeaderError)
        assert error.message == 'Header value contains forbidden characters: "X-Name"'
        assert origin.connections == 0


@pytest.mark.parametrize(
    "name", ["", "X Name", "X:Name", "X\r\nName", "Ü", "X-Näme", "X" * 300, "(x)"], ids=ascii
)
async def test_a_header_name_that_is_no_token_is_refused(client: HttpClient, name: str) -> None:
    assert isinstance(await error_of(client, "http://127.0.0.1:1/", headers={name: "x"}), HeaderError)


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "Upgrade", "Expect", "TE"]
)
async def test_a_header_that_frames_the_message_is_refused(client: HttpClient, name: str) -> None:
    error = await error_of(client, "http://127.0.0.1:1/", headers={name: "1"})

    assert isinstance(error, ReservedHeaderError)
    assert error.message.startswith("Reserved header is not allowed")


async def test_a_header_given_twice_in_two_cases_is_refused(client: HttpClient) -> None:
    assert isinstance(
        await error_of(client, "http://127.0.0.1:1/", headers={"X-A": "1", "x-a": "2"}), HeaderError
    )


async def test_text_beyond_ascii_is_sent_as_utf_8(client: HttpClient) -> None:
    async with Origin({"/": answer()}) as origin:
        await get(client, origin.url(), headers={"X-Name": " Jörg "})

        assert "X-Name: Jörg\r\n".lower().encode() in origin.requests[0].lower()


async def test_neither_query_nor_headers_are_in_any_error(client: HttpClient) -> None:
    async with Origin({"/x": b"junk\r\n\r\n"}) as origin:
        for url in (
            origin.url("/x?k=hunter2"),
            "http://127.0.0.1:1/x?k=hunter2",
            "http://10.0.0.1/?k=hunter2",
        ):
            error = await error_of(client, url, headers={"Authorization": "hunter2"}, params={"p": "hunter2"})

            assert "hunter2" not in f"{error!r} {error.message} {error.hint}"


async def test_a_refused_connection_names_host_and_port(client: HttpClient) -> None:
    error = await error_of(client, "http://127.0.0.1:1/x")

    assert isinstance(error, ConnectionFailed)
    assert error.message == "Cannot connect to 127.0.0.1:1: connection refused"
    assert "587" not in (error.hint or "")


# redirects


async def test_no_redirect_is_followed_unless_asked_for(client: HttpClient) -> None:
    async with Origin(
        {"/": answer(status="302 Found", location="/next"), "/next": answer(b"here")}
    ) as origin:
        reply = await get(client, origin.url())

        assert (reply.status, len(origin.requests)) == (302, 1)


async def test_a_redirect_is_followed_as_often_as_asked_for(client: HttpClient) -> None:
    scripts = {
        "/": answer(status="301 Moved", location="/a"),
        "/a": answer(status="308 Permanent", location="b?c=d"),
        "/b": answer(b"here"),
    }
    async with Origin(scripts) as origin:
        reply = await get(client, origin.url(), redirects=2)
        error = await error_of(client, origin.url(), redirects=1)

        assert (reply.body, reply.url) == (b"here", origin.url("/b?c=d"))
        assert "redirects once more than the 1 allowed" in error.message


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/",
     "//10.0.0.1/",     "http://localhost.evil.example/"],
)  # fmt: skip
async def test_a_redirect_into_the_inside_is_blocked(location: str) -> None:
    async def resolve(host: str) -> list[str]:
        return ["10.0.0.1"]

    async with (
        Origin({"/": answer(status="302 Found", location=location)}) as origin,
        HttpClient(Guard(LOCAL, resolve)) as client,
    ):
        assert isinstance(await error_of(client, origin.url(), redirects=5), BlockedError)


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://h/",
        "http://u:p@127.0.0.1/",
        "http://h\\@i/",
        "http://[::1",
        "javascript:1",
    ],
)
async def test_a_redirect_to_what_is_no_web_address_is_an_error(client: HttpClient, location: str) -> None:
    async with Origin({"/": answer(status="302 Found", location=location)}) as origin:
        error = await error_of(client, origin.url(), redirects=5)

        assert isinstance(error, HttpError)
        assert "redirects to where nobody can go" in error.message


async def test_a_loop_of_redirects_ends(client: HttpClient) -> None:
    async with Origin({"/": answer(status="302 Found", location="/")}) as origin:
        await error_of(client, origin.url(), redirects=10**9)

        assert len(origin.requests) == 21


LOGIN = {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2", "Cookie": "s=hunter2", "Accept": "a/b"}


async def test_no_credential_follows_a_redirect_to_another_origin(client: HttpClient) -> None:
    """Also another port is another origin; and what was dropped does not come back on the way home."""
    async with Origin({}) as home, Origin({}) as away:
        home.scripts["/"] = answer(status="307 Temporary", location=away.url("/x"))
        away.scripts["/x"] = answer(status="307 Temporary", location=home.url("/y"))
        home.scripts["/y"] = answer(b"done")
        reply = await get(client, home.url(), redirects=2, headers=LOGIN)

        assert reply.body == b"done"
        assert b"hunter2" in home.requests[0]
        assert b"hunter2" not in away.requests[0]
        assert b"hunter2" not in home.requests[1]
        assert away.heads()[0]["accept"] == "a/b"


async def test_a_credential_follows_a_redirect_within_its_origin(client: HttpClient) -> None:
    async with Origin({"/": answer(status="302 Found", location="/x"), "/x": answer()}) as origin:
        await get(client, origin.url(), redirects=1, headers=LOGIN)

        assert origin.heads()[1]["authorization"] == "Bearer hunter2"


async def test_parameters_of_the_query_do_not_follow_a_redirect(client: HttpClient) -> None:
    async with Origin({"/": answer(status="302 Found", location="/x"), "/x": answer()}) as origin:
        await get(client, origin.url(), redirects=1, params={"key": "hunter2"})

        assert b"hunter2" in origin.requests[0]
        assert b"hunter2" not in origin.requests[1]


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, b"GET", b""),
        (302, b"GET", b""),
        (303, b"GET", b""),
        (307, b"POST", b"a=1"),
        (308, b"POST", b"a=1"),
    ],
)
async def test_a_post_is_redirected_as_the_status_says(
    client: HttpClient, status: int, method: bytes, body: bytes
) -> None:
    async with Origin({"/": answer(status=f"{status} X", location="/x"), "/x": answer()}) as origin:
        await client.request("POST", origin.url(), content=b"a=1", timeout=20, max_bytes=10, redirects=1)

        assert origin.requests[1].split(b" ")[0] == method
        assert origin.requests[1].partition(b"\r\n\r\n")[2] == body


async def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    """Whoever can read the second leg can read the first one's answer, and change it."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(certificate("good").ca_pem)
    async with (
        Origin({}, tls=certificate("good").context()) as origin,
        Origin({"/": answer()}) as plain,
        HttpClient(Guard(LOCAL), ca_file=str(ca_file)) as client,
    ):
        origin.scripts["/"] = answer(status="302 Found", location=plain.url())
        error = await error_of(client, origin.url(), redirects=3)

        assert "from https to http" in error.message
        assert plain.connections == 0


async def test_a_redirect_without_a_location_is_the_answer(client: HttpClient) -> None:
    async with Origin({"/": answer(b"x", status="302 Found")}) as origin:
        assert (await get(client, origin.url(), redirects=3)).status == 302
