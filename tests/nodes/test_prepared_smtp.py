"""A prepared node fills a message exactly as the node itself composes it: same octets, same envelope, same mistakes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.credential import Encryption, PasswordAuth, Secret, SmtpCredential
from runner.errors import FlowpostError
from runner.load import load_flow
from runner.model import Delivery, Node, Settings
from runner.nodes.base import Context, Message, render
from runner.nodes.prepared import PreparedSmtp
from runner.nodes.smtp import Smtp
from tests.conftest import corpus

DATE = datetime(2026, 11, 22, 8, 30, 15, 77, tzinfo=UTC)
KEY = ("acme", "batch-1/7", "mail")
CREDENTIAL = SmtpCredential(
    workspace="acme",
    name="ops",
    fingerprint="f",
    host="mail.example",
    port=587,
    encryption=Encryption.STARTTLS,
    auth=PasswordAuth("ops@acme.example", Secret("x")),
    default_from="Acme Ops <ops@acme.example>",
)
PARAGRAPHS = "".join(f"<p>line {number} that is the same for everybody</p>\n" for number in range(6))
LINES = PARAGRAPHS.replace("<p>", "").replace("</p>", "")
BASE = {
    "to": "<<trigger.body.name>> <<<trigger.body.email>>>",
    "subject": "Hello <<trigger.body.name>>, <<vars.brand>>",
    "body_format": "html",
    "body": f"Hi <<trigger.body.name>>,\n{LINES}bye <<trigger.body.note>>\n",
    "html_body": f"<h1>Hi <<trigger.body.name>></h1>\n{PARAGRAPHS}<p><<trigger.body.note>></p>\n",
}
SHAPES: dict[str, dict[str, Any]] = {
    "both": {},
    "text": {"body_format": "text"},
    "html alone": {"body": None},
    "body is the html": {"html_body": None, "body": BASE["html_body"]},
    "html comes out empty": {"html_body": "<% if false %>x<% endif %>"},
    "one expression": {"body": "<<trigger.body.note>>", "body_format": "text", "html_body": None},
    "value on the line of the kept lines": {"body": f"<<trigger.body.note>>\n{LINES}<<trigger.body.note>>"},
    "kept lines side by side": {
        "body": f"a\n{LINES}b<% if true %>\n{LINES}<% endif %>\n{LINES}<<trigger.body.note>>"
    },
    "kept lines at the end": {"body": f"Hi <<trigger.body.name>>\n{LINES}", "body_format": "text", "html_body": None},
    "loop": {"body": f"<% for n in range(90) %>{LINES}<<trigger.body.note>> <<n>><% endfor %>"},
    "macro": {"html_body": f"<% macro m(x) %>{PARAGRAPHS}<<x>><% endmacro %>{PARAGRAPHS}<<m(trigger.body.note)>>"},
    "lines that need care": {
        "body": f"x <<trigger.body.note>>\nFrom me\nends in blank \n.\n..\n=3D=\n{LINES}\n\n.<<trigger.body.name>>"
    },
    "long lines": {"body": f"<<trigger.body.note>>\n{'x' * 998}\n{'y' * 999}\n{LINES}<<trigger.body.name>>"},
    "not ascii": {"html_body": f"<<trigger.body.note>>\nGrüße, wie geht es dir heute, und was tust du?\n{PARAGRAPHS}é"},
    "mostly not ascii": {"html_body": f"<<trigger.body.note>>\n{'日本語のテキスト' * 9}\n{'日本語' * 30}\n<<trigger.body.name>>"},
    "css": {"inline_css": True, "html_body": f"<style>p{{color:red}}</style>\n{PARAGRAPHS}<<trigger.body.note>>"},
    "a boundary in the text": {"body": f"<<trigger.body.note>>\n--=_0.2\n--=_\n{LINES}<<trigger.body.name>>"},
    "from, cc, bcc, reply-to": {
        "from": "Acme <news@acme.example>",
        "cc": "C <c@example.com>, <<trigger.body.name>> <<<trigger.body.email>>>",
        "bcc": ["b@example.com", "<<trigger.body.email>>"],
        "reply_to": "<<trigger.body.name>> <r@example.com>",
    },
    "bare address": {"to": "<<trigger.body.email>>"},
    "name alone in quotes": {"to": '"<<trigger.body.name>>" <<<trigger.body.email>>>'},
    "spaced": {"to": "<<trigger.body.name>>  <  <<trigger.body.email>> > "},
    "headers and priority": {
        "priority": "high",
        "headers": {"X-Campaign": "c1", "X-Note": "<<trigger.body.note>>"},
        "unsubscribe": {"url": "https://x.example/<<trigger.body.name>>", "one_click": True},
    },
    "reserved header": {"headers": {"Bcc": "x@example.com"}},
    "subject of one value": {"subject": "<<trigger.body.note>>", "body": None, "html_body": "<p>"},
    "header of one value": {"headers": {"X-Note": "<<trigger.body.note>>"}, "body": None, "html_body": "<p>"},
    "block of one value": {"body": "<<trigger.body.note>>\n", "body_format": "text", "html_body": None},
    "priority by value": {"priority": "<<trigger.body.note>>"},
    "files": {
        "attachments": [
            {"file": "logo.png", "cid": "logo"},
            {"content": "<<trigger.body.note>>", "filename": "note.txt"},
            {"base64": "aGVsbG8=", "filename": "h.bin"},
        ]
    },
    "the same files for all": {
        "attachments": [
            {"file": "logo.png", "cid": "logo"},
            {"file": "big.bin"},
            {"content": "Subject: x\r\n\r\nhello\r\n", "filename": "a.eml", "content_type": "message/rfc822"},
            {"base64": "aGVsbG8=", "filename": "h.bin"},
        ]
    },
    "no file": {"attachments": [{"file": "missing.png"}]},
}  # fmt: skip
NODES: dict[str, Node] = {}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    (root / "flows").mkdir()
    (root / "logo.png").write_bytes(b"\x89PNG logo")
    (root / "big.bin").write_bytes(bytes(range(256)) * 20)
    return root


def node(root: Path, shape: str) -> Node:
    if shape not in NODES:
        import yaml

        params = {"credential": "ops", **BASE, **SHAPES[shape]}
        smtp = {name: value for name, value in params.items() if value is not None}
        path = root / "flows" / f"f{len(NODES)}.yaml"
        path.write_text(yaml.safe_dump({"nodes": [{"id": "mail", "smtp": smtp}]}, allow_unicode=True))
        NODES[shape] = load_flow(root, path, Settings(vars={"brand": "Acme"})).nodes[0]
    return NODES[shape]


def scope(name: object, note: object, email: object = "zoe@example.com") -> dict[str, object]:
    return {
        "trigger": {"body": {"name": name, "note": note, "email": email}, "time": DATE},
        "vars": {"brand": "Acme"},
        "nodes": {},
    }


class Keys:
    def __init__(self, credential: SmtpCredential) -> None:
        self.credential = credential

    async def smtp(self, name: str) -> SmtpCredential:
        return self.credential


def general(
    node: Node, root: Path, settings: Settings, names: Mapping[str, object], credential: SmtpCredential
) -> Message:
    """What the node itself would send."""
    shown: list[Message] = []
    unused: Any = None
    context = Context(
        key=KEY, node=node.id, started=DATE, root=root, settings=settings,
        credentials=Keys(credential),  # type: ignore[arg-type]
        http=unused, sender=unused, rehearsal=True, on_message=shown.append,
    )  # fmt: skip
    params = render(node.params, names)
    assert isinstance(params, dict)
    asyncio.run(Smtp.parse(params).run(context))
    return shown[0]


def told(error: FlowpostError) -> tuple[object, ...]:
    return type(error), error.message, error.hint, error.transient


def compare(
    root: Path,
    shape: str,
    rows: list[dict[str, object]],
    settings: Settings | None = None,
    credential: SmtpCredential = CREDENTIAL,
) -> int:
    """Fill every row twice by one prepared node, beside the node itself; how many were messages."""
    own = settings or Settings()
    prepared = PreparedSmtp.of(node(root, shape), own, root)
    assert prepared is not None
    messages = 0
    for names in [*rows, *rows]:
        try:
            expected = general(node(root, shape), root, own, names, credential)
        except FlowpostError as error:
            with pytest.raises(FlowpostError) as caught:
                prepared.fill(names, credential, KEY, DATE)
            assert told(caught.value) == told(error)
            with pytest.raises(FlowpostError) as caught:
                prepared.outgoing(names, credential, KEY, DATE)
            assert told(caught.value) == told(error)
            continue
        found = prepared.fill(names, credential, KEY, DATE)
        assert found.data == expected.data
        assert (found.envelope, found.text, found.html) == (expected.envelope, expected.text, expected.html)
        assert (found.node, found.credential) == (expected.node, expected.credential)
        assert found.message_id.encode() in found.data
        assert found.dotted is (b"\r\n." in found.data)
        assert prepared.outgoing(names, credential, KEY, DATE).whole == found.outgoing
        messages += 1
    return messages


NAMES: list[object] = [
    "Ann Example",
    "Zoë Müller",
    "",
    "日本語の名前です",
    'O\'Neil, "Bob" <x>',
    "a\r\nBcc: e@x.example",
    "x\0y",
    7,
    None,
]
NOTES: list[object] = [
    "plain", "grün", "", "two\nlines\n", "cr\rlf\r\n", "\n", "\0", "From here\nFrom there", "x" * 1200, "é" * 300, ".", "\n.\n",
    "ends in blank ", "\ud800", "--=_", 3, "high", None, ["list"],
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_filled_as_the_node_composes_it(root: Path, shape: str) -> None:
    pairs = [*itertools.product(NAMES[:2], NOTES), *itertools.product(NAMES[2:], NOTES[:2])]
    rows = [scope(name, note) for name, note in pairs]

    messages = compare(root, shape, rows)

    assert bool(messages) is (shape not in ("reserved header", "no file"))


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "of one value" in shape])
def test_null_in_a_text_field_is_as_good_as_empty(root: Path, shape: str) -> None:
    null, empty = (
        general(node(root, shape), root, Settings(), scope("Ann", value), CREDENTIAL) for value in (None, "")
    )

    assert null.data == empty.data


HTML_BODIES = [
    "<<trigger.body.note>>",
    "<<trigger.body.note>>\n",
    "<% if trigger.body.note %><h1><<trigger.body.name>>: <<trigger.body.note>></h1><% endif %>\n",
    "<% for one in [trigger.body.note] if one %><<one | upper>><% endfor %>",
]


@pytest.mark.parametrize("html_body", HTML_BODIES)
@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    "body", [f"<p>Hi <<trigger.body.name>></p>\n{PARAGRAPHS}", "<p>To all & one</p>", "<<trigger.body.name>>"]
)
def test_an_html_body_that_comes_out_empty_is_as_good_as_none(
    root: Path, html_body: str, inline: bool, body: str
) -> None:
    dynamic, static = f"{html_body} {inline} {body}", f"none {inline} {body}"
    SHAPES[dynamic] = {"html_body": html_body, "body": body, "inline_css": inline}
    SHAPES[static] = {"html_body": "", "body": body, "inline_css": inline}
    names: list[object] = ["Ann Example", "Zoë", "<b>&</b>", "", None]
    notes: list[object] = ["", None, "news", "été"]
    rows = [scope(name, note) for name, note in itertools.product(names, notes)]

    assert compare(root, dynamic, [*rows, *reversed(rows)]) == 4 * len(rows)
    for name in names:
        expected = general(node(root, static), root, Settings(), scope(name, "x"), CREDENTIAL).data
        assert b"Content-Type: text/html" in expected
        assert b"multipart" not in expected
        for note in ("", None):
            found = general(node(root, dynamic), root, Settings(), scope(name, note), CREDENTIAL).data
            assert found == expected


def test_an_html_body_that_comes_out_empty_with_no_body_is_one_empty_part(root: Path) -> None:
    SHAPES["nothing"] = {"html_body": "<<trigger.body.note>>", "body": None}

    assert compare(root, "nothing", [scope("Ann", note) for note in ("", None, "x", "")]) == 8
    found = general(node(root, "nothing"), root, Settings(), scope("Ann", None), CREDENTIAL)
    assert (found.text, found.html) == (None, "")


def test_files_stand_in_for_each_other_when_one_comes_out_empty(root: Path) -> None:
    (root / "templates").mkdir(exist_ok=True)
    (root / "templates" / "maybe.html").write_text("<% if trigger.body.note %><h1>x</h1><% endif %>\n")
    (root / "templates" / "else.html").write_text("<p><<trigger.body.name>></p>")
    SHAPES["two files"] = {"html_body": {"file": "maybe.html"}, "body": {"file": "else.html"}}

    assert compare(root, "two files", [scope("<Ann>", note) for note in ("", "x", None)]) == 6
    found = general(node(root, "two files"), root, Settings(), scope("<Ann>", ""), CREDENTIAL)
    assert (found.text, found.html) == (None, "<p>&lt;Ann&gt;</p>")


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(),
        Delivery(mode="capture"),
        Delivery(mode="redirect", to="qa@acme.example"),
        Delivery(mode="redirect"),
        Delivery(mode="allowlist", allow=("*@acme.example", "zoe@example.com")),
        Delivery(mode="nonsense"),
    ],
    ids=lambda delivery: f"{delivery.mode}-{delivery.to or ''}",
)
def test_delivery_modes_hold(root: Path, delivery: Delivery) -> None:
    rows = [
        scope("Zoë", "x"),
        scope("Eve", "x", "eve@elsewhere.example"),
        scope("Ann", "x", "a@acme.example"),
    ]

    for shape in ("both", "from, cc, bcc, reply-to"):
        compare(root, shape, rows, Settings(delivery=delivery))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"default_from": None},
        {"default_from": None, "auth": None},
        {"allowed_from": ("*@acme.example",)},
        {"allowed_from": ("*@other.example",)},
        {"default_from": "two@x.example, three@x.example"},
    ],
)
def test_the_sender_is_the_credentials_own_and_may_be_refused(root: Path, changed: dict[str, Any]) -> None:
    for shape in ("both", "from, cc, bcc, reply-to"):
        compare(root, shape, [scope("Ann", "x")], credential=CREDENTIAL._replace(**changed))


def test_a_new_credential_is_not_mistaken_for_the_old_one(root: Path) -> None:
    prepared = PreparedSmtp.of(node(root, "both"), Settings(), root)
    assert prepared is not None
    first = prepared.fill(scope("Ann", "x"), CREDENTIAL, KEY, DATE)

    second = prepared.fill(scope("Ann", "x"), CREDENTIAL._replace(default_from="b@x.example"), KEY, DATE)

    assert (first.envelope.sender, second.envelope.sender) == ("ops@acme.example", "b@x.example")


def test_the_key_and_the_date_are_each_messages_own(root: Path) -> None:
    prepared = PreparedSmtp.of(node(root, "both"), Settings(), root)
    assert prepared is not None
    one = prepared.fill(scope("Ann", "x"), CREDENTIAL, ("w", "b/1", "mail"), DATE)

    two = prepared.fill(scope("Ann", "x"), CREDENTIAL, ("w", "b/2", "mail"), DATE.replace(year=2027))

    assert one.message_id != two.message_id
    assert (b" 2026 " in one.data, b" 2027 " in two.data) == (True, True)


def test_a_file_that_changes_between_two_rows_is_read_again(root: Path) -> None:
    prepared = PreparedSmtp.of(node(root, "the same files for all"), Settings(), root)
    assert prepared is not None
    for octets in (b"one" * 100, b"two" * 150, b"three" * 200):
        (root / "big.bin").write_bytes(octets)
        found = prepared.fill(scope("Ann", "x"), CREDENTIAL, KEY, DATE)

        expected = general(
            node(root, "the same files for all"), root, Settings(), scope("Ann", "x"), CREDENTIAL
        )
        assert found.data == expected.data
        assert [item.data for item in found.mail.attachments][1] == octets


def test_a_file_that_is_gone_is_missed(root: Path) -> None:
    (root / "big.bin").write_bytes(b"x" * 100)
    prepared = PreparedSmtp.of(node(root, "the same files for all"), Settings(), root)
    assert prepared is not None
    prepared.fill(scope("Ann", "x"), CREDENTIAL, KEY, DATE)
    (root / "big.bin").unlink()
    try:
        with pytest.raises(FlowpostError, match="big"):
            prepared.fill(scope("Ann", "x"), CREDENTIAL, KEY, DATE)
    finally:
        (root / "big.bin").write_bytes(b"x" * 100)


STRINGS = [str(case["input"]) for name in ("blns", "injection") for case in corpus(f"strings/{name}.jsonl")]


@pytest.mark.parametrize("field", ["name", "note", "email"])
def test_the_naughty_strings_of_the_corpus_come_out_the_same(root: Path, field: str) -> None:
    usual = {"name": "Ann", "note": "x", "email": "ann@example.com"}

    compare(root, "both", [scope(**usual | {field: text}) for text in STRINGS])


def test_the_addresses_of_the_corpus_come_out_the_same(root: Path) -> None:
    texts = [
        str(case.get("input"))
        for name in ("addr-spec", "address-lists")
        for case in corpus(f"addresses/{name}.jsonl")
    ]

    for shape in ("both", "bare address"):
        compare(root, shape, [scope("Ann", "x", text) for text in texts])


words = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="a \n\r\t.=é日\0-_F rom", max_size=120),
    st.integers(),
    st.none(),
    st.lists(st.text(max_size=5), max_size=2),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=st.sampled_from(sorted(SHAPES)), rows=st.lists(st.tuples(words, words), min_size=1, max_size=3))
def test_whatever_the_values_are_the_message_is_the_same(
    root: Path, shape: str, rows: list[tuple[object, object]]
) -> None:
    compare(root, shape, [scope(name, note) for name, note in rows])


@pytest.mark.parametrize(
    "attachments",
    [
        [{"url": "https://x.example/a.pdf"}],
        [{"file": "logo.png"}, {"url": "<<trigger.body.note>>"}],
        "<<trigger.body.files>>",
        ["<<trigger.body.file>>"],
    ],
)
def test_a_node_that_may_have_to_fetch_is_not_prepared(root: Path, attachments: object) -> None:
    shape = f"fetching {attachments}"
    SHAPES[shape] = {"attachments": attachments}
    try:
        assert PreparedSmtp.of(node(root, shape), Settings(), root) is None
    finally:
        del SHAPES[shape]
