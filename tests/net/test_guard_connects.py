"""The guard resolves once, checks everything, and connects to what it checked."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence

import pytest
from http_origin import Origin, answer

from runner.errors import BlockedError, ConfigurationError, ConnectionFailed, TimedOut
from runner.net.guard import Guard
from runner.net.http import HttpClient
from runner.net.resolver import SystemResolver

LOCAL = ["127.0.0.0/8"]


class Scripted:
    """A name server that gives one answer after the other, and then the last one for ever."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, OSError):
            raise found
        return found


async def refusal(host: str, resolver: Scripted, *, allow: Sequence[str] = (), port: int = 1) -> BlockedError:
    with pytest.raises(BlockedError) as caught:
        await Guard(allow, resolver).connect(host, port, timeout=5)
    return caught.value


async def test_a_connected_socket_is_non_blocking_and_sends_at_once() -> None:
    async with Origin({}) as origin:
        with await Guard(LOCAL).connect("127.0.0.1", origin.port, timeout=5) as sock:
            assert sock.getblocking() is False
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert sock.getpeername() == ("127.0.0.1", origin.port)


async def test_a_private_address_is_refused_with_host_address_and_a_way_out() -> None:
    error = await refusal("crm.example", Scripted(["10.1.2.3"]))

    assert error.message.startswith("Address is not public")
    assert "crm.example" in error.message
    assert "10.1.2.3" in error.message
    assert "network.allow in flowpost.yaml" in (error.hint or "")
    assert not error.transient


@pytest.mark.parametrize(
    "answers",
    [["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"], ["93.184.216.34"] * 50 + ["::1"]],
    ids=["last", "first", "behind many"],
)
async def test_one_bad_answer_among_good_ones_refuses_the_host_whole(answers: list[str]) -> None:
    async with Origin({}) as origin:
        await refusal("mixed.example", Scripted(answers), port=origin.port)

        assert origin.connections == 0


async def test_a_rebinding_name_server_never_reaches_the_listener() -> None:
    """First answer public, second private: whoever resolves twice connects to the second."""
    async with Origin({"/": answer(b"secret")}) as origin:
        resolver = Scripted(["93.184.216.34"], ["127.0.0.1"])
        guard = Guard((), resolver)
        assert await guard.addresses("rebind.example") == ("93.184.216.34",)
        for _ in range(3):
            with pytest.raises(BlockedError):
                await guard.connect("rebind.example", origin.port, timeout=5)

        assert origin.connections == 0


async def test_a_name_is_resolved_once_a_connection() -> None:
    resolver = Scripted(["127.0.0.1"])
    async with Origin({"/": answer(b"hi")}) as origin, HttpClient(Guard(LOCAL, resolver)) as client:
        await client.request("GET", origin.url(host="once.example"), timeout=5, max_bytes=100)

    assert resolver.asked == ["once.example"]


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """127.0.0.2 is checked, so 127.0.0.2 is what the socket is connected to."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.2", 0)
    port = server.sockets[0].getsockname()[1]
    with await Guard(LOCAL, Scripted(["127.0.0.2"], ["127.0.0.1"])).connect(
        "two.example", port, timeout=5
    ) as sock:
        assert sock.getpeername()[0] == "127.0.0.2"
    server.close()
    await server.wait_closed()


async def test_a_resolver_that_answers_with_no_address_is_refused() -> None:
    await refusal("odd.example", Scripted(["not-an-address"]))


async def test_an_address_with_a_zone_is_refused() -> None:
    await refusal("zone.example", Scripted(["fe80::1%lo"]))


async def test_the_next_address_is_tried_when_the_first_refuses() -> None:
    async with Origin({}) as origin:
        resolver = Scripted(["127.0.0.3", "127.0.0.1"])
        with await Guard(LOCAL, resolver).connect("two.example", origin.port, timeout=5) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"


async def test_the_next_address_is_tried_when_the_first_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A black hole gets a head start of a quarter second, not the whole time."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def black_hole(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.9":
            await asyncio.sleep(60)
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", black_hole)
    async with Origin({}) as origin:
        resolver = Scripted(["127.0.0.9", "127.0.0.1"])
        with await Guard(LOCAL, resolver).connect("slow.example", origin.port, timeout=20) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"


async def test_a_closed_port_is_a_failed_connection_that_names_host_and_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectionFailed) as caught:
            await Guard(LOCAL).connect("127.0.0.1", port, timeout=5)

    assert caught.value.message == f"Cannot connect to 127.0.0.1:{port}: connection refused"
    assert caught.value.transient


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "host name not found"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "the name server does not answer"),
        ([], "host name not found"),
    ],
)
async def test_a_name_that_does_not_resolve_is_a_failed_connection(
    failure: OSError | list[str], reason: str
) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        await Guard((), Scripted(failure)).connect("gone.example", 465, timeout=5)

    assert caught.value.message == f"Cannot connect to gone.example:465: {reason}"


async def test_a_name_server_that_never_answers_is_timed_out() -> None:
    async def silent(host: str) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"^Timed out connecting to slow\.example:465 after 0\.2 s$"):
        await Guard((), silent).connect("slow.example", 465, timeout=0.2)

    assert time.monotonic() - started < 10


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_a_port_out_of_range_is_refused_without_trying(port: int) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        await Guard(LOCAL).connect("127.0.0.1", port, timeout=5)

    assert not caught.value.transient


@pytest.mark.parametrize("host", ["q177.0.0.1", "a b", "", "0x41414141a9fea9fe", "[::1"])
async def test_what_is_no_host_is_refused_without_asking_anyone(host: str) -> None:
    resolver = Scripted(["93.184.216.34"])
    with pytest.raises(ConnectionFailed):
        await Guard((), resolver).connect(host, 80, timeout=5)

    assert resolver.asked == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "localhost。", "app.localhost"])
async def test_localhost_is_loopback_whatever_a_name_server_says(host: str) -> None:
    resolver = Scripted(["93.184.216.34"])

    await refusal(host, resolver)

    assert resolver.asked == []


async def test_localhost_works_when_only_one_family_of_loopback_is_allowed() -> None:
    async with Origin({}) as origin:
        with await Guard(["127.0.0.0/8"]).connect("localhost", origin.port, timeout=5) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"


@pytest.mark.parametrize("allow", [["127.0.0.0/8"], ["127.0.0.1"], ["crm.internal"], ["CRM.internal."]])
async def test_an_operator_opens_the_guard_by_block_address_or_name(allow: list[str]) -> None:
    async with Origin({}) as origin:
        guard = Guard(allow, Scripted(["127.0.0.1"]))
        with await guard.connect("crm.internal", origin.port, timeout=5) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"


async def test_a_name_that_is_allowed_opens_nothing_but_itself() -> None:
    for host in ("other.internal", "x.crm.internal", "internal"):
        await refusal(host, Scripted(["127.0.0.1"]), allow=["crm.internal"])


async def test_an_allowed_block_does_not_open_its_addresses_in_disguise() -> None:
    for address in ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"):
        await refusal("hidden.example", Scripted([address]), allow=["127.0.0.0/8"])


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "*.internal", "a b", "", "http://crm", "10.0.0.0/33", "0x7f.1", 10]
)
def test_an_entry_that_opens_nothing_clear_is_a_configuration_error(entry: object) -> None:
    with pytest.raises(ConfigurationError, match=r"network\.allow"):
        Guard([entry])  # type: ignore[list-item]


def test_a_block_with_host_bits_is_answered_with_the_block_that_was_meant() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Guard(["10.1.2.3/8"])

    assert caught.value.hint == "did you mean 10.0.0.0/8?"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f.1", "[::1]", "localhost", "①②⑦.0.0.1", "169.254.169.254"]
)
def test_a_literal_that_is_not_public_is_refused_before_any_run(host: str) -> None:
    with pytest.raises(BlockedError, match=r"^Address is not public"):
        Guard().check_host(host)


@pytest.mark.parametrize("host", ["smtp.example.com", "8.8.8.8", "[2606:4700:4700::1111]", "metadata"])
def test_names_and_public_literals_pass_the_static_check(host: str) -> None:
    Guard().check_host(host)


def test_the_static_check_lets_through_what_the_operator_allows() -> None:
    Guard(["127.0.0.0/8"]).check_host("localhost")
    Guard(["10.0.0.0/8"]).check_host("10.1.2.3")


async def test_the_system_resolver_gives_each_address_once() -> None:
    found = await SystemResolver()("127.0.0.1")

    assert list(found) == ["127.0.0.1"]


async def test_lookups_beyond_the_limit_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0

    def slow(host: bytes, *rest: object, **options: object) -> list[tuple[object, ...]]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return [(0, 0, 0, "", ("93.184.216.34", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = SystemResolver(at_once=2)
    await asyncio.gather(*(resolver(f"h{number}.example") for number in range(8)))

    assert most <= 2


async def test_a_lookup_that_nobody_waits_for_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(host: bytes, *rest: object, **options: object) -> list[tuple[object, ...]]:
        time.sleep(0.1)
        return [(0, 0, 0, "", ("93.184.216.34", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = SystemResolver(at_once=1)
    with pytest.raises(TimedOut):
        await Guard((), resolver).connect("slow.example", 465, timeout=0.01)

    assert list(await asyncio.wait_for(resolver("next.example"), 10)) == ["93.184.216.34"]
