"""One test per row of the error table, over real servers; nothing is sent, nothing is leaked."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Answer, Workspace

PASSWORD = "correct horse"


def mail(**changes: object) -> str:
    """A flow of one smtp node as YAML (JSON is YAML), with parameters changed or added."""
    smtp = {
        "credential": "marketing",
        "to": "ann@example.com",
        "subject": "Hello",
        "body_format": "text",
        "body": "Hi",
        **changes,
    }
    return json.dumps({"nodes": [{"id": "mail", "smtp": smtp, "retry": {"attempts": 1}}]})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(username="ann@example.com", password=PASSWORD) as running:
        yield running


def run(workspace: Workspace, flow: str, body: object = None, settings: str = LOOPBACK) -> Answer:
    if not (workspace.root / "flowpost.yaml").exists():
        workspace.settings(settings)
    workspace.flow("mail", flow)
    answer = workspace.call("run", "mail", "--format", "json", "--body", json.dumps(body or {}))
    assert PASSWORD not in answer.out + answer.err
    assert "Traceback" not in answer.err
    return answer


def error(answer: Answer) -> dict[str, object]:
    assert answer.code == 1, answer
    found = answer.json["nodes"]["mail"]["error"]
    assert set(found) == {"code", "message", "hint", "transient", "smtp_code", "enhanced_code"}
    return found


def scripted(workspace: Workspace, script: dict[str, object], **options: object) -> dict[str, object]:
    """Run the plain mail against a server that follows ``script`` and return the node's error."""
    with ScriptedServer(username="ann@example.com", password=PASSWORD, script=script, **options) as server:
        workspace.smtp("marketing", server)
        return error(run(workspace, mail()))


def test_eauth_when_the_login_is_refused(workspace: Workspace) -> None:
    found = scripted(workspace, {"AUTH": ["535 5.7.8 no such user or password"]})

    assert found["code"] == "EAUTH"
    assert str(found["message"]).startswith("Authentication failed")
    assert "App Password" in str(found["hint"])
    assert found["smtp_code"] == 535
    assert found["transient"] is False


def test_eauth_never_shows_what_a_server_echoes(workspace: Workspace) -> None:
    import base64

    plain = base64.b64encode(b"\0ann@example.com\0" + PASSWORD.encode()).decode()
    with ScriptedServer(script={"AUTH": [f"535 bad login {plain} {PASSWORD}"]}) as server:
        workspace.smtp("marketing", server)
        answer = run(workspace, mail())

    assert error(answer)["code"] == "EAUTH"
    assert plain not in answer.out + answer.err


def test_econnection_when_nobody_listens(workspace: Workspace) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        workspace.smtp("marketing", SimpleNamespace(port=port, ca_pem=""), security={"min_tls": "1.2"})
        found = error(run(workspace, mail()))

    assert found["code"] == "ECONNECTION"
    assert str(found["message"]).startswith(f"Cannot connect to localhost:{port}")
    assert found["transient"] is True
    assert "587/465" in str(found["hint"])


def test_econnection_when_the_connection_drops_before_the_end_of_data(workspace: Workspace) -> None:
    found = scripted(workspace, {"RCPT": ["drop"]})

    assert (found["code"], found["transient"]) == ("ECONNECTION", True)


def test_etimedout_when_the_server_is_silent(workspace: Workspace) -> None:
    with ScriptedServer(username="ann@example.com", password=PASSWORD, script={"MAIL": ["hang"]}) as server:
        workspace.smtp("marketing", server, advanced={"timeout_seconds": 1})
        found = error(run(workspace, mail()))

    assert found["code"] == "ETIMEDOUT"
    assert str(found["message"]).startswith("Timed out")
    assert found["transient"] is True


@pytest.mark.parametrize(
    ("persona", "beginning"),
    [
        ("self-signed", "Self-signed certificate"),
        ("wrong-name", "Hostname mismatch"),
        ("expired", "Certificate expired"),
    ],
)
def test_etls_names_what_is_wrong_with_the_certificate(
    workspace: Workspace, persona: str, beginning: str
) -> None:
    with ScriptedServer(certificate=persona) as server:
        security = {"min_tls": "1.2"} if persona == "self-signed" else {"ca_pem": server.ca_pem}
        workspace.smtp("marketing", server, security=security)
        found = error(run(workspace, mail()))

    assert found["code"] == "ETLS"
    assert str(found["message"]).startswith(beginning)
    assert "accept-unverified" in str(found["hint"])


def test_etls_when_the_server_speaks_an_old_version(workspace: Workspace) -> None:
    import ssl

    with ScriptedServer(max_tls=ssl.TLSVersion.TLSv1_2) as server:
        workspace.smtp("marketing", server, security={"ca_pem": server.ca_pem, "min_tls": "1.3"})
        found = error(run(workspace, mail()))

    assert found["code"] == "ETLS"
    assert str(found["message"]).startswith("TLS version")


def test_accept_unverified_sends_over_a_self_signed_certificate(workspace: Workspace) -> None:
    with ScriptedServer(certificate="self-signed", username="ann@example.com", password=PASSWORD) as server:
        workspace.smtp("marketing", server, security={"certificates": "accept-unverified"})
        answer = run(workspace, mail())

    assert answer.code == 0, answer.out + answer.err
    assert len(server.messages) == 1


def test_eport_when_the_credential_names_port_25(workspace: Workspace) -> None:
    workspace.smtp("marketing", SimpleNamespace(port=25, ca_pem=""), security={"min_tls": "1.2"})
    answer = run(workspace, mail())

    text = answer.out + answer.err
    assert answer.code in (1, 2)
    assert "Port 25 is not allowed" in text
    assert "EPORT" in text


@pytest.mark.parametrize("text", ["a\r\nBcc: eve@evil.example", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"subject": "<<trigger.body.x>>"},
        {"headers": {"X-Tag": "<<trigger.body.x>>"}},
        {"reply_to": "<<trigger.body.x>> <help@example.com>"},
        {"to": "<<trigger.body.x>>@example.com"},
    ],
)
def test_eheader_when_a_value_holds_a_line_break(
    workspace: Workspace, server: ScriptedServer, text: str, parameters: dict[str, object]
) -> None:
    workspace.smtp("marketing", server)
    found = error(run(workspace, mail(**parameters), {"x": text}))

    assert found["code"] == "EHEADER"
    assert str(found["message"]).startswith("Header value contains forbidden characters")
    assert server.messages == []


@pytest.mark.parametrize(
    "name", ["Bcc", "bCC", "Message-ID", "dkim-signature", "Content-Type", "constructor"]
)
def test_ereserved_when_a_value_names_a_reserved_header(
    workspace: Workspace, server: ScriptedServer, name: str
) -> None:
    workspace.smtp("marketing", server)
    flow = mail(headers=[{"key": "<<trigger.body.key>>", "value": "x"}])
    found = error(run(workspace, flow, {"key": name}))

    assert found["code"] == "ERESERVED"
    assert str(found["message"]).startswith("Reserved header is not allowed")
    assert server.messages == []


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b@c", "a@example.com, eve@evil.example", "a b@example.com"]
)
def test_eaddress_when_a_value_is_not_one_address(
    workspace: Workspace, server: ScriptedServer, address: str
) -> None:
    workspace.smtp("marketing", server)
    found = error(run(workspace, mail(to="<<trigger.body.to>>"), {"to": address}))

    assert found["code"] == "EADDRESS"
    assert str(found["message"]).startswith("Invalid address")
    assert server.messages == []


def test_eenvelope_when_every_recipient_is_refused(workspace: Workspace) -> None:
    found = scripted(workspace, {"RCPT": ["550 5.1.1 no such user"]})

    assert found["code"] == "EENVELOPE"
    assert (found["smtp_code"], found["enhanced_code"]) == (550, "5.1.1")
    assert "no such user" in str(found["message"])
    assert found["transient"] is False


def test_eenvelope_is_transient_when_the_reply_is(workspace: Workspace) -> None:
    found = scripted(workspace, {"RCPT": ["450 4.2.1 busy"]})

    assert (found["code"], found["transient"]) == ("EENVELOPE", True)


def test_eenvelope_when_the_sender_is_refused(workspace: Workspace) -> None:
    found = scripted(workspace, {"MAIL": ["553 5.7.1 not your address"]})

    assert (found["code"], found["smtp_code"]) == ("EENVELOPE", 553)


def test_emessage_when_the_server_refuses_after_data(workspace: Workspace) -> None:
    found = scripted(workspace, {"DATA_END": ["554 5.7.1 looks like spam"]})

    assert found["code"] == "EMESSAGE"
    assert (found["smtp_code"], found["enhanced_code"]) == (554, "5.7.1")
    assert "looks like spam" in str(found["message"])


def test_eunknown_when_the_connection_is_lost_before_the_reply(workspace: Workspace) -> None:
    found = scripted(workspace, {"DATA_END": ["drop"]})

    assert found["code"] == "EUNKNOWN"
    assert str(found["message"]).startswith("Delivery unknown")
    assert found["transient"] is False
    assert "on_unknown" in str(found["hint"])


def test_eunknown_when_the_node_runs_out_of_time_before_the_reply(workspace: Workspace) -> None:
    with ScriptedServer(
        username="ann@example.com", password=PASSWORD, script={"DATA_END": ["hang"]}
    ) as server:
        workspace.smtp("marketing", server)
        flow = json.loads(mail())
        flow["nodes"][0]["timeout"] = "1s"
        found = error(run(workspace, json.dumps(flow)))

    assert found["code"] == "EUNKNOWN"


def test_eblocked_without_network_allow_nothing_reaches_loopback(
    workspace: Workspace, server: ScriptedServer
) -> None:
    workspace.smtp("marketing", server)
    found = error(run(workspace, mail(), settings="workspace: acme\n"))

    assert found["code"] == "EBLOCKED"
    assert str(found["message"]).startswith("Address is not public")
    assert "network.allow" in str(found["hint"])
    assert server.connections == []


def test_eblocked_for_an_attachment_url(workspace: Workspace, server: ScriptedServer) -> None:
    workspace.smtp("marketing", server)
    url = "http://169.254.169.254/latest/meta-data"
    found = error(
        run(workspace, mail(attachments=[{"filename": "a", "url": "<<trigger.body.u>>"}]), {"u": url})
    )

    assert found["code"] == "EBLOCKED"
    assert server.messages == []


@pytest.mark.parametrize(
    "attachment",
    [
        {"filename": "a", "base64": "<<trigger.body.x>>"},
        {"filename": "a", "url": "<<trigger.body.x>>"},
        {"filename": "a", "file": "<<trigger.body.x>>"},
    ],
)
@pytest.mark.parametrize("text", ["%%%", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd"])
def test_eattachment_when_it_cannot_be_had(
    workspace: Workspace, server: ScriptedServer, attachment: dict[str, str], text: str
) -> None:
    workspace.smtp("marketing", server)
    found = error(run(workspace, mail(attachments=[attachment]), {"x": text}))

    assert found["code"] == "EATTACHMENT"
    assert server.messages == []


@pytest.mark.parametrize(
    ("parameters", "body"),
    [
        ({"subject": "<<trigger.body.x>>"}, {"x": "s" * 999}),
        ({"body": "<<trigger.body.x>>"}, {"x": "b" * 10_000_001}),
        ({"to": "<<trigger.body.x>>"}, {"x": [f"a{n}@example.com" for n in range(101)]}),
        ({"headers": "<<trigger.body.x>>"}, {"x": {f"X-{n}": "v" for n in range(51)}}),
        ({"attachments": [{"filename": "a", "content": "<<trigger.body.x>>"}] * 3}, {"x": "a" * 9_000_000}),
    ],
)
def test_elimit_before_a_connection_is_opened(
    workspace: Workspace, server: ScriptedServer, parameters: dict[str, object], body: dict[str, object]
) -> None:
    workspace.smtp("marketing", server)
    workspace.write("body.json", json.dumps(body))
    workspace.settings(LOOPBACK)
    workspace.flow("mail", mail(**parameters))
    answer = workspace.call("run", "mail", "--format", "json", "--body", "@body.json")

    assert error(answer)["code"] == "ELIMIT"
    assert server.connections == []


def test_what_is_exactly_at_the_limit_is_sent(workspace: Workspace, server: ScriptedServer) -> None:
    workspace.smtp("marketing", server)
    flow = mail(subject="<<trigger.body.s>>", to="<<trigger.body.to>>", headers="<<trigger.body.h>>")
    body = {
        "s": "s" * 998,
        "to": [f"a{n}@example.com" for n in range(100)],
        "h": {f"X-{n}": "v" for n in range(50)},
    }
    answer = run(workspace, flow, body)

    assert answer.code == 0, answer.out + answer.err
    assert len(server.messages[0].recipients) == 100


@pytest.mark.parametrize(
    "text",
    [
        "<<trigger.body.nmae>>",
        "<< 'x' * 10**9 >>",
        "<< ''.__class__.__mro__ >>",
        "<% for a in range(10**9) %>x<% endfor %>",
    ],
)
def test_etemplate_when_a_template_cannot_be_rendered(
    workspace: Workspace, server: ScriptedServer, text: str
) -> None:
    workspace.smtp("marketing", server)
    answer = run(workspace, mail(body=text), {"name": "Ann"})

    assert answer.code in (1, 2)
    assert "ETEMPLATE" in answer.out + answer.err
    assert server.messages == []


def test_ehttp_when_the_answer_is_not_expected(workspace: Workspace) -> None:
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *arguments: object) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{web.server_address[1]}/x"
        flow = json.dumps({"nodes": [{"id": "mail", "http": {"url": url}, "retry": {"attempts": 1}}]})
        found = error(run(workspace, flow))
    finally:
        web.shutdown()
        web.server_close()

    assert (found["code"], found["transient"]) == ("EHTTP", True)


def test_esecret_when_no_key_opens_the_credential(workspace: Workspace, server: ScriptedServer) -> None:
    workspace.smtp("marketing", server)
    del workspace.environ["SOPS_AGE_KEY"]
    answer = run(workspace, mail())

    text = answer.out + answer.err
    assert answer.code in (1, 2)
    assert "ESECRET" in text
    assert "secrets/marketing.yaml" in text
    assert workspace.recipient in text
    assert "SOPS_AGE_KEY" in text
    assert server.connections == []
