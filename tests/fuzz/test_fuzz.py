"""Whatever comes in, it ends in a value or in one of our errors: in bounded time, and without a second meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, corpus
from mutations import SECONDS, fuzz

from runner import source
from runner.check import check_workspace
from runner.diagnostic import Diagnostic, Invalid, Position
from runner.errors import FlowpostError, SecretError, TemplateError
from runner.mail.address import from_pieces, parse_list
from runner.model import Fixed, Given
from runner.secret import age, sops
from runner.smtp.reply import MAX_REPLY, ReplyReader
from runner.template import Kind, Templates, Where

pytestmark = pytest.mark.timeout(int(SECONDS * 3 + 60))

ADDRESSES = [
    "Ann Lee <ann@example.com>, bob@example.com",
    '"Lee, Ann" <ann@example.com>; "q\\"uoted"@example.com',
    "group: a@example.com, b@example.com;, c@[192.0.2.1]",
    "zoë@bücher.example (comment (nested)), <@a,@b:c@d.example>",
]
TEMPLATES = [
    "Hi <<trigger.body.name>>, <% if trigger.body.n > 3 %>many<% else %>few<% endif %>",
    "<% for row in trigger.body.rows %><<loop.index>>: <<row.a | upper>>\n<% endfor %>",
    "<<<trigger.body.email>>> <# note #> <% set x = [1, 2] %><<x | join(', ')>>",
    "<< {'a': 1}.items() | list | tojson >><% macro m(a) %><<a * 2>><% endmacro %><<m('x')>>",
]
TEMPLATE_TOKENS = ["<<", ">>", "<%", "%>", "<#", "#>", "|", "*10**9", "*99", "~", "**", "range(99999)", "__class__",
                   ".__init__", "['__globals__']", "|attr('x')", "for a in b", "endfor", "set", "raw", "endraw",
                   "loop", "self", "cycler", "%", "'%99999999d'", ".format(", "|center(99999999)", "(", ")", "[", "]"]  # fmt: skip
FLOWS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "flows").glob("*.yaml"))]
FLOW_TOKENS = ["- ", ": ", "{", "}", "[", "]", "&a ", "*a", "<<: *a", "!!python/x ", "|\n", ">\n", "? ", "---\n", "...",
               "%YAML 1.2\n", "nodes:", "smtp:", "http:", "set:", "null", "true", "1e999", "0x1F", ".nan", "when: ",
               "for_each: ", "retry: ", "to: ", "headers: ", "attachments: ", "expect: ", "name: "]  # fmt: skip
REPLIES = [
    "250-mail.example.com\r\n250-PIPELINING\r\n250 SIZE 1000\r\n",
    "354 go\r\n",
    "550 5.1.1 <a@b> gone\r\n",
]


def test_an_address_list_has_one_meaning() -> None:
    def target(text: str) -> None:
        try:
            found = parse_list(text)
        except FlowpostError as error:
            assert error.code in ("EADDRESS", "EHEADER", "ELIMIT"), error.code
            return
        for address in found:
            assert not any(char in address.wire for char in "\r\n\0<> \t") or '"' in address.wire
            again = parse_list(address.addr_spec)
            assert [one.addr_spec for one in again] == [address.addr_spec]

    seeds = ADDRESSES + [str(case["input"]) for case in corpus("addresses/address-lists.jsonl")]
    assert (
        fuzz(
            target,
            seeds,
            [",", ";", ":", "<", ">", "@", "(", ")", '"', "\\", "[", "]", "xn--", ".", "=?utf-8?q?"],
        )
        > 100
    )


def test_a_value_is_never_two_recipients() -> None:
    def target(text: str) -> None:
        for pieces in (
            (Given(text),),
            (Given(text), Fixed(" <ann@example.com>")),
            (Fixed("Ann <"), Given(text), Fixed(">")),
            (Given(text), Fixed("@example.com")),
            (Fixed('"'), Given(text), Fixed('" <ann@example.com>')),
        ):
            try:
                found = from_pieces(pieces, "to")
            except FlowpostError as error:
                assert error.code in ("EADDRESS", "EHEADER", "ELIMIT"), error.code
                continue
            assert len(found) <= 1, found
            if any(isinstance(piece, Fixed) and "ann@example.com" in piece.text for piece in pieces):
                assert [address.addr_spec for address in found] == ["ann@example.com"]

    seeds = ADDRESSES + [str(case["input"]) for case in corpus("strings/injection.jsonl")]
    assert (
        fuzz(target, seeds, [",", ";", ":", "<", ">", "@", "(", ")", '"', "\\", ">, <eve@evil.example>"], 1)
        > 100
    )


def test_a_template_ends_in_text_or_in_an_error() -> None:
    templates = Templates(None)
    where = Where("flows/f.yaml", "body", Position)
    scope = {"trigger": {"body": {"name": "Ann", "n": 4, "rows": [{"a": "x"}], "email": "a@example.com"}}}
    seeds = TEMPLATES + [str(case["template_angle"]) for case in corpus("ssti/payloads.jsonl")]

    def target(text: str) -> None:
        for kind in (Kind.TEXT, Kind.HTML, Kind.URL, Kind.ADDRESS):
            try:
                out = str(templates.compile(text, kind, where).render(scope))
            except (Invalid, TemplateError):
                continue
            if text not in out:
                assert "<class " not in out.replace(text, "") or "<class " in text
                assert " object at 0x" not in out or " object at 0x" in text

    assert fuzz(target, seeds, TEMPLATE_TOKENS, 2) > 50


def test_a_yaml_file_is_read_or_named_by_line() -> None:
    seeds = FLOWS + [str(case["yaml"]) for case in corpus("yaml/yaml-test-suite.jsonl")]

    def target(text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        try:
            document = source.read(data, "f.yaml")
        except Invalid as error:
            lines = (
                text.count("\n")
                + text.count("\r")
                + text.count("\u2028")
                + text.count("\u2029")
                + text.count("\x85")
                + 2
            )
            assert all(1 <= found.line <= lines and found.column >= 1 for found in error.diagnostics)
            return
        json.dumps(document.value, allow_nan=True)
        document.at(("nodes", 0, "smtp"))

    assert fuzz(target, seeds, FLOW_TOKENS, 3) > 100


def test_validate_survives_every_flow(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()

    def target(text: str) -> None:
        (tmp_path / "flows" / "f.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        report = check_workspace(tmp_path, (), {"HOME": str(tmp_path)})
        assert all(isinstance(finding, Diagnostic) for finding in report.findings)

    assert fuzz(target, FLOWS, FLOW_TOKENS + TEMPLATE_TOKENS, 4) > 10


def test_an_smtp_reply_is_bounded_and_never_raises() -> None:
    def target(text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        reader = ReplyReader()
        whole: list[Any] = []
        for start in range(0, len(data), 7):
            whole += reader.feed(data[start : start + 7])
            if reader.garbage is not None:
                assert data[:8].decode("latin-1") not in reader.garbage or len(data) < 8
                break
        assert all(200 <= reply.code <= 599 for reply in whole)
        assert sum(len(line) for reply in whole for line in reply.lines) <= len(data)
        assert len(reader._buffer) <= MAX_REPLY

    assert fuzz(target, REPLIES, ["250", "-", " ", "\r\n", "\n", "5.1.1", "999", "\xff", "334 "], 5, ) > 100  # fmt: skip


def test_a_damaged_secret_is_refused_or_means_the_same() -> None:
    identity, recipient = age.generate()
    tree = {
        "name": "a",
        "server": {"host": "mail.example.com", "port": 465},
        "auth": {"password": "correct horse"},
    }
    text = sops.encrypt(tree, [recipient]).decode()

    def target(damaged: str) -> None:
        try:
            found = sops.decrypt(damaged.encode("utf-8", "surrogatepass"), [identity])
        except SecretError as error:
            assert "correct horse" not in error.message + str(error.hint)
            return
        assert found == tree

    assert (
        fuzz(
            target,
            [text],
            ["ENC[", "]", "type:int", "type:str", "data:", ",", ":", "sops:", "mac: ", "- ", "#x\n"],
            6,
        )
        > 10
    )
