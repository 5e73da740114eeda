"""Every hostile string in every field that a value can come to: the whole road, from event to wire."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

import pytest
from conftest import corpus
from servers.scripted import Mail, ScriptedServer
from workspace import LOOPBACK, Workspace

from runner.app import App
from runner.engine.execute import Execution
from runner.model import Event, Run, Status

PASSWORD = "correct horse"
OWN = [
    "plain",
    "a\r\nBcc: eve@evil.example",
    "a\nBcc: eve@evil.example\n\nbody",
    "x\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n",
    "Lee, Ann",
    'quo"te\\d',
    "eve@evil.example, ann@example.com",
    "eve@evil.example>, <x@example.com",
    "=?utf-8?q?=0D=0ABcc:_eve=40evil.example?=",
    "=?utf-8?b?QmNjOiBldmVAZXZpbC5leGFtcGxl?=",
    "<script>alert('x')</script>\" onload=\"y",
    "<< trigger.body.secret >> {{ 7*7 }} <% for a in b %>",
    "Zoë 🎉 \u202e \u2028 \u0085 \ufeff",
    "a" * 5000,
    "ä" * 3000,
    "",
    " ",
    ".",
    "\0",
    "../../etc/passwd",
    "C:\\windows\\system32",
]
FIELDS: dict[str, dict[str, Any]] = {
    "display name": {"to": "<<trigger.body.x>> <ann@example.com>"},
    "local part": {"to": "<<trigger.body.x>>@example.com"},
    "address": {"to": "<<trigger.body.x>>"},
    "cc name": {"cc": '"<<trigger.body.x>>" <cc@example.com>'},
    "subject": {"subject": "<<trigger.body.x>>"},
    "part of subject": {"subject": "Re: <<trigger.body.x>> end"},
    "header value": {"headers": {"X-Tag": "<<trigger.body.x>>"}},
    "header name": {"headers": [{"key": "<<trigger.body.x>>", "value": "v"}]},
    "reply-to": {"reply_to": "<<trigger.body.x>> <help@example.com>"},
    "body": {"body": "<<trigger.body.x>>"},
    "html text": {"body_format": "html", "html_body": "<p><<trigger.body.x>></p>"},
    "html attribute": {"body_format": "html", "html_body": '<a title="<<trigger.body.x>>">a</a>'},
    "file name": {"attachments": [{"filename": "<<trigger.body.x>>", "content": "data"}]},
    "content type": {
        "attachments": [{"filename": "a", "content": "data", "content_type": "<<trigger.body.x>>"}]
    },
    "content id": {"attachments": [{"filename": "a", "content": "data", "cid": "<<trigger.body.x>>"}]},
    "unsubscribe url": {"unsubscribe": {"url": "https://example.com/u?id=<<trigger.body.x>>"}},
}
CODES = {"EADDRESS", "EHEADER", "ERESERVED", "ELIMIT", "EATTACHMENT", "ETEMPLATE"}
USUAL = ["Date", "From", "Reply-To", "To", "Cc", "Subject", "Message-ID", "X-Tag", "MIME-Version", "Content-Type",
         "Content-Transfer-Encoding", "List-Unsubscribe"]  # fmt: skip


def strings() -> list[str]:
    found = OWN + [
        str(case[key])
        for name, key in (
            ("strings/injection.jsonl", "input"),
            ("strings/blns.jsonl", "input"),
            ("ssti/payloads.jsonl", "template"),
            ("ssti/payloads.jsonl", "template_angle"),
        )
        for case in corpus(name)
    ]
    return list(dict.fromkeys(found))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(username="ann@example.com", password=PASSWORD) as running:
        yield running


@pytest.mark.parametrize("field", list(FIELDS))
def test_a_value_stays_in_its_field(workspace: Workspace, server: ScriptedServer, field: str) -> None:
    import json

    workspace.settings(LOOPBACK)
    workspace.smtp("marketing", server)
    fields = {
        "credential": "marketing",
        "to": "ann@example.com",
        "subject": "s",
        "body_format": "text",
        "body": "b",
    }
    smtp = {**fields, **FIELDS[field]}
    workspace.flow("f", json.dumps({"nodes": [{"id": "mail", "smtp": smtp, "retry": {"attempts": 1}}]}))
    app = App.open(workspace.root, {"SOPS_AGE_KEY": workspace.identity})
    texts = strings()

    async def main() -> list[tuple[str, Run, list[Mail]]]:
        flow = app.flow("f")
        done = []
        async with app.context() as context:
            for number, text in enumerate(texts):
                before = len(server.messages)
                event = Event(type="manual", body={"x": text, "secret": "s3cr3t"}, time=datetime.now(UTC))
                run = await Execution(context=replace(context)).run(flow, event, f"run-{number}")
                done.append((text, run, server.messages[before:]))
        return done

    sent = 0
    for text, run, mails in asyncio.run(main()):
        result = run.nodes["mail"]
        if result.status is Status.FAILED:
            assert result.error is not None
            assert result.error["code"] in CODES, (text, result.error)
            assert mails == []
            _refused_for_a_reason(field, text, str(result.error["code"]))
            continue
        (mail,) = mails
        sent += 1
        _strict(mail.data)
        message = BytesParser(policy=default).parsebytes(mail.data)
        _nobody_else(field, mail, text)
        _no_other_header(field, message, mail.data, text)
        _arrived(field, message, text)
    assert sent > 0


def _strict(data: bytes) -> None:
    assert b"\0" not in data
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert max(map(len, data.split(b"\r\n"))) <= 998


def _nobody_else(field: str, mail: Mail, text: str) -> None:
    assert mail.sender == "ann@example.com"
    if field == "cc name":
        assert mail.recipients == ["ann@example.com", "cc@example.com"]
    elif field in ("local part", "address"):
        (only,) = mail.recipients
        assert only.rpartition("@")[2] == "example.com" or field == "address", (text, only)
    else:
        assert mail.recipients == ["ann@example.com"]


def _no_other_header(field: str, message: EmailMessage, data: bytes, text: str) -> None:
    head = data.partition(b"\r\n\r\n")[0]
    names = [
        line.partition(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")
    ]
    if field == "header name":
        assert names.count(text) == 1
        names.remove(text)
    assert len(set(names)) == len(names), (text, names)
    assert set(names) <= set(USUAL), (text, names)


def _arrived(field: str, message: EmailMessage, text: str) -> None:
    if field == "subject":
        assert _subject(message) == text
    elif field == "part of subject":
        assert _subject(message) == f"Re: {text} end"
    elif field == "header value":
        assert str(message["X-Tag"] or "") == text or not text.strip() or "=?" in text or not _simple(text)
    elif field == "body":
        content = message.get_content().replace("\r\n", "\n")
        assert content.removesuffix("\n") == re.sub(r"\r\n?", "\n", text).removesuffix("\n") or "\0" in text
    elif field == "html text":
        content = _html(message).removesuffix("\n")
        inside = content.removeprefix("<p>").removesuffix("</p>")
        assert "<" not in inside
        assert html.unescape(inside) == html.unescape(html.escape(re.sub(r"\r\n?", "\n", text)))
    elif field == "html attribute":
        content = _html(message)
        assert content.count('"') == 2, text


def _subject(message: EmailMessage) -> str:
    """The subject as RFC 2047 decodes it, by a reader that is not ours."""
    from email.header import decode_header, make_header

    return str(make_header(decode_header(re.sub(r"\r\n(?=[ \t])", "", str(_raw(message, "Subject"))))))


def _raw(message: EmailMessage, name: str) -> str:
    return next(value for key, value in message.raw_items() if key == name)


def _simple(text: str) -> bool:
    return text.isprintable()


def _refused_for_a_reason(field: str, text: str, code: str) -> None:
    forbidden = any(char in text for char in "\r\n\0")
    if field in ("body", "html text", "html attribute", "unsubscribe url"):
        assert "\0" in text or field == "unsubscribe url", (field, text, code)
    elif field in ("display name", "cc name", "reply-to", "header value", "file name"):
        control = any(
            ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000 for char in text
        )
        assert forbidden or control or len(text) > 900 or not text.strip(" ."), (field, text, code)
    elif field in ("subject", "part of subject"):
        control = any(ord(char) < 32 or ord(char) == 127 for char in text)
        assert forbidden or control or len(text) > 900, (field, text, code)


def _html(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")
