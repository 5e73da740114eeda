"""Attachments from a URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from http_origin import Origin, answer

from runner.errors import AttachmentError, BlockedError
from runner.net.fetch import Fetched, fetch_attachment
from runner.net.guard import Guard
from runner.net.http import HttpClient


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(Guard(["127.0.0.0/8"])) as made:
        yield made


async def fetched(client: HttpClient, script: bytes, path: str = "/a/report.pdf") -> Fetched:
    async with Origin({path: script}) as origin:
        return await fetch_attachment(client, origin.url(path), 1000, 20)


async def error_of(
    client: HttpClient, url: str, max_bytes: int = 1000, seconds: float = 20
) -> AttachmentError:
    with pytest.raises(AttachmentError) as caught:
        await fetch_attachment(client, url, max_bytes, seconds)
    return caught.value


async def test_a_file_comes_with_its_type_and_name(client: HttpClient) -> None:
    found = await fetched(client, answer(b"%PDF", content_type="Application/PDF; charset=x"))

    assert found == Fetched(b"%PDF", "application/pdf", "report.pdf")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(client: HttpClient, status: str) -> None:
    async with Origin({"/a": answer(status=status, location="/b"), "/b": answer(b"x")}) as origin:
        error = await error_of(client, origin.url("/a?k=hunter2"))

        assert error.message == (
            f"cannot fetch the attachment: {origin.url('/a')} answered {status[:3]}, and redirects are not followed"
        )
        assert len(origin.requests) == 1


@pytest.mark.parametrize(
    ("status", "transient"), [(404, False), (403, False), (304, False), (429, True), (503, True)]
)
async def test_only_2xx_is_a_file(client: HttpClient, status: int, transient: bool) -> None:
    async with Origin({"/": answer(b"", status=f"{status} X")}) as origin:
        error = await error_of(client, origin.url())

        assert f"answered {status}" in error.message
        assert error.transient is transient


async def test_a_file_over_the_cap_is_refused_while_it_streams(client: HttpClient) -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with Origin({"/": flood}) as origin:
        assert "larger than 1000 bytes" in (await error_of(client, origin.url())).message


async def test_a_file_that_takes_too_long_may_be_fetched_again(client: HttpClient) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with Origin({"/": silent}) as origin:
        error = await error_of(client, origin.url(), seconds=0.2)

        assert "Timed out" in error.message
        assert error.transient


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "http://169.254.169.254/", "http://localhost/", "http://0x7f.1/"]
)
async def test_an_address_that_is_not_public_stays_blocked(url: str) -> None:
    async with HttpClient(Guard()) as client:
        with pytest.raises(BlockedError):
            await fetch_attachment(client, url, 1000, 5)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "data:,x", "/etc/passwd", "", "http://u:p@h/"]
)
async def test_what_is_no_web_address_is_an_attachment_error(client: HttpClient, url: str) -> None:
    assert (await error_of(client, url)).code == "EATTACHMENT"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/csv", "text/csv"),
        ("image/svg+xml;charset=utf-8", "image/svg+xml"),
        ("", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("a/b c", "application/octet-stream"),
        ("text/" + "x" * 500, "application/octet-stream"),
        ("t\xe9xt/plain", "application/octet-stream"),
    ],
)
async def test_a_type_that_is_none_becomes_octet_stream(
    client: HttpClient, header: str, expected: str
) -> None:
    assert (await fetched(client, answer(b"x", content_type=header))).content_type == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename=plain.pdf", "plain.pdf"),
        ("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac.pdf", "€.pdf"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\temp\\\\x.exe"', "x.exe"),
        ("attachment; filename*=UTF-8''a%0d%0aBcc:%20x.pdf", "aBcc: x.pdf"),
        ("attachment; filename*=UTF-8''..%2f..%2fx", "x"),
        ('attachment; filename=""', None),
        ('attachment; filename=".."', None),
        ("inline", "report.pdf"),
        ("attachment; filename=" + "x" * 500, "x" * 200),
    ],
)
async def test_the_servers_name_for_a_file_is_a_name_and_no_path(
    client: HttpClient, header: str, expected: str | None
) -> None:
    assert (await fetched(client, answer(b"x", content_disposition=header))).filename == expected


async def test_a_url_that_ends_in_a_slash_gives_no_name(client: HttpClient) -> None:
    assert (await fetched(client, answer(b"x"), "/a/")).filename is None
