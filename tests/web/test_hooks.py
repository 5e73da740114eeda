"""``POST /hooks/<path>`` over a real socket."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from conftest import corpus, needs_corpora
from hookservice import (
    SIGNING,
    TOKEN,
    Service,
    Unavailable,
    ended_run,
    flow_of,
    problem,
    serving,
)

from runner.errors import SecretError
from runner.triggers.signature import sign, signing_key
from runner.web.limit import Limiter

FORM = (
    b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\n'
    b'Content-Disposition: form-data; name="\xc3\xa4"\r\n\r\n\r\n--x--\r\n'
)
BEARER = {"authorization": f"Bearer {TOKEN}"}


def signed(service: Service, body: bytes, ident: str = "msg_1", secret: str = SIGNING) -> dict[str, str]:
    now = int(service.now)
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, ident, now, body),
        "content-type": "application/json",
    }


async def test_a_json_body_becomes_the_event_and_is_answered_with_its_run() -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post("/hooks/open?a=1&b=", json={"x": [1, None, "ä"]}, headers={"x-shop": "7"})

    ((flow, event, key),) = service.events
    assert (answer.status_code, answer.json()) == (202, {"run_id": "run-1"})
    assert (flow.name, event.type, key) == ("open", "webhook", None)
    assert event.body == {"x": [1, None, "ä"]}
    assert event.query == {"a": "1", "b": ""}
    assert event.headers["x-shop"] == "7"
    assert event.time.timestamp() == service.now


async def test_no_202_before_the_acceptor_has_returned() -> None:
    service, kept = Service(), asyncio.Event()
    keep = service.accept

    async def slowly(*event: object) -> object:
        await kept.wait()
        return await keep(*event)  # type: ignore[arg-type]

    service.accept = slowly  # type: ignore[method-assign,assignment]
    async with serving(service) as client:
        asking = asyncio.create_task(client.post("/hooks/open", json={}))
        await asyncio.sleep(0.3)
        early = asking.done()
        kept.set()

        assert (early, (await asking).status_code) == (False, 202)


@pytest.mark.parametrize(
    ("content", "kind", "body"),
    [
        (b"a=1&a=2&b=%C3%A4+b", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": "ä b"}),
        (b'{"a": 1}', "application/vnd.api+json; charset=utf-8", {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', "Application/JSON", {"a": 1}),
        (b'"text"', "application/json", "text"),
        (
            FORM,
            'multipart/form-data; boundary="x"',
            {"a": "1", "ä": ""},
        ),
    ],
)
async def test_every_kind_of_body_becomes_a_value(content: bytes, kind: str, body: object) -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post("/hooks/open", content=content, headers={"content-type": kind})

    assert answer.status_code == 202, answer.text
    assert service.body == body


async def test_a_body_without_a_type_is_json() -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post("/hooks/open", content=b"[1]")

    assert (answer.status_code, service.body) == (202, [1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hunter2",
        b'{"hunter2": 1,}',
        b"\xff\xfehunter2",
        '{"a": 1}'.encode("utf-16"),
        b"NaN",
        b"[1e999]",
        b"[" + b"9" * 5000 + b"]",
        b"[-Infinity]",
        b'{"a": 1, "a": 2}',
        b'["\\ud800"]',
        b'{"\\ud800": 1}',
        b"[" * 65 + b"]" * 65,
        b"[" * 200_000,
        b'{"a":' * 100_000,
    ],
    ids=range(15),
)
async def test_what_is_not_clean_json_is_400_with_a_pointer_and_without_its_value(content: bytes) -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post(
            "/hooks/open", content=content, headers={"content-type": "application/json"}
        )

        found = problem(answer, 400)
        assert found["errors"][0]["pointer"] == ""
        assert "hunter2" not in answer.text
        assert service.events == []
        assert (await client.post("/hooks/open", content=b"[" * 64 + b"]" * 64)).status_code == 202


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"a=%FF", "application/x-www-form-urlencoded"),
        (b"a=\xff", "application/x-www-form-urlencoded"),
        (b"&".join([b"a=1"] * 1001), "application/x-www-form-urlencoded"),
        (b'{"a": "b"}', "application/x-www-form-urlencoded"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (
            b'--x\r\ncontent-disposition: form-data; name="a"; filename="b"\r\n\r\n1\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\n" + b"a: b\r\n" * 1000, "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data; boundary=" + "x" * 300),
    ],
    ids=range(11),
)
async def test_what_is_not_a_clean_form_is_400(content: bytes, kind: str) -> None:
    service = Service()
    async with serving(service) as client:
        problem(await client.post("/hooks/open", content=content, headers={"content-type": kind}), 400)

    assert service.events == []


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", "text/plain")],
        [("content-type", "text/html; charset=utf-8")],
        [("content-type", "application/json; charset=utf-16")],
        [("content-type", "multipart/form-data")],
        [("content-type", ";")],
        [("content-type", "json")],
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-type", "application/json"), ("content-encoding", "gzip")],
    ],
    ids=range(8),
)
async def test_another_type_or_coding_is_415_that_says_what_is_taken(headers: list[tuple[str, str]]) -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post("/hooks/open", content=b"{}", headers=headers)

    problem(answer, 415)
    assert "application/json" in answer.headers["accept-post"]


async def test_a_body_against_the_flows_schema_is_400_with_each_place_and_no_value() -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post(
            "/hooks/crm/person", json={"email": "hunter2", "age": "hunter3", "more": "hunter4"}
        )

    found = problem(answer, 400)
    assert sorted(error["pointer"] for error in found["errors"]) == ["/age", "/email", "/more"]
    assert "hunter" not in answer.text
    assert service.events == []


async def test_a_large_body_is_checked_like_a_small_one() -> None:
    service = Service()
    async with serving(service) as client:
        good = await client.post("/hooks/crm/person", content=b" " * 50_000 + b'{"email": "a@example.com"}')
        bad = await client.post("/hooks/crm/person", content=b" " * 50_000 + b"{}")

    assert (good.status_code, bad.status_code) == (202, 400)


@pytest.mark.parametrize(
    "path", ["nothing", "open/", "Open", "open/x", "crm", "crm%2Fpersons", "", "..%2Fhealthz"]
)
async def test_a_path_of_no_flow_is_404(path: str) -> None:
    service = Service()
    async with serving(service) as client:
        problem(await client.post(f"/hooks/{path}", json={}), 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
async def test_another_method_is_405_with_allow(method: str) -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.request(method, "/hooks/open")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_says_it_is_too_large_is_413_before_it_is_sent() -> None:
    service = Service()
    async with serving(service, max_body=100) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(
            b"POST /hooks/open HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 101\r\n\r\n"
        )
        head = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        exact = await client.post("/hooks/open", content=b'"' + b"a" * 98 + b'"')

    assert head.startswith(b"HTTP/1.1 413 ")
    assert exact.status_code == 202


async def test_chunks_are_counted_and_end_in_413() -> None:
    service = Service()

    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(200):
            yield b"a" * 1000

    async with serving(service, max_body=5000) as client:
        answer = await client.post("/hooks/open", content=chunks())
        again = await client.post("/hooks/open", json={})

    problem(answer, 413)
    assert again.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer wrong")],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", TOKEN)],
        [("authorization", "Bearer")],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
        [("authorization", "Bearer \xe4".encode("latin-1"))],
    ],
    ids=range(8),
)
async def test_all_wrong_tokens_get_one_and_the_same_401(headers: list[tuple[str, str]]) -> None:
    service = Service()
    async with serving(service) as client:
        usual = await client.post("/hooks/token", json={}, headers={"authorization": "Bearer usual"})
        answer = await client.post("/hooks/token", content=b"not json", headers=httpx.Headers(headers))

    problem(answer, 401)
    assert "bearer" in answer.headers["www-authenticate"].lower()
    assert answer.content == usual.content
    assert service.events == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_right_token_passes_and_is_not_in_the_event(scheme: str) -> None:
    service = Service()
    headers = {
        "authorization": f"{scheme} {TOKEN}",
        "cookie": f"a={TOKEN}",
        "x-api-key": TOKEN,
        "x-hub-signature-256": TOKEN,
        "proxy-authorization": TOKEN,
        "x-gitlab-token": TOKEN,
    }
    async with serving(service) as client:
        answer = await client.post("/hooks/token", json={}, headers=headers)

    ((_, event, _),) = service.events
    assert answer.status_code == 202
    assert TOKEN not in repr(event)


async def test_a_credential_that_cannot_be_had_lets_nobody_in() -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post("/hooks/lost", json={}, headers=BEARER)

    problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert "gone" not in answer.text


async def test_the_body_of_a_stranger_is_not_read() -> None:
    service = Service()
    async with serving(service):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"POST /hooks/token HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        head = await asyncio.wait_for(reader.readline(), 10)
        writer.close()

    assert head.startswith(b"HTTP/1.1 401 ")


@needs_corpora
@pytest.mark.parametrize("case", corpus("webhooks/standard-webhooks.jsonl"), ids=lambda case: case["id"])
async def test_standard_webhooks(case: dict[str, object]) -> None:
    if case["expected"] == "config-error":
        with pytest.raises(SecretError):
            signing_key(str(case["secret"]))
        return
    service = Service()
    service.secrets["by-signature"] = ("signature", str(case["secret"]))
    service.now = float(str(case["now"]))
    headers = [(name.encode(), value.encode()) for name, value in case["headers"].items()]  # type: ignore[attr-defined]
    async with serving(service) as client:
        answer = await client.post("/hooks/signed", content=str(case["body"]), headers=headers)

    if case["expected"] == "accept":
        assert (answer.status_code, len(service.events)) == (202, 1)
    else:
        assert answer.status_code in (400, 401)
        assert service.events == []


async def test_a_signed_request_played_again_returns_the_first_run_whatever_key_it_brings() -> None:
    service = Service()
    headers = signed(service, b"{}")
    async with serving(service) as client:
        first = await client.post("/hooks/signed", content=b"{}", headers=headers)
        again = await client.post(
            "/hooks/signed", content=b"{}", headers={**headers, "idempotency-key": "another"}
        )

    assert (first.json(), again.json()) == ({"run_id": "run-1"}, {"run_id": "run-1"})
    assert len(service.events) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": ""},
        {"webhook-id": "a" * 256},
        {"webhook-id": "msg_1.1700000000"},
        {"webhook-timestamp": "-1700000000"},
        {"webhook-timestamp": "+1700000000"},
        {"webhook-timestamp": "1_700_000_000"},
        {"webhook-signature": "v1," + "A" * 30_000},
        {"webhook-signature": " ".join(["v1,AAAA"] * 1000)},
        {"webhook-signature": "v1"},
        {"webhook-signature": ","},
        {"webhook-signature": "\u00e4,\u00e4"},
    ],
    ids=range(11),
)
async def test_odd_signatures_are_401(change: dict[str, str]) -> None:
    service = Service()
    headers = {name: value.encode("latin-1") for name, value in {**signed(service, b"{}"), **change}.items()}
    async with serving(service) as client:
        answer = await client.post("/hooks/signed", content=b"{}", headers=headers)

    assert answer.status_code == 401
    assert service.events == []


async def test_an_idempotency_key_returns_the_first_run() -> None:
    service = Service()
    async with serving(service) as client:
        first = await client.post(
            "/hooks/open", json={"a": 1}, headers={"idempotency-key": '"k 1"'.replace(" ", "")}
        )
        again = await client.post("/hooks/open", json={"a": 1}, headers={"idempotency-key": "k1"})
        other = await client.post("/hooks/open", json={"a": 1}, headers={"webhook-id": "k2"})
        elsewhere = await client.post(
            "/hooks/crm/person", json={"email": "a@example.com"}, headers={"idempotency-key": "k1"}
        )

    ids = [answer.json()["run_id"] for answer in (first, again, other, elsewhere)]
    assert ids == ["run-1", "run-1", "run-2", "run-3"]


async def test_a_key_with_another_payload_is_409() -> None:
    service = Service()
    async with serving(service) as client:
        await client.post("/hooks/open", json={"a": 1}, headers={"idempotency-key": "k"})
        answer = await client.post("/hooks/open", json={"a": 2}, headers={"idempotency-key": "k"})

    problem(answer, 409)


@pytest.mark.parametrize("key", ["", "a" * 256, "a b", "a\tb", "\xe4"])
async def test_a_key_that_is_none_is_400(key: str) -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post("/hooks/open", json={}, headers={"idempotency-key": key.encode("latin-1")})

    problem(answer, 400)
    assert service.events == []


async def test_headers_that_are_too_large_are_431() -> None:
    service = Service()
    async with serving(service) as client:
        problem(await client.post("/hooks/open", json={}, headers={"x-long": "a" * 33_000}), 431)

    assert service.events == []


async def test_two_keys_are_400() -> None:
    service = Service()
    async with serving(service) as client:
        headers = [("idempotency-key", "a"), ("idempotency-key", "b")]
        problem(await client.post("/hooks/open", json={}, headers=headers), 400)


async def test_prefer_wait_answers_with_the_result() -> None:
    service = Service(run=ended_run(), run_after=0.1)
    async with serving(service) as client:
        answer = await client.post("/hooks/open", json={}, headers={"prefer": "respond-async, wait=3600"})

    found = answer.json()
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=60")
    assert (found["run_id"], found["status"]) == ("run-1", "succeeded")
    assert found["nodes"]["one"]["output"] == {"raw": {"base64": "AAE="}, "n": 1}


async def test_prefer_wait_ends_in_202_when_the_run_takes_longer() -> None:
    service = Service()
    async with serving(service) as client:
        begin = time.monotonic()
        answer = await client.post("/hooks/open", json={}, headers={"prefer": "wait=1"})

    assert (answer.status_code, answer.json()) == (202, {"run_id": "run-1"})
    assert 0.9 <= time.monotonic() - begin < 15


async def test_a_wait_ends_when_the_service_stops() -> None:
    service = Service()
    async with serving(service) as client:
        asking = asyncio.create_task(client.post("/hooks/open", json={}, headers={"prefer": "wait=60"}))
        while not service.events:
            await asyncio.sleep(0.01)
        service.draining = True

        assert (await asyncio.wait_for(asking, 15)).status_code == 202


@pytest.mark.parametrize(
    "prefer", ["wait", "wait=", "wait=-1", "wait=x", "wait=0", "waiting=5", "\xe4", "wait=1e9"]
)
async def test_a_preference_that_is_not_understood_is_ignored(prefer: str) -> None:
    service = Service(run=ended_run())
    async with serving(service) as client:
        answer = await client.post("/hooks/open", json={}, headers={"prefer": prefer.encode("latin-1")})

    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


async def test_a_stopping_service_takes_nothing() -> None:
    service = Service(draining=True)
    async with serving(service) as client:
        answer = await client.post("/hooks/open", json={})

    problem(answer, 503)
    assert answer.headers["retry-after"].isdecimal()
    assert service.events == []


async def test_a_database_that_is_away_is_503_without_its_address() -> None:
    service = Service(down=Unavailable("cannot reach postgresql://ann@db"))
    async with serving(service) as client:
        answer = await client.post("/hooks/open", json={})
        service.down = None
        again = await client.post("/hooks/open", json={})

    problem(answer, 503)
    assert answer.headers["retry-after"].isdecimal()
    assert "postgres" not in answer.text
    assert again.status_code == 202


async def test_a_mistake_of_ours_is_a_problem_document_too() -> None:
    service = Service()

    async def broken(*event: object) -> object:
        raise ValueError("hunter2")

    service.accept = broken  # type: ignore[method-assign,assignment]
    async with serving(service) as client:
        answer = await client.post("/hooks/open", json={})

    problem(answer, 500)
    assert "hunter2" not in answer.text


async def test_a_limit_answers_429_with_the_time_to_wait_and_counts_each_hook_alone() -> None:
    service = Service()
    async with serving(service, rate=(2, 600.0)) as client:
        codes = [(await client.post("/hooks/open", json={})).status_code for _ in range(2)]
        answer = await client.post("/hooks/open", json={})
        other = await client.post("/hooks/token", json={}, headers=BEARER)

    assert codes == [202, 202]
    problem(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert other.status_code == 202


async def test_a_hook_with_a_rate_of_its_own_does_not_take_that_of_the_settings() -> None:
    service = Service()
    service.replace_flows(flow_of("narrow", rate="1/day"), flow_of("wide", rate="1000/s"))
    async with serving(service, rate=(2, 600.0)) as client:
        codes = {
            path: [(await client.post(f"/hooks/{path}", json={})).status_code for _ in range(4)]
            for path in ("narrow", "wide")
        }

    assert codes == {"narrow": [202, 429, 429, 429], "wide": [202] * 4}


async def test_callers_who_prove_nothing_use_up_no_rate() -> None:
    service = Service()
    async with serving(service, rate=(1, 600.0)) as client:
        strangers = [(await client.post("/hooks/token", json={})).status_code for _ in range(5)]
        known = await client.post("/hooks/token", json={}, headers=BEARER)

    assert strangers == [401] * 5
    assert known.status_code == 202


def test_a_rate_that_changes_holds_at_once() -> None:
    now = 0.0
    limiter = Limiter(lambda: now)
    before = [limiter.wait("a", (1, 86400.0)) for _ in range(2)]
    after = [limiter.wait("a", (2, 1.0)) for _ in range(3)]

    assert before == [0, 86400]
    assert after == [0, 0, 1]


def test_a_limit_lets_the_rate_pass_and_no_more() -> None:
    now = 0.0
    limiter = Limiter(lambda: now)
    passed = []
    for tick in range(100):
        now = tick * 0.05
        passed.append(limiter.wait("a", (5, 1.0)) == 0)

    assert sum(passed[:20]) <= 10
    assert 4 <= sum(passed[80:]) <= 6


async def test_new_flows_are_live_at_once_and_old_paths_are_gone() -> None:
    service = Service()
    async with serving(service) as client:
        service.replace_flows(flow_of("fresh"))
        codes = [(await client.post(f"/hooks/{path}", json={})).status_code for path in ("fresh", "open")]

    assert codes == [202, 404]


@pytest.mark.parametrize("query", ["a=%FF", "&".join(f"a{n}=1" for n in range(101))], ids=["octets", "many"])
async def test_a_query_that_is_none_is_400(query: str) -> None:
    service = Service()
    async with serving(service) as client:
        problem(await client.post(f"/hooks/open?{query}", json={}), 400)


async def test_a_caller_who_leaves_in_the_middle_of_the_body_starts_nothing() -> None:
    service = Service()
    async with serving(service) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"POST /hooks/open HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n{}")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.1)

        assert (await client.post("/hooks/open", json=1)).status_code == 202
    assert [event.body for _, event, _ in service.events] == [1]


async def test_a_request_of_two_lengths_is_the_last_of_its_connection() -> None:
    """RFC 9112 section 6.1: a proxy that went by the other length would hand on the rest as somebody else's request."""
    service = Service()
    smuggled = b"POST /hooks/open HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n2"
    head = b"POST /hooks/open HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n"
    async with serving(service):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(head + b"1\r\n1\r\n0\r\n\r\n" + smuggled)
        answers = await reader.read()
        writer.close()

    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 202")
    assert [event.body for _, event, _ in service.events] == [1]


async def test_the_documents_are_json_whatever_stands_in_the_request() -> None:
    service = Service()
    async with serving(service) as client:
        answer = await client.post("/hooks/open", content=b'{"\\"\\u0000<b>": 1, "\\"\\u0000<b>": 2}')

    assert json.loads(answer.content)["detail"] == 'the body holds the key "\\"\\u0000<b>" twice'
