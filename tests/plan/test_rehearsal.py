"""What can be known of a run before it runs: messages, failures, and what needs an answer nobody has yet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.credential import Encryption, HttpCredential, SmtpCredential
from runner.engine.offline import STAND_IN
from runner.engine.rehearse import Rehearsal, Rehearsed, Unforeseen
from runner.errors import (
    AddressError,
    AttachmentError,
    BlockedError,
    FlowpostError,
    TemplateError,
    UsageError,
)
from runner.load import load_flow
from runner.model import Delivery, Event, Settings
from runner.net.guard import Guard
from runner.net.http import HttpClient
from runner.nodes.base import Context
from runner.smtp.pool import Sender

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MAIL = """
  - id: mail
    smtp:
      credential: main
      to: <<trigger.body.email>>
      subject: Hi <<trigger.body.name>>
      body_format: text
      body: Hello <<trigger.body.name>>
"""


class Credentials:
    """One server for every name; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def smtp(self, name: str) -> SmtpCredential:
        self.asked.append(name)
        return SmtpCredential(
            workspace="w", name=name, fingerprint="", host="mail.invalid", port=465,
            encryption=Encryption.TLS, default_from="post@example.com",
        )  # fmt: skip

    async def http(self, name: str) -> HttpCredential:
        raise AssertionError("a rehearsal needs no http credential")


def rehearsal(
    root: Path, text: str, *, credentials: Credentials | None = None, coerce: Any = None, **settings: Any
) -> Rehearsal:
    (root / "flows").mkdir(exist_ok=True)
    path = root / "flows" / "one.yaml"
    path.write_text(text)
    configured = Settings(**settings)
    guard = Guard(())
    context = Context(
        key=("w",), node="", started=NOW, root=root, settings=configured,
        credentials=credentials or Credentials(), http=HttpClient(guard), sender=Sender(guard),
    )  # fmt: skip
    return Rehearsal(load_flow(root, path, configured), context, coerce)


def event(**body: object) -> Event:
    return Event(type="batch", body=body, time=NOW)


async def rehearsed(root: Path, text: str, **body: object) -> Rehearsed:
    return await rehearsal(root, text).rehearse(event(**body), "r1")


async def test_the_messages_of_an_event_are_those_that_would_be_sent(tmp_path: Path) -> None:
    prepared = rehearsal(tmp_path, f"nodes:{MAIL}")

    [message] = await prepared.messages(event(email="ann@example.com", name="Ann"), "r1")

    assert message.envelope.recipients == ("ann@example.com",)
    assert message.text == "Hello Ann"
    assert b"Subject: Hi Ann\r\n" in message.data
    assert b"Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n" in message.data


async def test_the_same_event_and_run_give_the_same_bytes(tmp_path: Path) -> None:
    prepared = rehearsal(tmp_path, f"nodes:{MAIL}")
    one = event(email="ann@example.com", name="Ann")

    assert (await prepared.messages(one, "r1"))[0].data == (await prepared.messages(one, "r1"))[0].data
    assert (await prepared.messages(one, "r2"))[0].data != (await prepared.messages(one, "r1"))[0].data


async def test_a_body_that_the_schema_refuses_renders_nothing(tmp_path: Path) -> None:
    prepared = rehearsal(
        tmp_path,
        f"body: {{type: object, required: [email], properties: {{email: {{}}, name: {{}}}}}}\nnodes:{MAIL}",
    )

    found = await prepared.rehearse(event(name="Ann"), "r1")

    assert [(problem.pointer, problem.message) for problem in found.problems] == [
        ("/email", '"email" is missing')
    ]
    with pytest.raises(UsageError, match='/email: "email" is missing'):
        await prepared.messages(event(name="Ann"), "r1")


async def test_cells_are_coerced_before_the_body_is_checked(tmp_path: Path) -> None:
    def numbers(body: Any) -> Any:
        return {**body, "age": int(body["age"])}

    schema = "body: {type: object, properties: {age: {type: integer}, email: {}, name: {}}}"
    prepared = rehearsal(tmp_path, f"{schema}\nnodes:{MAIL}", coerce=numbers)

    assert len(await prepared.messages(event(email="ann@example.com", name="Ann", age="7"), "r1")) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param({"email": "ann@example.com"}, TemplateError, id="a name is missing"),
        pytest.param(
            {"email": "a@b.com, c@d.com", "name": "x"}, AddressError, id="two addresses in one value"
        ),
    ],
)
async def test_a_node_that_fails_raises_its_own_error_with_its_id(
    tmp_path: Path, body: dict[str, object], kind: type[FlowpostError]
) -> None:
    with pytest.raises(kind, match=r'^node "mail": '):
        await rehearsal(tmp_path, f"nodes:{MAIL}").messages(event(**body), "r1")


async def test_a_failure_that_the_flow_goes_on_after_is_told_and_stops_nothing(tmp_path: Path) -> None:
    more = MAIL.replace("id: mail", "id: second").replace("<<trigger.body.name>>", "you")
    prepared = rehearsal(tmp_path, f"nodes:{MAIL}    on_error: continue\n{more}")

    found = await prepared.rehearse(event(email="ann@example.com"), "r1")

    assert [(failure.node, failure.stops) for failure in found.failures] == [("mail", False)]
    assert found.error is None
    assert [message.node for message in found.messages] == ["second"]


async def test_the_allowlist_holds(tmp_path: Path) -> None:
    closed = Delivery(mode="allowlist", allow=("*@acme.com",))
    prepared = rehearsal(tmp_path, f"nodes:{MAIL}", delivery=closed)

    with pytest.raises(
        BlockedError, match=r'node "mail": Recipient is not in delivery.allow: ann@example.com'
    ):
        await prepared.messages(event(email="ann@example.com", name="Ann"), "r1")


async def test_a_credential_is_looked_up_once(tmp_path: Path) -> None:
    credentials = Credentials()
    prepared = rehearsal(tmp_path, f"nodes:{MAIL}", credentials=credentials)

    for number in range(3):
        await prepared.messages(event(email="ann@example.com", name="Ann"), f"r{number}")

    assert credentials.asked == ["main"]


CRM = """
nodes:
  - id: contact
    http: {method: METHOD, url: "http://127.0.0.1:9/<<trigger.body.id>>", credential: crm}
    on_error: continue
"""


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_http_node_counts_as_answered_and_nothing_is_opened(tmp_path: Path, method: str) -> None:
    welcome = MAIL.replace("id: mail", 'id: mail\n    when: << nodes.contact.status == "succeeded" >>')
    alert = MAIL.replace("id: mail", 'id: alert\n    when: << nodes.contact.status == "failed" >>')

    found = await rehearsed(
        tmp_path, CRM.replace("METHOD", method) + welcome + alert, id=1, email="ann@example.com", name="Ann"
    )

    assert [message.node for message in found.messages] == ["mail"]
    assert (found.unforeseen, found.failures) == ((), ())


@pytest.mark.parametrize(
    "expression",
    [
        "nodes.contact.output.body.name",
        "nodes.contact.output['body']",
        "nodes.contact.output",
        "nodes.contact.output.body.name | default('x')",
        "'x' if nodes.contact.output else 'y'",
        "nodes.contact.output | tojson",
        "nodes.contact.output == 1",
        "nodes.contact.output.items()",
        "nodes.contact.output | length",
        "'a' in nodes.contact.output",
    ],
)
async def test_a_message_that_needs_the_answer_is_unforeseen_and_no_failure(
    tmp_path: Path, expression: str
) -> None:
    mail = MAIL.replace("Hello <<trigger.body.name>>", f'"Hello <<{expression}>>"')

    found = await rehearsed(tmp_path, CRM.replace("METHOD", "GET") + mail, id=1, email="a@b.com", name="Ann")

    assert found.unforeseen == (Unforeseen("mail", "smtp", "contact", "main", certain=True),)
    assert (found.messages, found.failures, found.error) == ((), (), None)


async def test_what_needs_the_answer_by_way_of_another_node_is_unforeseen_too(tmp_path: Path) -> None:
    names = "  - {id: names, set: {name: << nodes.contact.output.body.name >>}}\n"
    mail = MAIL.replace("Hello <<trigger.body.name>>", "Hello <<nodes.names.output.name>>")

    found = await rehearsed(
        tmp_path, CRM.replace("METHOD", "GET") + names + mail, id=1, email="a@b.com", name="Ann"
    )

    assert [(each.node, each.needs) for each in found.unforeseen] == [
        ("names", "contact"),
        ("mail", "contact"),
    ]


@pytest.mark.parametrize("line", ["when: << nodes.contact.output.body.active >>", "for_each: << nodes.contact.output.body >>"])  # fmt: skip
async def test_nobody_knows_whether_a_node_runs_whose_condition_needs_the_answer(
    tmp_path: Path, line: str
) -> None:
    mail = MAIL.replace("id: mail", f"id: mail\n    {line}")

    found = await rehearsed(
        tmp_path, CRM.replace("METHOD", "GET") + mail, id=1, email="ann@example.com", name="Ann"
    )

    assert [(each.node, each.certain) for each in found.unforeseen] == [("mail", False)]


async def test_a_mistake_in_a_request_is_found_although_nothing_is_asked(tmp_path: Path) -> None:
    found = await rehearsed(
        tmp_path, CRM.replace("METHOD", "GET").replace("    on_error: continue\n", "") + MAIL, email="a@b.com", name="x"
    )  # fmt: skip

    assert isinstance(found.error, TemplateError)
    assert 'node "contact": unknown name "id"' in found.error.message


ATTACHED = MAIL + '      attachments: [{url: "URL", filename: offer.pdf}]\n'


async def test_an_attachment_from_a_url_is_stood_in_for(tmp_path: Path) -> None:
    text = "nodes:" + ATTACHED.replace("URL", "https://files.example.com/<<trigger.body.name>>.pdf")

    found = await rehearsed(tmp_path, text, email="ann@example.com", name="Ann")

    from base64 import b64encode

    assert b64encode(STAND_IN)[:20] in found.messages[0].data
    assert b"Content-Type: application/pdf" in found.messages[0].data


async def test_an_attachment_whose_url_is_none_fails(tmp_path: Path) -> None:
    text = "nodes:" + ATTACHED.replace("URL", "<<trigger.body.url>>")

    found = await rehearsed(tmp_path, text, email="ann@example.com", name="Ann", url="file:///etc/passwd")

    assert isinstance(found.error, AttachmentError)


SET = "\n  - {id: aside, set: {x: 1}}\n"
HTML = MAIL.replace("body_format: text", "body_format: html\n      html_body: '<b><<trigger.body.name>></b>'")


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(MAIL, id="text"),
        pytest.param(HTML, id="html"),
        pytest.param(MAIL + "      attachments: [{content: <<trigger.body.name>>, filename: a.txt}]\n", id="attached"),
        pytest.param(MAIL + "    when: << trigger.body.name != 'Bob' >>\n", id="when"),
        pytest.param(MAIL + "    on_error: continue\n", id="goes on"),
    ],
)  # fmt: skip
async def test_the_short_way_of_a_flow_of_one_message_comes_to_the_same(tmp_path: Path, node: str) -> None:
    bodies = [{"email": "ann@example.com", "name": name} for name in ("Ann", "Zoë <b>", "Bob")]
    bodies += [{"email": "nobody", "name": "x"}, {"email": "ann@example.com"}]
    short, long = rehearsal(tmp_path, f"nodes:{node}"), rehearsal(tmp_path, f"nodes:{node}{SET}")

    for body in bodies:
        one, other = await short.rehearse(event(**body), "r1"), await long.rehearse(event(**body), "r1")
        assert one == other
