"""A message with room for plain values: the very octets of the composer, and any value that is not plain left to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import FlowpostError
from runner.load import load_flow
from runner.mail.compose import boundary_seed
from runner.model import Delivery, Settings
from runner.nodes.blank import Outgoing
from runner.nodes.prepared import PreparedSmtp
from tests.nodes.test_prepared_smtp import CREDENTIAL, DATE, KEY, scope, told

ROW = {"name": "Ann Miller", "note": "A-1001", "email": "ann@example.com"}
HTML = "<h1>Hi <<trigger.body.name>></h1>\n<p><<trigger.body.note>></p>\n"
BASE = {
    "to": "<<trigger.body.name>> <<<trigger.body.email>>>",
    "subject": "Order <<trigger.body.note>> for <<trigger.body.name>>",
    "body_format": "html",
    "body": "Hi <<trigger.body.name>>,\nyour order: <<trigger.body.note>>\n",
    "html_body": HTML,
}


def prepared(folder: Path, own: Settings | None = None, **params: Any) -> PreparedSmtp:
    smtp = {k: v for k, v in {"credential": "ops", **BASE, **params}.items() if v is not None}
    (folder / "flows").mkdir(exist_ok=True)
    path = folder / "flows" / "f.yaml"
    path.write_text(yaml.safe_dump({"nodes": [{"id": "mail", "smtp": smtp}]}, allow_unicode=True))
    flow = load_flow(folder, path, Settings(vars={"brand": "Acme"}))
    found = PreparedSmtp.of(flow.nodes[0], own or Settings(), folder)
    assert found is not None
    return found


def filled(node: PreparedSmtp, row: dict[str, Any], key: tuple[str, ...] = KEY) -> Outgoing | None:
    """What a message with places makes of a row's values, after others have shown it the way."""
    form = node._form
    looked = None if form is None else form._together.look(scope(**row))
    if form is None or looked is None:
        return None
    for shown in (ROW, row, row):
        with suppress(FlowpostError):
            form.fill(scope(**shown), CREDENTIAL, KEY, DATE)
    way, together = form._ways.get(looked.outcome), "\n".join(looked.texts)
    kind = () if together.isascii() else tuple(map(str.isascii, looked.texts))
    blank = None if way is None else way.blanks.get(kind)
    found = None if blank is None else blank.filled(looked, together, key)
    return None if found is None else found.whole


def whole(node: PreparedSmtp, row: dict[str, Any], key: tuple[str, ...] = KEY) -> Outgoing:
    return node.fill(scope(**row), CREDENTIAL, key, DATE).outgoing


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"body_format": "text", "html_body": None},
        {"body": None},
        {"html_body": None, "body": HTML},
        {"to": "<<trigger.body.email>>"},
        {"subject": "The same for all"},
        {"subject": "<<trigger.body.note>>"},
        {"subject": "<<trigger.body.name>>: <<trigger.body.email>>, <<vars.brand>>"},
        {"body": "<% if trigger.body.note == 'A-1001' %>the one\n<% else %>another\n<% endif %>bye"},
        {
            "body": "<% if trigger.body.note == '9' %>nine\n<% endif %>bye",
            "html_body": None,
            "subject": "only tested",
        },
        {"body": "<<trigger.body.note>> begins the line\n.and a dot\nfor me: <<trigger.body.name>>"},
        {"from": "Acme <news@acme.example>", "reply_to": "r@acme.example", "priority": "high"},
        {"headers": {"X-Campaign": "c1"}, "unsubscribe": {"url": "https://x.example/u", "one_click": True}},
    ],
)
def test_plain_values_are_filled_in(tmp_path: Path, params: dict[str, Any]) -> None:
    node = prepared(tmp_path, **params)
    for name, note in (
        ("Bob", "9"),
        ("Grace Hopper", "A-1001"),
        ("X", "x, y: z!"),
        ("A-B_c", "10.90"),
        ("O'Hara & Sons", "a<b>\"c\" & 'd'"),
    ):
        assert_filled(node, {"name": name, "note": note, "email": f"{name[0]}.x+1@mail.example"})


LONG = "word " * 80
LONGER = {"body": BASE["body"] + LONG, "html_body": f"{HTML}<p>{LONG}</p>\n"}
WIDE = (
    {},
    {"body_format": "text", "html_body": None},
    {"body": None},
    {"html_body": None, "body": HTML + LONG},
    {"to": "<<trigger.body.email>>"},
    {"subject": "The same for all"},
    {"subject": "x" * 60 + " and <<trigger.body.name>> <<trigger.body.note>>"},
    {"subject": "Grüße, <<trigger.body.name>>"},
    {"subject": "Grüße"},
    {"body": f"{LONG}Grüße an <<trigger.body.name>>, {LONG}. <<trigger.body.note>>\n\nFrom here\n.\n"},
    {"body": f"Hi <<trigger.body.name>>{'.' * 90} \n{LONG}\n"},
    {"body": f"From <<trigger.body.name>>, Grüße\n{LONG}", "html_body": f"<p>Grüße\n{LONG}{LONG}"},
    {"body": f"<<trigger.body.note>> begins the line\n.and a dot\nfor me: <<trigger.body.name>>\n{LONG}"},
    {"body": f"<% if trigger.body.note == 'grün' %>der\n<% else %>ein\n<% endif %>Ende {LONG}"},
    {"from": "Ácme <news@acme.example>", "reply_to": "r@acme.example", "priority": "high"},
    {"body": f"{LONG}<<trigger.body.name>>", "html_body": f"{LONG}<br>{LONG} ="},
)


@pytest.mark.parametrize("params", WIDE)
def test_letters_beyond_ascii_are_filled_in(tmp_path: Path, params: dict[str, Any]) -> None:
    node = prepared(tmp_path, **LONGER | params)
    for name, note in (
        ("Zoë", "9"),
        ("Ann", "grün"),
        ("Zoë Brûlé", "grün"),
        ("Łukasz Żółć", "x, y: z!"),
        ("Jürgen Müller-Lüdenscheidt", "٣"),
        ("Ümit O'Hara", "größer < \"1\" & 'x'"),
        ("山田 花子", "10.90"),
        ("Ann Miller", "A-1001"),
    ):
        assert_filled(node, {"name": name, "note": note, "email": f"{len(name)}.x+1@mail.example"})


@pytest.mark.parametrize("size", [1, 41, 42, 43, 200])
def test_a_subject_that_is_too_long_is_refused_whoever_writes_it(tmp_path: Path, size: int) -> None:
    node = prepared(tmp_path, **LONGER | {"subject": "<<trigger.body.note>> " + "word " * 191})
    row = ROW | {"note": "é" + "n" * size}

    assert (filled(node, row) is None) is (size > 41)
    assert_alike(node, row)


@pytest.mark.parametrize("size", [70, 200, 390])
def test_a_long_name_is_filled_in_as_the_composer_writes_it(tmp_path: Path, size: int) -> None:
    node = prepared(tmp_path, **LONGER | {"body": "Dear <<trigger.body.name>>\n" + LONG * 9})
    row = ROW | {"name": "Zoë" + " Brule" * (size // 6)}

    found = filled(node, row)

    assert found in (None, whole(node, row))
    assert_alike(node, row)


def test_a_line_that_is_broken_before_a_dot_is_told(tmp_path: Path) -> None:
    node = prepared(
        tmp_path,
        body_format="text",
        html_body=None,
        body="é" + "x" * 60 + "<<trigger.body.note>>" + "." * 30 + "\n" + LONG,
    )
    told = set()
    for size in range(1, 20):
        found = assert_filled(node, ROW | {"note": "n" * size, "name": "Zoë"})

        assert found.dotted is (b"\r\n." in found.data)
        told.add(found.dotted)
    assert told == {True, False}


def test_a_body_is_filled_in_for_as_long_as_it_cannot_be_shorter_in_base64(tmp_path: Path) -> None:
    node = prepared(tmp_path, body_format="text", html_body=None, body=f"<<trigger.body.note>> {LONG}\n")
    kinds = set()
    for size in range(1, 90):
        row = ROW | {"note": "é" * size}
        found = filled(node, row)

        assert found in (None, whole(node, row))
        kinds.add((found is None, b"base64" in whole(node, row).data))
    assert kinds == {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize(
    "params",
    [
        {"body": "Grüße, <<trigger.body.name>>"},
        {"body": "Grüße,\r\n<<trigger.body.name>>, es gibt etwas Neues"},
        {"body": "花子さん、<<trigger.body.name>>より、こんにちは"},
        {"body": "\x01 and <<trigger.body.name>>"},
        {"body": "<<trigger.body.name|upper>>"},
        {"body": "<% for n in range(2) %><<trigger.body.name>><% endfor %>"},
        {"to": "<<trigger.body.email>>, <<trigger.body.name>>@x.example"},
        {"to": "<<trigger.body.email>> <<<trigger.body.email>>>"},
        {"to": "ann@example.com"},
        {"cc": "<<trigger.body.email>>"},
        {"headers": {"X-Note": "<<trigger.body.note>>"}},
        {"inline_css": True},
        {"attachments": [{"content": "x", "filename": "x.txt"}]},
        {"body": "Fr<<trigger.body.note>>"},
        {"body": "From me: <<trigger.body.note>>"},
        {"html_body": "<p>qx001xq <<trigger.body.note>></p>"},
        {"html_body": "<p>" + "x" * 980 + "<<trigger.body.note>><<trigger.body.name>></p>"},
    ],
)
def test_what_depends_on_more_than_the_place_of_a_value_is_the_composers(
    tmp_path: Path, params: dict[str, Any]
) -> None:
    node = prepared(tmp_path, **params)

    assert filled(node, ROW) is None
    for row in (ROW, ROW | {"name": "Zoë", "note": "<a>\n'b'"}, ROW | {"name": "O'Hara"}, ROW | {"note": ""}):
        assert_alike(node, row)


@pytest.mark.parametrize(
    "mode", [Delivery(mode="redirect", to="q@x.example"), Delivery(mode="allowlist", allow=("*@x.example",))]
)
def test_a_mode_that_looks_at_the_recipient_sees_every_one(tmp_path: Path, mode: Delivery) -> None:
    assert filled(prepared(tmp_path, Settings(delivery=mode)), ROW) is None


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", "Zoe\u0308"), ("name", "'Hara"), ("name", 'A "B" C'), ("name", "J. Smith"), ("name", "A  B"),
        ("name", " A"), ("name", "A "), ("name", ""), ("name", "a@b"), ("name", 7), ("name", None), ("name", True),
        ("name", "x" * 60), ("name", "A\nB"), ("name", "A\r\nBcc: x@y.example"), ("name", "a\0b"), ("name", "=?utf-8?q?a?="),
        ("email", "ann@example.com, bob@example.com"), ("email", "Ann <ann@example.com>"), ("email", "ann"),
        ("email", "ann@exämple.com"), ("email", "ann@example.com\n"), ("email", "a'b@example.com"),
        ("email", "ann@xn--d.example"), ("email", "ann@1.2.3.4"), ("email", "a..b@example.com"), ("email", "ann@-x.example"),
        ("email", ""), ("email", 7), ("email", "a" * 70 + "@example.com"),
        ("note", "<b>"), ("note", "& b"), ("note", "a" + "&" * 250), ("note", "a=b"), ("note", "why?"), ("note", ".hidden"), ("note", "--x"),
        ("note", "a\nb"), ("note", "gru\u0308n"), ("note", "\x85"), ("note", "x" * 500), ("note", "word " * 20), ("note", "\ud800"),
        ("note", ""), ("note", " "), ("note", False), ("note", None), ("note", ["x"]), ("note", {"a": 1}),
        ("name", "🎉"), ("note", "🎉"), ("note", "é=3"), ("note", "é?"), ("note", "é "), ("note", "ü\u2028x"), ("note", "ü\u200dx"),
        ("name", "É\u00a0B"), ("name", "É  B"), ("name", "É, B"), ("name", "É <x@y.example>"), ("name", "É\nB"), ("note", "é" * 100),
        ("note", "é\ud800"), ("email", "é@example.com"), ("email", "ann@花.example"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_plain_is_the_composers(tmp_path: Path, field: str, text: object) -> None:
    node, row = prepared(tmp_path), ROW | {field: text}

    assert filled(node, row) is None
    assert_alike(node, row)


def test_a_number_is_written_as_its_digits(tmp_path: Path) -> None:
    node = prepared(tmp_path)
    for number in (0, 12, 12.5, 1e22):
        row = ROW | {"note": number}

        assert filled(node, row) == whole(node, row)


@pytest.mark.parametrize("size", range(48, 56))
def test_a_header_is_filled_in_up_to_the_length_at_which_it_would_be_folded(
    tmp_path: Path, size: int
) -> None:
    node = prepared(tmp_path, subject="<<trigger.body.note>> is what you have asked")
    row = ROW | {"note": "n" * (size - 5)}
    names = ROW | {"name": "N" * size}

    subject, to = filled(node, row), filled(node, names)

    assert (subject is not None) is (len("Subject:  is what you have asked") + size - 5 <= 78)
    assert (to is not None) is (len("To:  <ann@example.com>") + size + 1 <= 76)
    assert subject in (None, whole(node, row))
    assert to in (None, whole(node, names))


def test_a_value_that_begins_a_line_as_a_mailbox_file_parts_messages_is_the_composers(tmp_path: Path) -> None:
    node = prepared(tmp_path, body="<<trigger.body.note>> here", body_format="text", html_body=None)

    assert filled(node, ROW | {"note": "From"}) is None
    assert filled(node, ROW | {"note": "from"}) is not None
    assert filled(prepared(tmp_path), ROW | {"note": "From"}) is not None


def test_a_value_that_holds_the_boundary_of_its_own_message_is_the_composers(tmp_path: Path) -> None:
    node = prepared(tmp_path, body="--=_<<trigger.body.note>>.2\n")
    seed = boundary_seed(whole(node, ROW).message_id)

    assert filled(node, ROW) is not None
    assert filled(node, ROW | {"note": seed}) is None
    data = node.outgoing(scope(**ROW | {"note": seed}), CREDENTIAL, KEY, DATE).data
    assert data.count(f'boundary="=_{seed}.2.1"'.encode()) == 1


def test_another_credential_or_moment_is_another_message(tmp_path: Path) -> None:

    node = prepared(tmp_path)
    other = CREDENTIAL._replace(default_from="b@x.example")
    for credential, date in (
        (CREDENTIAL, DATE),
        (other, DATE),
        (other, DATE.replace(year=2027)),
        (CREDENTIAL, DATE),
    ):
        for _ in range(2):
            found = node.outgoing(scope(**ROW), credential, KEY, date).whole

            assert found == node.fill(scope(**ROW), credential, KEY, date).outgoing
            assert f" {date.year} ".encode() in found.data


def test_a_first_row_that_comes_out_otherwise_ends_the_short_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be, as far as anybody knows: so the other way is made to write something else."""
    node = prepared(tmp_path)
    form = node._form
    assert form is not None
    monkeypatch.setattr(form, "_whole", lambda *message: whole(node, ROW)._replace(data=b"other"))

    first = node.outgoing(scope(**ROW), CREDENTIAL, KEY, DATE)

    assert first.data == b"other"
    assert form.fill(scope(**ROW), CREDENTIAL, KEY, DATE) is None


def assert_filled(node: PreparedSmtp, row: dict[str, Any]) -> Outgoing:
    found = filled(node, row)

    assert found is not None
    assert found == whole(node, row)
    return found


def assert_alike(node: PreparedSmtp, row: dict[str, Any]) -> None:
    """Twice, since a first row is written both ways."""
    for _ in range(2):
        try:
            expected = whole(node, row)
        except FlowpostError as error:
            with pytest.raises(FlowpostError) as caught:
                node.outgoing(scope(**row), CREDENTIAL, KEY, DATE)
            assert told(caught.value) == told(error)
        else:
            assert node.outgoing(scope(**row), CREDENTIAL, KEY, DATE).whole == expected


NEARLY = (
    st.text(alphabet="aF.rom -_,:=@<é'\n", max_size=12)
    | st.text(alphabet="aBF.roméßŁ花٣ -<&'", max_size=16)
    | st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=12)
    | st.text(alphabet="aF.rom -_,:=@<é'\n", max_size=12)
    | st.text(alphabet=st.characters(codec="ascii"), max_size=40)
    | st.text(max_size=20)
    | st.integers()
    | st.floats()
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(NEARLY, NEARLY, st.emails() | NEARLY), min_size=1, max_size=8),
    st.sampled_from([
        {},
        {"to": "<<trigger.body.email>>"},
        {"body": "<<trigger.body.note>><<trigger.body.name>>\n\n<<trigger.body.name>>", "html_body": None, "body_format": "text"},
        {"body": "=_<<trigger.body.note>>\n.<<trigger.body.name>>\nF <<trigger.body.note>>", "subject": "<<trigger.body.note>>?"},
        *({**LONGER, **params} for params in WIDE),
    ]),
)  # fmt: skip
def test_whatever_is_filled_in_is_what_the_composer_writes(
    tmp_path: Path, rows: list[tuple[object, object, object]], params: dict[str, Any]
) -> None:
    node = prepared(tmp_path, **params)
    for name, note, email in rows:
        row = {"name": name, "note": note, "email": email}
        if (found := filled(node, row)) is not None:
            assert found == whole(node, row)
        assert_alike(node, row)
