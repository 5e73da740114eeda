"""What may be attached, under which name and in which charset: by the node itself and by the prepared one alike."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.errors import AttachmentError, FlowpostError
from runner.load import load_flow
from runner.model import Settings
from runner.nodes.prepared import PreparedSmtp
from tests.nodes.test_prepared_smtp import CREDENTIAL, DATE, KEY, general, scope

FILES = [
    "flowpost.yaml", ".sops.yaml", "a.txt", "secrets/mail.yaml", "secrets/deep/er.txt", "invoices/7.txt", "invoices/a/b.txt",
    "keys/mail.yaml",
]  # fmt: skip
BASE = {"credential": "ops", "to": "ann@example.com", "subject": "s", "body_format": "text", "body": "b"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "acme"
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}")
    (root / "flows").mkdir()
    (tmp_path / "outside.txt").write_text("outside")
    return root


def outcome(
    root: Path, attachment: object, value: object = "", **settings: Any
) -> EmailMessage | FlowpostError:
    """The message with ``attachment``, ``value`` being ``trigger.body.note``; the same on every road."""
    path = root / "flows" / "f.yaml"
    path.write_text(
        yaml.safe_dump({"nodes": [{"id": "mail", "smtp": {**BASE, "attachments": [attachment]}}]})
    )
    own = Settings(**{"vars": {"dir": "invoices"}, **settings})
    node = load_flow(root, path, own).nodes[0]
    names = {**scope("n", value), "vars": own.vars}
    prepared = PreparedSmtp.of(node, own, root)
    assert prepared is not None
    try:
        expected = general(node, root, own, names, CREDENTIAL)
    except FlowpostError as error:
        with pytest.raises(type(error)) as caught:
            prepared.fill(names, CREDENTIAL, KEY, DATE)
        assert (caught.value.message, caught.value.hint) == (error.message, error.hint)
        return error
    assert prepared.fill(names, CREDENTIAL, KEY, DATE).data == expected.data
    message = email.message_from_bytes(expected.data, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def part(found: EmailMessage | FlowpostError) -> EmailMessage:
    assert isinstance(found, EmailMessage), found
    (attached,) = found.iter_attachments()
    assert isinstance(attached, EmailMessage)
    return attached


def refused(found: EmailMessage | FlowpostError, words: str) -> None:
    assert isinstance(found, AttachmentError), found
    assert words in found.message
    assert found.hint


@pytest.mark.parametrize(
    "value",
    ["../flowpost.yaml", "../secrets/mail.yaml", "..", "x/../../a.txt", "/../a.txt", "a/../7.txt", "..\\a.txt", "a/.."],
)  # fmt: skip
def test_a_value_cannot_leave_the_folder_that_the_author_wrote_before_it(root: Path, value: str) -> None:
    refused(
        outcome(root, {"file": "invoices/<<trigger.body.note>>"}, value),
        'leaves the folder "invoices/" by a value in it',
    )


@pytest.mark.parametrize(
    ("file", "value"),
    [
        ("<<trigger.body.note>>.yaml", "../acme/flowpost"),
        ("<<trigger.body.note>>/7.txt", "/etc"),
        ("invoices/.<<trigger.body.note>>/a.txt", "."),
        ("invoices/<<trigger.body.note>>/../../a.txt", "a"),
        ("invoices/a/<% if true %><<trigger.body.note>><% endif %>", "../7.txt"),
        ("<< vars.dir >>/<<trigger.body.note>>", "../a.txt"),
    ],
)
def test_no_part_of_a_path_lets_a_value_climb(root: Path, file: str, value: str) -> None:
    refused(outcome(root, {"file": file}, value), "by a value in it")


@pytest.mark.parametrize(
    ("file", "value", "name"),
    [
        ("invoices/<<trigger.body.note>>", "7.txt", "7.txt"),
        ("invoices/<<trigger.body.note>>", "a/b.txt", "b.txt"),
        ("invoices/<<trigger.body.note>>.txt", 7, "7.txt"),
        ("<< vars.dir >>/<<trigger.body.note>>", "7.txt", "7.txt"),
        ("a/../<<trigger.body.note>>", "a.txt", "a.txt"),
        ("<<trigger.body.note>>", "invoices/../a.txt", "a.txt"),
        ("<<trigger.body.note | safe>>/7.txt", "a/../invoices", "7.txt"),
    ],
)
def test_a_value_names_files_below(root: Path, file: str, value: object, name: str) -> None:
    assert part(outcome(root, {"file": file}, value)).get_filename() == name


@pytest.mark.parametrize(
    "value",
    ["secrets/mail.yaml", "secrets/deep/er.txt", "flowpost.yaml", "invoices/../flowpost.yaml", "link.txt"],
)
def test_credentials_and_settings_are_never_attached(root: Path, value: str) -> None:
    (root / "link.txt").symlink_to(root / "secrets" / "mail.yaml")
    for file in ("<<trigger.body.note>>", value):
        refused(outcome(root, {"file": file}, value), "is one of flowpost's own")


def test_the_folder_of_secrets_is_the_one_that_the_settings_name(root: Path) -> None:
    refused(outcome(root, {"file": "keys/mail.yaml"}, secrets="keys"), "is one of flowpost's own")
    assert part(outcome(root, {"file": "secrets/mail.yaml"}, secrets="keys")).get_filename() == "mail.yaml"
    refused(outcome(root, {"file": "flowpost.yaml"}, secrets="."), "is one of flowpost's own")
    assert part(outcome(root, {"file": "a.txt"}, secrets=".")).get_filename() == "a.txt"


@pytest.mark.parametrize(
    ("value", "words"),
    [(".sops.yaml", "is hidden"), ("../outside.txt", "outside the workspace"), ("no", "is not there")],
)
def test_a_whole_path_is_held_to_the_workspace(root: Path, value: str, words: str) -> None:
    found = outcome(root, {"file": "<<trigger.body.note>>"}, value)

    assert isinstance(found, AttachmentError)
    assert words in found.message


@pytest.mark.parametrize(("value", "kind"), [(None, "nothing"), ([], "a list"), ({}, "a mapping")])
def test_a_path_is_made_of_texts(root: Path, value: object, kind: str) -> None:
    for file in ("<<trigger.body.note>>", "invoices/<<trigger.body.note>>"):
        found = outcome(root, {"file": file}, value)
        assert isinstance(found, AttachmentError)
        assert found.message == f"attachment file needs text and got {kind}"


def test_a_link_goes_by_its_own_name(root: Path) -> None:
    (root / "latest.txt").symlink_to("a.txt")
    found = part(outcome(root, {"file": "latest.txt"}))

    assert (found.get_filename(), found.get_content()) == ("latest.txt", "this is a.txt")


@pytest.mark.parametrize(
    ("attachment", "text", "charset"),
    [
        ({"filename": "a.csv"}, "hé", "utf-8"),
        ({"filename": "a.csv"}, "plain", "utf-8"),
        ({"filename": "a.x", "content_type": "text/x-y; header=present; "}, "hé", "utf-8"),
        ({"filename": "a.x", "content_type": "text/plain; charset=iso-8859-1"}, "hé", "iso-8859-1"),
        ({"filename": "a.x", "content_type": 'TEXT/Plain; Charset="windows-1252"'}, "h€", "windows-1252"),
        ({"filename": "a.x", "content_type": "text/plain; charset=utf-16"}, "hé", "utf-16"),
    ],
)
def test_text_says_its_charset_and_is_in_it(
    root: Path, attachment: dict[str, str], text: str, charset: str
) -> None:
    for content in (text, "<<trigger.body.note>>"):
        found = part(outcome(root, {**attachment, "content": content}, text))
        data = found.get_payload(decode=True)

        assert found.get_content_charset() == charset
        assert isinstance(data, bytes)
        assert data.decode(charset) == text


@pytest.mark.parametrize(
    ("charset", "words"),
    [
        ("iso-8859-1", 'the charset "iso-8859-1" of an attachment has no "€"'),
        ("us-ascii", 'has no "é"'),
        ("nonsense", '"nonsense" is not a charset'),
        ("rot13", '"rot13" is not a charset'),
        ("punycode", '"punycode" is not a charset'),
        ("unicode-escape", '"unicode-escape" is not a charset'),
    ],
)
def test_a_charset_that_cannot_hold_the_text_is_refused(root: Path, charset: str, words: str) -> None:
    attachment = {"filename": "a.txt", "content_type": f"text/plain; charset={charset}"}
    text = "é€" if charset == "us-ascii" else "€"
    for content in (text, "<<trigger.body.note>>"):
        refused(outcome(root, {**attachment, "content": content}, text), words)


@pytest.mark.parametrize(
    "attachment",
    [
        {"file": "a.txt"},
        {"base64": "aMOp", "filename": "a.txt"},
        {"content": "hé", "filename": "a.json"},
        {"content": "<<trigger.body.note>>", "filename": "a.txt"},
    ],
)
def test_octets_and_other_types_stay_as_they_are(root: Path, attachment: dict[str, str]) -> None:
    assert part(outcome(root, attachment, b"\xe9")).get_content_charset() is None
