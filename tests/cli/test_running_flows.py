"""Order, conditions, lists, failures and retries of a run, as SPEC section 3 promises them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Workspace

PASSWORD = "correct horse"
FAST = "retry: {attempts: 3, delay: 1ms, max_delay: 2ms}"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(username="ann@example.com", password=PASSWORD) as running:
        yield running


@pytest.fixture
def ready(workspace: Workspace, server: ScriptedServer) -> Workspace:
    workspace.settings(LOOPBACK)
    workspace.smtp("marketing", server)
    return workspace


def smtp(to: str = "ann@example.com", subject: str = "s", body: str = "b") -> str:
    fields = {"credential": "marketing", "to": to, "subject": subject, "body_format": "text", "body": body}
    return json.dumps(fields)


def subjects(server: ScriptedServer) -> list[str]:
    lines = [line for mail in server.messages for line in mail.data.decode().split("\r\n")]
    return [line.removeprefix("Subject: ") for line in lines if line.startswith("Subject: ")]


def test_for_each_sends_one_message_an_item_and_gives_a_list(
    ready: Workspace, server: ScriptedServer
) -> None:
    ready.flow(
        "f",
        "nodes:\n  - id: each\n    for_each: << trigger.body.people >>\n"
        f"    smtp: {smtp('<<item.email>>', 'for <<item.name>>')}\n",
    )
    people = [{"email": "a@example.com", "name": "A"}, {"email": "b@example.com", "name": "B"}]
    answer = ready.call("run", "f", "--format", "json", "--body", json.dumps({"people": people}))

    assert answer.code == 0, answer.out + answer.err
    assert subjects(server) == ["for A", "for B"]
    output = answer.json["nodes"]["each"]["output"]
    assert [entry["accepted"] for entry in output] == [["a@example.com"], ["b@example.com"]]
    assert output[0]["message_id"] != output[1]["message_id"]


def test_for_each_says_which_item_failed_and_how_many_more(ready: Workspace, server: ScriptedServer) -> None:
    ready.flow("f", f"nodes:\n  - id: each\n    for_each: << trigger.body >>\n    smtp: {smtp('<<item>>')}\n")
    answer = ready.call(
        "run", "f", "--format", "json", "--body", '["a@example.com", "bad1", "b@example.com", "bad2"]'
    )
    alone = ready.call("run", "f", "--body", '["bad1"]')

    error = answer.json["nodes"]["each"]["error"]
    assert (answer.code, error["code"], len(server.messages)) == (1, "EADDRESS", 2)
    assert error["message"] == 'item 2 of 4: Invalid address in to: "bad1" has no @ (1 more failed)'
    assert 'item 1 of 1: Invalid address in to: "bad1" has no @ [EADDRESS]' in alone.err


@pytest.mark.parametrize(
    ("body", "kind"), [('"x"', "text"), ("{}", "a mapping"), ("null", "nothing"), ("5", "a number")]
)
def test_for_each_over_what_is_no_list_says_what_it_got(ready: Workspace, body: str, kind: str) -> None:
    ready.flow("f", f"nodes:\n  - id: each\n    for_each: << trigger.body >>\n    smtp: {smtp()}\n")
    answer = ready.call("run", "f", "--body", body)

    assert answer.code == 1
    assert f'for_each of node "each" needs a list and got {kind}' in answer.err


def test_when_decides_and_later_nodes_see_what_happened(ready: Workspace, server: ScriptedServer) -> None:
    ready.flow(
        "f",
        f"""
nodes:
  - id: broken
    http: {{url: "http://127.0.0.1:1/"}}
    on_error: continue
  - id: good
    when: << nodes.broken.status == "succeeded" >>
    smtp: {smtp()}
  - id: alert
    when: << nodes.broken.status == "failed" and nodes.good.status == "skipped" >>
    smtp: {smtp(subject="<<nodes.broken.error.code>> in <<flow.name>>")}
""",
    )
    answer = ready.call("run", "f", "--format", "json")

    assert answer.code == 0, answer.out + answer.err
    assert answer.json["status"] == "succeeded"
    statuses = {name: node["status"] for name, node in answer.json["nodes"].items()}
    assert statuses == {"broken": "failed", "good": "skipped", "alert": "succeeded"}
    assert subjects(server) == ["ECONNECTION in f"]


def test_a_failure_stops_the_run_and_later_nodes_do_not_run(ready: Workspace, server: ScriptedServer) -> None:
    ready.flow(
        "f",
        f"nodes:\n  - id: broken\n    http: {{url: 'http://127.0.0.1:1/'}}\n  - id: mail\n    smtp: {smtp()}\n",
    )
    answer = ready.call("run", "f", "--format", "json")

    assert answer.code == 1
    assert answer.json["status"] == "failed"
    assert answer.json["nodes"]["mail"]["status"] == "skipped"
    assert server.messages == []


def test_a_transient_refusal_is_tried_again_with_the_same_message_id(
    workspace: Workspace,
) -> None:
    script = {"RCPT": ["451 4.3.0 later", "451 4.3.0 later", "250 ok"]}
    with ScriptedServer(username="ann@example.com", password=PASSWORD, script=script) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n    {FAST}\n")
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 0, answer.out + answer.err
    assert answer.json["nodes"]["mail"]["attempts"] == 3
    assert len(server.messages) == 1


def test_a_lasting_refusal_is_not_tried_again(workspace: Workspace) -> None:
    with ScriptedServer(
        username="ann@example.com", password=PASSWORD, script={"RCPT": ["550 5.1.1 gone"]}
    ) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n    {FAST}\n")
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 1
    assert answer.json["nodes"]["mail"]["attempts"] == 1


def test_only_the_recipient_who_was_deferred_is_tried_again(workspace: Workspace) -> None:
    script = {"RCPT": ["250 ok", "450 4.2.1 busy", "550 5.1.1 gone", "250 ok"]}
    with ScriptedServer(username="ann@example.com", password=PASSWORD, script=script) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        flow = f"nodes:\n  - id: mail\n    smtp: {smtp('a@example.com, b@example.com, c@example.com')}\n    {FAST}\n"
        workspace.flow("f", flow)
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 0, answer.out + answer.err
    assert [mail.recipients for mail in server.messages] == [["a@example.com"], ["b@example.com"]]
    output = answer.json["nodes"]["mail"]["output"]
    assert output["accepted"] == ["a@example.com", "b@example.com"]
    assert [entry["address"] for entry in output["rejected"]] == ["c@example.com"]
    assert output["rejected"][0] == {
        "address": "c@example.com",
        "code": 550,
        "enhanced_code": "5.1.1",
        "message": output["rejected"][0]["message"],
    }


def test_who_was_served_stays_served_when_the_rest_is_refused_for_good(workspace: Workspace) -> None:
    script = {"RCPT": ["250 ok", "450 4.2.1 busy", "550 5.1.1 gone"]}
    with ScriptedServer(username="ann@example.com", password=PASSWORD, script=script) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow(
            "f", f"nodes:\n  - id: mail\n    smtp: {smtp('a@example.com, b@example.com')}\n    {FAST}\n"
        )
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 0, answer.out + answer.err
    output = answer.json["nodes"]["mail"]["output"]
    assert output["accepted"] == ["a@example.com"]
    assert [(entry["address"], entry["code"]) for entry in output["rejected"]] == [("b@example.com", 550)]


def test_each_recipient_refused_in_a_second_attempt_keeps_their_own_reply(workspace: Workspace) -> None:
    later = ["450 4.2.1 busy", "550 5.1.1 gone", "250 ok"]
    script = {"RCPT": ["250 ok", "450 4.2.1 busy", "450 4.2.2 full", *later]}
    with ScriptedServer(username="ann@example.com", password=PASSWORD, script=script) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        to = smtp("a@example.com, b@example.com, c@example.com")
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {to}\n    {FAST}\n")
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 0, answer.out + answer.err
    assert [mail.recipients for mail in server.messages] == [["a@example.com"], ["b@example.com"]]
    assert answer.json["nodes"]["mail"]["output"]["rejected"] == [
        {"address": "c@example.com", "code": 550, "enhanced_code": "5.1.1", "message": "gone"}
    ]


def test_who_was_refused_for_good_is_not_tried_again_though_nobody_was_served_yet(
    workspace: Workspace,
) -> None:
    script = {"RCPT": ["450 4.2.1 busy", "550 5.1.1 gone"]}
    with ScriptedServer(username="ann@example.com", password=PASSWORD, script=script) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow(
            "f", f"nodes:\n  - id: mail\n    smtp: {smtp('a@example.com, b@example.com')}\n    {FAST}\n"
        )
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 0, answer.out + answer.err
    output = answer.json["nodes"]["mail"]["output"]
    assert output["accepted"] == ["a@example.com"]
    assert [(entry["address"], entry["code"]) for entry in output["rejected"]] == [("b@example.com", 550)]


def test_an_unknown_delivery_is_held(workspace: Workspace) -> None:
    with ScriptedServer(
        username="ann@example.com", password=PASSWORD, script={"DATA_END": ["drop", "250 ok"]}
    ) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n    {FAST}\n")
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.json["nodes"]["mail"]["error"]["code"] == "EUNKNOWN"
    assert answer.json["nodes"]["mail"]["attempts"] == 1
    assert len(server.received) == 1


def test_an_unknown_delivery_is_sent_again_when_the_flow_says_so(workspace: Workspace) -> None:
    with ScriptedServer(
        username="ann@example.com", password=PASSWORD, script={"DATA_END": ["drop", "250 ok"]}
    ) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        fields = {**json.loads(smtp()), "on_unknown": "resend"}
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {json.dumps(fields)}\n    {FAST}\n")
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 0, answer.out + answer.err
    ids = [
        line
        for mail in server.received
        for line in mail.data.split(b"\r\n")
        if line.startswith(b"Message-ID")
    ]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_dry_run_sends_nothing_and_shows_the_message(ready: Workspace, server: ScriptedServer) -> None:
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp(subject='Hello <<trigger.body.name>>')}\n")
    answer = ready.call("run", "f", "--set", "name=Ann", "--dry-run")

    assert answer.code == 0, answer.out + answer.err
    assert "Hello Ann" in answer.out
    assert "nothing was sent" in answer.err
    assert server.connections == []


@pytest.mark.parametrize(
    ("settings", "environment"),
    [("delivery: {mode: capture}\n", None), ("", "capture")],
)
def test_capture_sends_nothing(
    ready: Workspace, server: ScriptedServer, settings: str, environment: str | None
) -> None:
    ready.settings(LOOPBACK + settings)
    if environment:
        ready.environ["FLOWPOST_DELIVERY"] = environment
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n")

    assert ready.call("run", "f").code == 0
    assert server.connections == []


def test_redirect_goes_to_one_address_and_says_whom_it_was_for(
    ready: Workspace, server: ScriptedServer
) -> None:
    ready.settings(LOOPBACK + "delivery: {mode: redirect, to: qa@acme.example}\n")
    fields = {**json.loads(smtp("a@example.com")), "bcc": "hidden@example.com"}
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {json.dumps(fields)}\n")

    assert ready.call("run", "f").code == 0
    assert [mail.recipients for mail in server.messages] == [["qa@acme.example"]]
    assert b"a@example.com" in server.messages[0].data
    assert b"hidden@example.com" in server.messages[0].data


def test_allowlist_refuses_everyone_else(ready: Workspace, server: ScriptedServer) -> None:
    ready.settings(LOOPBACK + 'delivery: {mode: allowlist, allow: ["*@acme.example"]}\n')
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp('<<trigger.body.to>>')}\n")

    assert ready.call("run", "f", "--set", "to=a@ACME.example").code == 0
    refused = ready.call("run", "f", "--format", "json", "--set", "to=a@acme.example.evil.example")
    assert refused.code == 1
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    "value", ["liev", "redirect", "redirect:", "allowlist:", "redirect:not an address", ""]
)
def test_a_delivery_mode_that_is_not_understood_stops_everything(
    ready: Workspace, server: ScriptedServer, value: str
) -> None:
    ready.environ["FLOWPOST_DELIVERY"] = value
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n")
    answer = ready.call("run", "f")

    assert answer.code == 2, answer
    assert server.connections == []


def test_bcc_never_appears_in_the_message(ready: Workspace, server: ScriptedServer) -> None:
    fields = {**json.loads(smtp()), "bcc": ["hidden@example.com"]}
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {json.dumps(fields)}\n")

    assert ready.call("run", "f").code == 0
    assert server.messages[0].recipients == ["ann@example.com", "hidden@example.com"]
    assert b"hidden@example.com" not in server.messages[0].data


def test_a_list_expands_and_a_string_does_not_unless_the_author_says(
    ready: Workspace, server: ScriptedServer
) -> None:
    fields = {**json.loads(smtp("<<trigger.body.list>>")), "cc": "<<trigger.body.text | addresses>>"}
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {json.dumps(fields)}\n")
    body = {"list": ["a@example.com", "B, Frau <b@example.com>"], "text": "c@example.com, D <d@example.com>"}
    answer = ready.call("run", "f", "--body", json.dumps(body))

    assert answer.code == 0, answer.out + answer.err
    assert server.messages[0].recipients == [f"{name}@example.com" for name in "abcd"]


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_both_kinds_of_tls_carry_the_message(workspace: Workspace, tls: str) -> None:
    with ScriptedServer(tls=tls, username="ann@example.com", password=PASSWORD) as server:
        workspace.settings(LOOPBACK)
        encryption = "tls" if tls == "implicit" else "starttls"
        workspace.smtp(
            "marketing",
            server,
            server={"host": "localhost", "port": server.port, "encryption": encryption},
        )
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n")
        answer = workspace.call("run", "f")

    assert answer.code == 0, answer.out + answer.err
    assert server.messages[0].tls
    assert PASSWORD.encode() not in server.clear


def test_a_relay_without_tls_and_login_works(workspace: Workspace) -> None:
    with ScriptedServer(tls="none", mechanisms="") as server:
        workspace.settings(LOOPBACK)
        workspace.credential(
            "marketing",
            {
                "server": {"host": "127.0.0.1", "port": server.port, "encryption": "none"},
                "auth": {"type": "none"},
                "sender": {"default_from": "relay@example.com"},
            },
        )
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n")
        answer = workspace.call("run", "f")

    assert answer.code == 0, answer.out + answer.err
    assert server.messages[0].sender == "relay@example.com"


def test_no_password_goes_over_a_connection_without_tls(workspace: Workspace) -> None:
    with ScriptedServer(tls="none", username="ann@example.com", password=PASSWORD) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp(
            "marketing",
            server,
            server={"host": "127.0.0.1", "port": server.port, "encryption": "none"},
            security={"min_tls": "1.2"},
        )
        workspace.flow("f", f"nodes:\n  - id: mail\n    smtp: {smtp()}\n    {FAST}\n")
        answer = workspace.call("run", "f", "--format", "json")

    assert answer.code == 1
    assert server.messages == []
    assert server.logins() == 0
    assert b"AUTH" not in server.clear


def _html_parts(server: ScriptedServer) -> list[str]:
    from email.parser import BytesParser
    from email.policy import default

    parsed = [BytesParser(policy=default).parsebytes(mail.data) for mail in server.messages]
    return [str(message.get_body(("html",)).get_content()).rstrip() for message in parsed]  # type: ignore[union-attr]


@pytest.mark.parametrize("html_body", [None, "", "<<trigger.body.none>>", "<% if false %>x<% endif %>"])
def test_body_as_html_content_is_escaped_whatever_left_html_body_empty(
    ready: Workspace, server: ScriptedServer, html_body: str | None
) -> None:
    fields = {**json.loads(smtp(body="Hi <<trigger.body.name>>")), "body_format": "html"}
    if html_body is not None:
        fields["html_body"] = html_body
    ready.flow("f", f"nodes:\n  - id: mail\n    smtp: {json.dumps(fields)}\n")
    answer = ready.call("run", "f", "--body", json.dumps({"name": "<script>x</script>", "none": ""}))

    assert answer.code == 0, answer
    assert _html_parts(server) == ["Hi &lt;script&gt;x&lt;/script&gt;"]
