"""The public MIME corpus: what Nodemailer and the standard library mean, we mean too."""

from __future__ import annotations

import base64
import email
import email.policy
from contextlib import suppress
from typing import Any

import pytest
import rawmail
from mails import lines, mail, whole, written

from runner.errors import FlowpostError, HeaderError, ReservedHeaderError
from runner.mail.address import Address, from_value
from runner.mail.attach import read_content_type
from runner.mail.body import base64_lines, quoted_printable
from runner.mail.headers import RESERVED
from runner.mail.params import parameter
from runner.mail.words import encoded, text_header
from runner.model import Attachment, Given
from tests.conftest import CORPORA, corpus, needs_corpora

pytestmark = needs_corpora

VALUES = corpus("mime/header-values.jsonl")
PARAMS = corpus("mime/encodings-params.jsonl")
BLOCKS = corpus("mime/header-blocks-envelopes.jsonl")
HEADERS = corpus("mime/cpython-headers.jsonl")
MESSAGES = sorted((CORPORA / "mime" / "cpython-msgs").glob("*.txt"))


def ids(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=str(case["id"])) for case in cases]


@pytest.mark.parametrize("case", ids(VALUES))
def test_a_header_value_is_refused_or_decodes_to_itself(case: dict[str, Any]) -> None:
    name = case["header"] if case["header"].lower() not in RESERVED else "X-Value"
    for meant in (mail(headers=((name, case["value"]),)), mail(subject=case["value"][:998])):
        try:
            written(meant)
        except HeaderError:
            refused = True
        else:
            refused = False
        assert refused is any(char in case["value"] for char in "\r\n\0")


@pytest.mark.parametrize(
    "case", ids([case for case in PARAMS if str(case["kind"]).startswith("mime-funcs.encodeWord")])
)
def test_encoded_words_mean_what_nodemailers_mean(case: dict[str, Any]) -> None:
    text = case["args"][0]

    assert rawmail.text(" ".join(encoded(text, 63))) == whole(text) == rawmail.text(case["output"])


def given_parameters() -> list[Any]:
    found = []
    for case in PARAMS:
        args: Any = case["args"]
        if case["kind"] == "mime-funcs.buildHeaderParam":
            found.append(pytest.param(args[0], args[1], id=str(case["id"])))
        elif case["kind"] == "mime-funcs.buildHeaderValue":
            pairs = args[0]["params"].items()
            found += [pytest.param(name, value, id=f"{case['id']}-{name[:20]!r}") for name, value in pairs]
    return found


@pytest.mark.parametrize(("name", "value"), given_parameters())
def test_a_parameter_decodes_to_itself(name: str, value: str) -> None:
    try:
        kind, parameters = read_content_type(f'a/b; {name}="x"')
    except FlowpostError:
        assert not name.isprintable()
        return
    written_parameter = "a/b" + parameter(parameters[0][0], value)
    assert kind == "a/b"
    assert all(len(line) <= 78 for line in written_parameter.split("\r\n"))
    assert rawmail.parameters(written_parameter.replace("\r\n", "")) == {name.lower(): whole(value)}


@pytest.mark.parametrize(
    "value",
    [
        case["args"][0]["params"]["filename"]
        for case in PARAMS
        if "filename" in str(case["args"]) and isinstance(case["args"][0], dict)
    ],  # type: ignore[index]
)
def test_a_file_name_decodes_to_itself(value: str) -> None:
    written(mail(attachments=(Attachment(value, "application/pdf", b"x"),)))


@pytest.mark.parametrize(
    "case", ids([case for case in PARAMS if str(case["kind"]) in ("qp.encode", "base64.encode")])
)
def test_transfer_encodings_give_the_octets_back(case: dict[str, Any]) -> None:
    given = case["args"][0]
    data = base64.b64decode(given["base64"]) if isinstance(given, dict) else lines(given).encode()

    assert rawmail.decoded("base64", base64_lines(data)) == data
    assert rawmail.decoded("quoted-printable", quoted_printable(data)) == data


def address_headers(case: dict[str, Any]) -> dict[str, tuple[Address, ...]]:
    found: dict[str, tuple[Address, ...]] = {}
    for header in case["headers_in"]:
        key, value = header["key"].lower(), header["value"]
        if key in ("from", "to", "cc", "bcc", "sender"):
            read = from_value(value if isinstance(value, str) else Given(value), key)
            found[key] = found.get(key, ()) + read
    return found


@pytest.mark.parametrize("case", ids([case for case in BLOCKS if case.get("envelope", {}).get("from")]))  # type: ignore[union-attr, attr-defined]
def test_an_envelope_has_the_same_sender_and_recipients(case: dict[str, Any]) -> None:
    expected = case["envelope"]
    try:
        fields = address_headers(case)
    except FlowpostError:
        assert expected["to"] == []
        return
    sender = (fields.get("sender") or fields.get("from") or ())[:1]
    if not sender or not any(fields.get(key) for key in ("to", "cc", "bcc")):
        return
    if "from" in fields:
        sender = fields["from"][:1]
    meant = mail(
        sender=sender[0], to=fields.get("to", ()), cc=fields.get("cc", ()), bcc=fields.get("bcc", ())
    )
    composed, _ = written(meant)

    assert composed.envelope.sender == expected["from"]
    assert set(composed.envelope.recipients) == set(expected["to"])


@pytest.mark.parametrize("case", ids(BLOCKS))
def test_headers_of_a_block_are_refused_or_arrive(case: dict[str, Any]) -> None:
    for header in case["headers_in"]:
        if header["key"].lower() in RESERVED or not isinstance(header["value"], str):
            continue
        with suppress(HeaderError, ReservedHeaderError):
            written(mail(headers=((header["key"], header["value"]),)))


@pytest.mark.parametrize(
    "case", ids([case for case in HEADERS if case["header"] == "Content-Type" and not case["defects"]])
)
def test_a_content_type_keeps_its_parameters(case: dict[str, Any]) -> None:
    if case["expected_type"].startswith("multipart/") or "(" in case["group"].split(";")[-1].split('"')[0]:
        return
    text = case["source"].replace("  /  ", "/")
    kind, parameters = read_content_type(text)

    assert kind.lower() == case["expected_type"]
    again = kind + "".join(parameter(name, value) for name, value in parameters).replace("\r\n", "")
    expected = {key.lower(): value for key, value in case["params"].items() if key.lower() != "name"}
    assert rawmail.parameters(again) == expected


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.name)
def test_texts_of_whole_messages_are_carried_over(path: Any) -> None:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    subject = str(message["subject"] or "")
    bodies = [part.get_content() for part in message.walk() if part.get_content_type() == "text/plain"]

    written(mail(subject=subject, text="\n".join(bodies)))
    written(mail(attachments=(Attachment(path.name, "message/rfc822", path.read_bytes()),)))


@pytest.mark.parametrize("case", ids([case for case in HEADERS if case["header"] == "Subject"]))
def test_a_decoded_subject_is_encoded_to_the_same(case: dict[str, Any]) -> None:
    header = text_header("Subject", case["decoded"], prose=True)

    assert (
        rawmail.text(header.removeprefix("Subject: ").removesuffix("\r\n").replace("\r\n", ""))
        == case["decoded"]
    )
