"""Health, readiness, metrics, reload, and what the server does with bad HTTP."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hookservice import Service, problem, serving

from runner.diagnostic import Diagnostic
from runner.errors import ConfigurationError
from runner.model import Settings
from runner.web.server import bind

FINDING = Diagnostic("flows/welcome.yaml", 7, 3, 'unknown key "too"', "schema", "error", 'did you mean "to"?')


async def test_health_is_ok_while_the_process_runs_even_when_it_is_stopping() -> None:
    async with serving(Service(draining=True, fault_list=["the database is away"])) as client:
        answer = await client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_shows_a_broken_flow_and_stays_ready() -> None:
    service = Service(findings=(FINDING,), stale=frozenset({"welcome"}))
    async with serving(service) as client:
        answer = await client.get("/readyz")

    found = answer.json()
    assert (answer.status_code, found["ready"], found["stale"]) == (200, True, ["welcome"])
    assert found["findings"][0]["message"] == 'unknown key "too"'


async def test_not_ready_says_why_and_when_to_ask_again() -> None:
    async with serving(Service(fault_list=["the database cannot be reached"])) as client:
        answer = await client.get("/readyz")

    found = problem(answer, 503)
    assert (found["ready"], found["detail"]) == (False, "the database cannot be reached")
    assert answer.headers["retry-after"].isdecimal()


async def test_a_stopping_service_is_not_ready() -> None:
    async with serving(Service(draining=True)) as client:
        problem(await client.get("/readyz"), 503)


async def test_metrics_are_in_the_form_of_prometheus() -> None:
    async with serving(Service()) as client:
        plain = await client.get("/metrics")
        openmetrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})

    assert plain.headers["content-type"].startswith("text/plain")
    assert "flowpost_runs_total 1.0" in plain.text
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")


async def test_reload_loads_anew_and_tells_what_it_found() -> None:
    service = Service()
    async with serving(service) as client:
        good = await client.post("/-/reload")
        service.findings = (FINDING,)
        bad = await client.post("/-/reload")

    assert (good.status_code, good.json()["reloaded"], service.reloads) == (200, True, 2)
    assert problem(bad, 422)["findings"][0]["line"] == 7


async def test_many_who_ask_for_a_reload_at_once_share_few() -> None:
    service = Service()
    async with serving(service) as client:
        answers = await asyncio.gather(*(client.post("/-/reload") for _ in range(30)))

    assert {answer.status_code for answer in answers} == {200}
    assert service.reloads <= 10


async def test_a_reload_that_breaks_does_not_break_the_next_one() -> None:
    service = Service()
    reload = service.reload

    async def broken() -> None:
        raise ValueError("hunter2")

    service.reload = broken  # type: ignore[method-assign]
    async with serving(service) as client:
        problem(await client.post("/-/reload"), 500)
        service.reload = reload  # type: ignore[method-assign]

        assert (await client.post("/-/reload")).status_code == 200


async def test_a_page_of_another_site_cannot_reload() -> None:
    service = Service()
    async with serving(service) as client:
        problem(await client.post("/-/reload", headers={"sec-fetch-site": "cross-site"}), 403)

    assert service.reloads == 0


@pytest.mark.parametrize("path", ["/", "/healthz/", "/nothing", "/-/", "/hooks"])
async def test_what_is_not_there_is_a_problem_document(path: str) -> None:
    async with serving(Service()) as client:
        problem(await client.get(path), 404)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_pages_are_read_only(path: str) -> None:
    async with serving(Service()) as client:
        answer = await client.post(path)

        problem(answer, 405)
        assert "GET" in answer.headers["allow"]
        assert (await client.head(path)).status_code == 200


async def test_the_paths_of_hooks_are_not_published() -> None:
    async with serving(Service()) as client:
        answer = await client.get("/openapi.json")

    assert answer.json()["openapi"].startswith("3.1")
    assert "person" not in answer.text


async def spoken(port: int, data: bytes, seconds: float = 20) -> bytes:
    """What comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), seconds)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\na b: c\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /hooks/open HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 70_000,
        b"POST /hooks/open HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=range(7),
)
async def test_bad_http_is_one_problem_document_and_the_end(data: bytes) -> None:
    service = Service()
    async with serving(service):
        said = await spoken(service.port, data)

    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1
    assert b"application/problem+json" in said
    assert service.events == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HT",
        b"POST /hooks/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
    ],
    ids=["silence", "half a head", "half a second head", "a body that nobody reads"],
)
async def test_a_connection_that_sends_no_request_is_closed(data: bytes) -> None:
    service = Service()
    async with serving(service, head_seconds=0.5):
        await spoken(service.port, data)


async def test_a_connection_that_works_is_kept() -> None:
    service = Service()
    async with serving(service, head_seconds=0.3) as client:
        for _ in range(3):
            assert (await client.post("/hooks/open", json={})).status_code == 202
            await asyncio.sleep(0.4)
        slow = Service.wait
        assert slow is not None
        answer = await client.post("/hooks/open", json={}, headers={"prefer": "wait=1"})

    assert answer.status_code == 202


async def test_more_connections_than_there_may_be_are_refused_and_the_others_work() -> None:
    service = Service()
    async with serving(service, max_connections=3) as client:
        assert (await client.get("/healthz")).status_code == 200
        held = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(2)]
        said = await spoken(service.port, b"")
        kept = await client.get("/healthz")
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        later = await reader.read()
        writer.close()

    assert said.startswith(b"HTTP/1.1 503 ")
    assert kept.status_code == 200
    assert later.startswith(b"HTTP/1.1 200 ")


def test_a_port_that_is_taken_is_said_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError) as caught:
        bind(Settings(http_port=other.getsockname()[1]))

    assert "cannot listen on 127.0.0.1:" in caught.value.message
    assert "FLOWPOST_HTTP_PORT" in (caught.value.hint or "")


def test_a_host_that_is_none_is_said() -> None:
    with pytest.raises(ConfigurationError):
        bind(Settings(http_host="no such host", http_port=0))


def test_a_free_port_is_found() -> None:
    with bind(Settings(http_port=0)) as listener:
        assert listener.getsockname()[1] > 0
