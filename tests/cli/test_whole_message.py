"""One flow with every parameter of the smtp node, over real TLS, read back by an independent parser."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import default

import pytest
from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Workspace

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

FLOW = """
name: everything
body:
  type: object
  properties:
    name: {type: string}
    email: {type: string}
    rows: {type: array, items: {type: object, properties: {sku: {type: string}, n: {type: integer}}}}
nodes:
  - id: csv
    set:
      text: "<% for row in trigger.body.rows %><<row.sku>>;<<row.n>>\\n<% endfor %>"
  - id: mail
    smtp:
      credential: marketing
      to: <<trigger.body.name>> <<<trigger.body.email>>>, second@example.com
      from: Ärzte GmbH <office@example.com>
      cc: [third@example.com, '"Vier, Herr" <fourth@example.com>']
      bcc: secret@example.com
      reply_to: Help <help@example.com>
      subject: Grüße an <<trigger.body.name>> – heute
      body_format: html
      body: "Plain for <<trigger.body.name>>: <<vars.brand>>"
      html_body: "<p>Für <<trigger.body.name>></p><img src='cid:logo'>"
      priority: high
      headers:
        - {key: X-Campaign, value: "spring <<trigger.body.name>>"}
        - {key: X-Plain, value: one}
      attachments:
        - {filename: rows.csv, content_type: text/csv, content: << nodes.csv.output.text >>}
        - {filename: logo.png, content_type: image/png, cid: logo, base64: PNG64}
        - {file: files/Übersicht.txt}
        - {filename: remote.bin, url: "URL/data"}
      unsubscribe: {url: "https://example.com/u?id=<<trigger.body.email>>", mailto: leave@example.com, one_click: true}
      on_unknown: hold
    retry: {attempts: 1}
"""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        self.wfile.write(bytes(range(256)))

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_every_parameter_of_the_smtp_node_arrives_as_it_was_meant(workspace: Workspace, web: str) -> None:
    with ScriptedServer(username="ann@example.com", password="correct horse") as server:
        workspace.settings(LOOPBACK + "vars: {brand: Acme & Söhne}\n")
        workspace.smtp("marketing", server)
        workspace.write("files/Übersicht.txt", "Inhalt\n")
        flow = FLOW.replace("PNG64", base64.b64encode(PNG).decode()).replace("URL", web)
        workspace.flow("everything", flow)
        answer = workspace.call(
            "run", "everything", "--format", "json", "--body",
            '{"name": "Müller, <b>Zoë</b> \\"Z\\"", "email": "zoe@bücher.example", "rows": [{"sku": "a", "n": 1}]}',
        )  # fmt: skip

    assert answer.code == 0, answer.out + answer.err
    output = answer.json["nodes"]["mail"]["output"]
    assert output["rejected"] == []
    assert output["accepted"] == server.messages[0].recipients
    (mail,) = server.messages
    assert mail.tls
    assert mail.sender == "office@example.com"
    assert mail.recipients == [
        "zoe@xn--bcher-kva.example",
        "second@example.com",
        "third@example.com",
        "fourth@example.com",
        "secret@example.com",
    ]
    message = BytesParser(policy=default).parsebytes(mail.data)
    to = message["To"].addresses
    assert [(a.display_name, a.addr_spec) for a in to] == [
        ('Müller, <b>Zoë</b> "Z"', "zoe@xn--bcher-kva.example"),
        ("", "second@example.com"),
    ]
    assert [(a.display_name, a.addr_spec) for a in message["From"].addresses] == [
        ("Ärzte GmbH", "office@example.com")
    ]
    assert [(a.display_name, a.addr_spec) for a in message["Cc"].addresses] == [
        ("", "third@example.com"),
        ("Vier, Herr", "fourth@example.com"),
    ]
    assert message["Bcc"] is None
    assert b"secret@example.com" not in mail.data
    assert message["Reply-To"] == "Help <help@example.com>"
    assert message["Subject"] == 'Grüße an Müller, <b>Zoë</b> "Z" – heute'
    assert message["X-Priority"] == "1 (Highest)"
    assert message["Importance"].lower() == "high"
    assert message["X-MSMail-Priority"].lower() == "high"
    assert message["X-Campaign"] == 'spring Müller, <b>Zoë</b> "Z"'
    assert message["X-Plain"] == "one"
    assert "<https://example.com/u?id=zoe%40b%C3%BCcher.example>" in message["List-Unsubscribe"]
    assert "<mailto:leave@example.com>" in message["List-Unsubscribe"]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Message-ID"] == output["message_id"]
    text = message.get_body(("plain",)).get_content()
    html = message.get_body(("html",)).get_content()
    assert text.rstrip("\n") == 'Plain for Müller, <b>Zoë</b> "Z": Acme & Söhne'
    assert html.rstrip("\n") == ("<p>Für Müller, &lt;b&gt;Zoë&lt;/b&gt; &#34;Z&#34;</p><img src='cid:logo'>")
    files = {part.get_filename(): part for part in message.walk() if part.get_filename()}
    assert files["rows.csv"].get_content_type() == "text/csv"
    assert files["rows.csv"].get_payload(decode=True) == b"a;1\n"
    assert files["logo.png"].get_payload(decode=True) == PNG
    assert files["logo.png"]["Content-ID"] == "<logo>"
    assert files["Übersicht.txt"].get_payload(decode=True) == b"Inhalt\n"
    assert files["remote.bin"].get_payload(decode=True) == bytes(range(256))


def test_the_wire_is_strict(workspace: Workspace) -> None:
    with ScriptedServer(username="ann@example.com", password="correct horse") as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow(
            "plain",
            "nodes:\n  - id: mail\n    smtp: {credential: marketing, to: a@example.com, subject: s, "
            "body_format: text, body: << trigger.body.text >>}\n",
        )
        text = ".leading dot\r\n..two\n" + "long " * 400 + "\n\u2028 line separator\rlone return"
        answer = workspace.call("run", "plain", "--body", __import__("json").dumps({"text": text}))

    assert answer.code == 0, answer.out + answer.err
    data = server.messages[0].data
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert max(map(len, data.split(b"\r\n"))) <= 998
    content = BytesParser(policy=default).parsebytes(data).get_content()
    assert content.replace("\r\n", "\n").rstrip("\n").startswith(".leading dot\n..two\n" + "long " * 400)
