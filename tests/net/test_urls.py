"""One strict reading of a URL, and the corpus of URLs that must not get anywhere."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from conftest import corpus, needs_corpora
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import FlowpostError
from runner.net import guard as guard_module
from runner.net.guard import Guard, is_public
from runner.net.http import HttpClient
from runner.net.url import parse_url


class Dialled(OSError):
    """Somebody was about to connect."""


@needs_corpora
@pytest.mark.parametrize("case", corpus("ssrf/urls.jsonl"), ids=lambda case: str(case["id"]))
async def test_a_url_of_the_corpus_connects_only_where_the_corpus_allows(
    case: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[str] = []

    async def dial(address: str, port: int) -> socket.socket:
        dialled.append(address)
        raise Dialled

    async def resolve(host: str) -> Sequence[str]:
        return case["resolves_to"] or ()

    monkeypatch.setattr(guard_module, "_dial", dial)
    async with HttpClient(Guard((), resolve)) as client:
        with pytest.raises(FlowpostError):
            await client.request("GET", case["input"], timeout=5, max_bytes=1000)

    assert all(is_public(address) for address in dialled)
    if case["expected"] != "either":
        assert bool(dialled) is (case["expected"] == "allow")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTP://EXAMPLE.com:80/A", "http://example.com/A"),
        ("https://example.com:443/path?query=1#frag", "https://example.com/path?query=1"),
        ("https://example.com:8443", "https://example.com:8443/"),
        ("http://example.com:", "http://example.com/"),
        ("http://[2606:4700:4700::1111]:8080/x", "http://[2606:4700:4700::1111]:8080/x"),
        ("http://0x7f.1/x", "http://127.0.0.1/x"),
        ("http://example.com?a=b", "http://example.com/?a=b"),
        ("http://example.com/ä?ö=%C3%A4", "http://example.com/%C3%A4?%C3%B6=%C3%A4"),
        ('http://example.com/a"b<c>{d}', "http://example.com/a%22b%3Cc%3E%7Bd%7D"),
        ("http://example.com/100%", "http://example.com/100%25"),
        ("http://example.com/a%2Fb", "http://example.com/a%2Fb"),
        ("http://example.com/@x:y", "http://example.com/@x:y"),
    ],
)
def test_a_url_is_read_and_written_in_one_way(text: str, full: str) -> None:
    assert parse_url(text).full == full


@pytest.mark.parametrize(
    "text",
    ["", "example.com", "//example.com", "ftp://example.com/", "file:///etc/passwd", "gopher://h:25/_MAIL", "jar:https://h!/",
     "http:/example.com", "http:example.com", "http://", "http:///path", "http://:80/", "http://user@example.com",
     "http://user:pass@example.com", "http://@example.com", "http://example.com:-1/", "http://example.com:0/",
     "http://example.com:65536/", "http://example.com:8o/", "http://example.com:٣/", "http://a:1:2/", "http://[::1",
     "http://[::1]x/", "http://x[::1]/", "http://example.com/a b", "http://example.com/\r\nX: y", "http://example.com\r/",
     "http://example.com/\x00", "http://example.com/\x7f", "http://example.com/\u2028", "http://example.com\\@evil/",
     "http://127.1.1.1:80\\@127.2.2.2:80/", " http://example.com", "http://example.com ", "http://a b.com/",
     "http://%31%32%37.0.0.1/", "http://ex%61mple.com/", "http://example.com/" + "a" * 9000, "http://example.com/\ud800"],
    ids=ascii,
)  # fmt: skip
def test_a_url_that_can_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_url(text)


def test_a_password_in_a_url_is_not_in_the_error() -> None:
    with pytest.raises(ValueError) as caught:
        parse_url("https://someone:hunter2@example.com/")

    assert "hunter2" not in str(caught.value)


def test_parameters_are_added_behind_the_query_that_is_there() -> None:
    url = parse_url("http://h.example/p?a=1", [("b", "x y&z"), ("b", "ä"), ("c/d", "")])

    assert url.target == "/p?a=1&b=x%20y%26z&b=%C3%A4&c%2Fd="


def test_path_and_query_are_neither_shown_nor_in_the_repr() -> None:
    url = parse_url("http://h.example/p/hunter1?token=hunter2", {"key": "hunter3"})

    assert url.shown == "http://h.example/p/…"
    assert "hunter" not in repr(url)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://h.example", "http://h.example/"),
        ("http://h.example:8080/contacts", "http://h.example:8080/contacts"),
        ("http://[::1]:8080/contacts/", "http://[::1]:8080/contacts/"),
        ("https://hooks.example/services/T0/B0/hunter2?hunter2", "https://hooks.example/services/…"),
        ("https://api.example/bot123456789:hunter2/sendMessage", "https://api.example/bot1…/…"),
        ("http://h.example/" + "a" * 5000, "http://h.example/aaaa…"),
        ("http://h.example//hunter2", "http://h.example//…"),
        ("http://h.example/" + "a" * 16, "http://h.example/" + "a" * 16),
    ],
)
def test_of_a_path_that_may_be_a_password_only_the_beginning_is_shown(text: str, shown: str) -> None:
    assert parse_url(text).shown == shown


@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("/x", "https://h.example:8443/x"),
        ("y?z", "https://h.example:8443/a/y?z"),
        ("//other.example/x", "https://other.example/x"),
        ("http://169.254.169.254/", "http://169.254.169.254/"),
        ("?q", "https://h.example:8443/a/b?q"),
    ],
)
def test_a_reference_is_resolved_from_where_it_was_given(reference: str, full: str) -> None:
    assert parse_url("https://h.example:8443/a/b").join(reference).full == full


@given(st.text(max_size=200).map(lambda text: f"http://{text}"))
def test_whatever_is_read_is_written_so_that_it_is_read_again_alike(text: str) -> None:
    try:
        url = parse_url(text)
    except ValueError:
        return

    assert parse_url(url.full) == url
    assert url.full.isascii()
    assert url.full.isprintable()
