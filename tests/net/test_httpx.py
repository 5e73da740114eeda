"""httpx does the talking and nothing else: what it would do of its own accord does not happen."""

from __future__ import annotations

import logging
import logging.config
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import httpcore
import httpx
import pytest
from conftest import ROOT, corpus, needs_corpora
from http_origin import Origin, answer
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import ConnectionFailed, FlowpostError, HttpError, TimedOut
from runner.net.guard import Guard
from runner.net.http import HttpClient
from runner.net.translate import translated
from runner.net.transport import GuardedTransport
from runner.net.url import parse_url

LOCAL = ["127.0.0.0/8"]
CANARY = "hunter2-canary"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(Guard(LOCAL)) as made:
        yield made


def test_httpx_is_not_loaded_before_the_first_request() -> None:
    script = (
        "import sys; from runner.net.guard import Guard; from runner.net.http import HttpClient; "
        "import runner.net.fetch; HttpClient(Guard()); print({'httpx', 'httpcore'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "set()\n"


# what is sent


async def test_a_get_sends_our_headers_and_none_of_httpx(client: HttpClient) -> None:
    async with Origin({"/": answer()}) as origin:
        await client.request("GET", origin.url(), timeout=20, max_bytes=10)

        assert origin.requests[0].decode().split("\r\n") == [
            "GET / HTTP/1.1",
            f"host: 127.0.0.1:{origin.port}",
            "accept: */*",
            "user-agent: flowpost",
            "accept-encoding: gzip, deflate",
            "connection: close",
            "",
            "",
        ]


async def test_a_post_sends_our_headers_and_none_of_httpx(client: HttpClient) -> None:
    headers = {"User-Agent": "mine", "Accept-Encoding": "identity", "Content-Type": "a/b"}
    async with Origin({"/": answer()}) as origin:
        await client.request("POST", origin.url(), headers=headers, content=b"abc", timeout=20, max_bytes=10)

        assert origin.requests[0].decode().split("\r\n") == [
            "POST / HTTP/1.1",
            f"host: 127.0.0.1:{origin.port}",
            "accept: */*",
            "user-agent: mine",
            "accept-encoding: identity",
            "content-type: a/b",
            "content-length: 3",
            "connection: close",
            "",
            "abc",
        ]


@pytest.mark.parametrize(
    "target",
    ["/a/../b", "/a/./b", "/../x", "//evil.example/x", "/%2e%2e/x", "/%7Euser", "/a%2fb", "/a//b", "/a|b^c`d",
     "/?", "/?a=b%20c+d", "/?q=//h@i:1/../x", "/x?a=%zz", "/;p=1?x[]=1", "/ä?ö=ü", "/a:b@c"],
)  # fmt: skip
async def test_the_target_goes_out_as_it_was_judged(client: HttpClient, target: str) -> None:
    """httpx would take dot segments away and encode anew."""
    async with Origin({}) as origin:
        await client.request("GET", origin.url(target), timeout=20, max_bytes=10)

        sent = origin.requests[0].split(b" ")[1].decode()
        assert sent == parse_url(origin.url(target)).target


async def test_a_cookie_of_one_hop_is_not_sent_on_the_next(client: HttpClient) -> None:
    hop = answer(status="302 Found", location="/x", set_cookie="session=1; Path=/")
    async with Origin({"/": hop, "/x": answer()}) as origin:
        reply = await client.request("GET", origin.url(), timeout=20, max_bytes=10, redirects=1)

        assert reply.status == 200
        assert "cookie" not in origin.heads()[1]


async def test_no_password_is_taken_from_a_netrc_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login someone password {CANARY}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with Origin({"/": answer()}) as origin, HttpClient(Guard(LOCAL)) as client:
        await client.request("GET", origin.url(), timeout=20, max_bytes=10)

        assert "authorization" not in origin.heads()[0]


# what is read


@pytest.mark.parametrize("location", ["http://[::1", "https://h:port/", "http://h\x01/", "a" * 90_000, "//"])
async def test_a_location_that_nobody_follows_is_not_read(client: HttpClient, location: str) -> None:
    """httpx reads it as a URL also when it follows none, and fails."""
    async with Origin({"/": answer(b"see there", status="302 Found", location=location)}) as origin:
        try:
            reply = await client.request("GET", origin.url(), timeout=20, max_bytes=100)
        except HttpError as error:
            # h11 refuses control characters in a header itself.
            assert "\x01" in location
            assert "is not HTTP/1.1" in error.message
            return

        assert (reply.status, reply.body, reply.headers["location"]) == (302, b"see there", location)


# where it connects


class Watched(Guard):
    """Writes down where a connection is asked for, and opens none."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int]] = []

    async def connect(self, host: str, port: int, *, timeout: float) -> socket.socket:
        self.asked.append((host, port))
        raise ConnectionFailed("watched")


async def asked_for(url: str) -> list[tuple[str, int]]:
    guard = Watched()
    async with HttpClient(guard) as client:
        with pytest.raises(FlowpostError):
            await client.request("GET", url, timeout=20, max_bytes=10)
    return guard.asked


def judged(url: str) -> list[tuple[str, int]]:
    """Where ``parse_url`` says that a URL leads: one place, or nowhere."""
    try:
        parsed = parse_url(url)
    except ValueError:
        return []
    return [(parsed.host, parsed.port)]


@needs_corpora
@pytest.mark.parametrize("case", corpus("ssrf/urls.jsonl"), ids=lambda case: str(case["id"]))
async def test_a_url_of_the_corpus_connects_to_the_host_and_port_that_were_judged(
    case: dict[str, str],
) -> None:
    assert await asked_for(case["input"]) == judged(case["input"])


@pytest.mark.parametrize(
    "url",
    [
        "HTTP://EXAMPLE.com:080/",
        "https://example.com:80/",
        "http://example.com:443/",
        "http://example.com.:8080",
        "http://0x7f.1/",
        "http://2130706433:81/",
        "http://[::ffff:7f00:1]:1/",
        "http://[2606:4700::1111]/",
        "https://[::]:443/",
        "http://①②⑦.⓪.⓪.①/",
        "http://faß.example/",
        "http://xn--fa-hia.example/",
        "http://münchen。example/",
        "http://a_b.example/",
        "http://example.com?@evil.example/",
        "http://example.com/@evil.example:1/",
        "http://example.com#@evil.example/",
        "http://example.com/\\@evil.example/",
        "http://user@evil.example/",
        "http://evil.example\t/",
    ],
)
async def test_an_odd_url_connects_to_the_host_and_port_that_were_judged(url: str) -> None:
    assert await asked_for(url) == judged(url)


HOSTS = st.text(max_size=40) | st.from_regex(r"[0-9a-zA-Zx.:\[\]%@\\_-]{1,40}", fullmatch=True)


@given(st.sampled_from(["http", "https"]), HOSTS)
@example("http", "[fe80::1%25eth0]:1")
@example("https", "[::1%0]")
@example("http", "xn--a")
@example("http", "1.2.3.4.")
def test_httpx_reads_every_host_and_port_as_we_do(scheme: str, authority: str) -> None:
    try:
        url = parse_url(f"{scheme}://{authority}/x?y")
    except ValueError:
        return

    read = httpx.URL(url.root)

    assert (read.scheme, read.raw_host.decode()) == (url.scheme, url.host)
    assert (read.port or {"http": 80, "https": 443}[read.scheme]) == url.port
    assert (read.raw_path, read.userinfo) == (b"/", b"")


# what is logged


@pytest.fixture
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """As an operator sets it who looks for a fault, with every logger named."""
    names = ["httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.proxy"]
    loud = {
        "version": 1,
        "disable_existing_loggers": False,
        "loggers": {n: {"level": "DEBUG"} for n in names},
    }
    logging.config.dictConfig(loud)
    assert not any(logging.getLogger(name).disabled for name in names)
    caplog.set_level(logging.DEBUG)
    yield
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("everything_is_logged")
async def test_what_httpx_logs_would_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    """The test below means something only if this one finds the canary."""
    async with Origin({"/": answer()}) as origin, httpx.AsyncClient(trust_env=False) as bare:
        await bare.get(origin.url(f"/?token={CANARY}"))

    assert CANARY in caplog.text
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"httpx", "httpcore"}


@pytest.mark.usefixtures("everything_is_logged")
async def test_no_url_and_no_header_is_logged_even_at_the_level_debug(
    client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    scripts = {
        f"/{CANARY}": answer(status="302 Found", location=f"/next?token={CANARY}", set_cookie=CANARY),
        "/next": answer(CANARY.encode(), x_echo=CANARY),
        "/broken": CANARY.encode() + b"\r\n\r\n",
    }
    login = {"Authorization": f"Bearer {CANARY}", "X-Key": CANARY}
    async with Origin(scripts) as origin:
        reply = await client.request(
            "POST",
            origin.url(f"/{CANARY}?q={CANARY}#{CANARY}"),
            headers=login,
            params={"p": CANARY},
            content=CANARY.encode(),
            timeout=20,
            max_bytes=100,
            redirects=1,
        )
        for url in (origin.url(f"/broken?q={CANARY}"), f"http://127.0.0.1:1/{CANARY}/{CANARY}?{CANARY}"):
            with pytest.raises(FlowpostError):
                await client.request("GET", url, headers=login, timeout=20, max_bytes=100)

    assert reply.body == CANARY.encode()
    assert origin.requests[0].count(CANARY.encode()) == 6
    assert CANARY not in caplog.text
    assert [record.name for record in caplog.records if record.name.startswith("http")] == []


# what goes wrong


def family(module: str, *roots: type[BaseException]) -> set[type[BaseException]]:
    """Every exception class of a package, whether it has it in public or not."""
    found: set[type[BaseException]] = set()
    waiting = list(roots)
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if kind.__module__.partition(".")[0] == module and not issubclass(kind, Warning):
                found.add(kind)
    return found


FOREIGN = sorted(
    family("httpx", Exception) | family("httpcore", Exception),
    key=lambda kind: (kind.__module__, kind.__name__),
)


class Ended(GuardedTransport):
    """A transport whose server has closed its side."""

    @property
    def ended(self) -> bool:
        return True


def as_ours(kind: type[BaseException], *, ended: bool) -> FlowpostError:
    transport = (Ended if ended else GuardedTransport)(Guard(), None)

    def fail() -> NoReturn:
        error = kind.__new__(kind)
        error.args = (CANARY,)
        raise error

    with pytest.raises(FlowpostError) as caught, translated("GET http://h.example/", transport):
        fail()
    assert isinstance(caught.value.__cause__, kind)
    return caught.value


def test_the_walk_finds_both_trees() -> None:
    public = {
        kind
        for module in (httpx, httpcore)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }

    assert len(public) > 35
    assert public <= set(FOREIGN)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_of_httpx_and_httpcore_becomes_ours(kind: type[BaseException], ended: bool) -> None:
    error = as_ours(kind, ended=ended)

    assert isinstance(error, HttpError | TimedOut)
    assert "GET http://h.example/" in error.message
    assert CANARY not in f"{error!r} {error.message} {error.hint}"


@pytest.mark.parametrize(
    ("name", "ended", "transient"),
    [
        ("TimeoutException", False, True),
        ("ReadTimeout", False, True),
        ("NetworkError", False, True),
        ("WriteError", False, True),
        ("ConnectError", True, True),
        ("ProxyError", False, True),
        ("RemoteProtocolError", False, False),
        ("RemoteProtocolError", True, True),
        ("LocalProtocolError", False, False),
        ("LocalProtocolError", True, False),
        ("UnsupportedProtocol", True, False),
    ],
)
@pytest.mark.parametrize("library", [httpx, httpcore], ids=["httpx", "httpcore"])
def test_only_what_may_go_well_next_time_is_transient(
    library: object, name: str, ended: bool, transient: bool
) -> None:
    error = as_ours(getattr(library, name), ended=ended)

    assert error.transient is transient
    assert isinstance(error, TimedOut) is ("Time" in name)
