"""Files that someone without a key has changed. Each test fails when its rule is taken away.

sops itself accepts several of these; ``accepted_by_sops`` says which, and that is checked against the real one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from secretspace import SMTP, Sops, Space

from runner.errors import PortError, SecretError
from runner.secret import age, sops
from runner.secret.sops.nodes import FormatError

pytest_plugins = ["secretfixtures"]

Edit = Callable[[str], str]

HOOK = {"name": "hook", "type": "webhook", "auth": {"type": "token", "token": "0123456789abcdef"}}


def value_of(text: str, key: str) -> str:
    match = re.search(rf"^\s*{key}: (ENC\[.*\])$", text, re.MULTILINE)
    assert match is not None
    return match[1]


def retype(key: str, new: str) -> Edit:
    def edit(text: str) -> str:
        old = value_of(text, key)
        return text.replace(old, re.sub("type:[a-z]+]", f"type:{new}]", old))

    return edit


def insert(line: str, before: str = "sops:") -> Edit:
    return lambda text: text.replace(f"{before}\n", f"{line}\n{before}\n", 1)


def swap(one: str, other: str) -> Edit:
    def edit(text: str) -> str:
        first, second = value_of(text, one), value_of(text, other)
        return text.replace(first, "\0").replace(second, first).replace("\0", second)

    return edit


def drop(pattern: str) -> Edit:
    return lambda text: re.sub(pattern, "", text, count=1, flags=re.MULTILINE)


def sub(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


def rename(key: str, new: str) -> Edit:
    return lambda text: re.sub(rf"^(\s*){key}: ", rf"\g<1>{new}: ", text, count=1, flags=re.MULTILINE)


def listed(key: str) -> Edit:
    def edit(text: str) -> str:
        old = value_of(text, key)
        return text.replace(f"{key}: {old}", f'{key}: ["{old}"]')

    return edit


def flat(text: str) -> str:
    """``server: {host: x}`` as ``"server:host": x``: the same path to SOPS."""
    old = value_of(text, "host")
    return text.replace(f"server:\n    host: {old}\n", f'"server:host": {old}\nserver:\n')


def doubled(text: str) -> str:
    old = value_of(text, "password")
    return text.replace(f"password: {old}", f"password: {old}\n    password: {old}")


ATTACKS: dict[str, tuple[Edit, bool, str]] = {
    # what was done: (edit, accepted by sops, what the message says)
    "an int port marked as text": (retype("port", "str"), True, "must be a whole number"),
    "a text username marked as bytes": (retype("username", "bytes"), False, "damaged|not known|must be|trusted"),
    "an int port marked as float": (retype("port", "float"), True, "must be a whole number"),
    "a value marked as comment": (retype("password", "comment"), False, "comment"),
    "an item of a list marked as comment": (
        lambda text: re.sub(r"(- ENC.*)type:str", r"\1type:comment", text, count=1), False, "MAC",
    ),
    "an empty key added": (insert('label2: ""'), True, "empty"),
    "an empty known key added": (insert('dkim: ""'), True, "empty"),
    "a null key added": (insert("provider: null"), True, "empty"),
    "a null key without a word added": (insert("provider:"), True, "empty"),
    "an empty mapping added": (insert("security: {}"), True, "empty"),
    "an empty list added": (insert("sender: []"), True, "empty"),
    "an empty item in a list added": (sub("    rates:\n", '    rates:\n        - ""\n'), True, "empty"),
    "a nested path made flat": (flat, True, "not a key"),
    "a value made a list": (listed("host"), True, "must be a host name"),
    "two values swapped": (swap("username", "password"), False, "trusted"),
    "a value moved to another key": (rename("username", "user"), False, "not a key|trusted"),
    "a value deleted": (drop(r"^    password: .*\n"), False, "missing|MAC"),
    "an optional value deleted": (drop(r"^label: .*\n"), False, "MAC"),
    "the items of a list swapped": (
        lambda text: re.sub(r"(        - ENC.*\n)(        - ENC.*\n)", r"\2\1", text, count=1), False, "MAC",
    ),
    "an item of a list repeated": (
        lambda text: re.sub(r"(        - ENC.*\n)", r"\1\1", text, count=1), False, "MAC",
    ),
    "a host in clear": (
        lambda text: text.replace(value_of(text, "host"), "evil.example"), False, "not encrypted",
    ),
    "a host in clear under a rule that exempts it": (
        lambda text: text.replace(value_of(text, "host"), "smtp.example.com").replace(
            "unencrypted_suffix: _unencrypted", "unencrypted_regex: ^host$"
        ), True, "not encrypted",
    ),
    "a rule that exempts a value that is encrypted": (
        sub("unencrypted_suffix: _unencrypted", "unencrypted_regex: ^label$"), False, "exempt",
    ),
    "a MAC over encrypted values only": (
        sub("    version:", "    mac_only_encrypted: true\n    version:"), False, "mac_only_encrypted",
    ),
    "lastmodified changed": (sub('lastmodified: "2026', 'lastmodified: "2027'), False, "MAC"),
    "lastmodified given a fraction": (sub('00Z"\n    mac', '00.5Z"\n    mac'), True, "lastmodified"),
    "the MAC taken away": (drop(r"^    mac: .*\n"), False, "no mac"),
    "an empty MAC": (lambda text: re.sub("^    mac: .*$", '    mac: ""', text, flags=re.MULTILINE), False, "no mac"),
    "the MAC of another file": (
        lambda text: text.replace(value_of(text, "mac"), value_of(text, "label")), False, "MAC",
    ),
    "a second document": (lambda text: text + "---\nnote: null\n", True, "second document"),
    "a second document before it": (lambda text: "---\nx: null\n---\n" + text, False, "second document"),
    "an alias": (
        lambda text: text.replace("label: ENC", "label: &a ENC").replace("sops:\n", "note: *a\nsops:\n", 1),
        False, "anchor|alias",
    ),
    "an anchor nobody uses": (sub("label: ENC", "label: &a ENC"), True, "anchor"),
    "a merge key": (insert("<<: {a: b}"), False, "merge keys are not allowed"),
    "an empty merge key": (insert("<<: {}"), True, "not a text|empty"),
    "a tag": (sub("label: ENC", "label: !!str ENC"), True, "tag"),
    "a key twice": (doubled, False, "twice"),
    "something behind a value": (
        lambda text: text.replace(value_of(text, "host"), value_of(text, "host") + "x"), True, "damaged",
    ),
    "a sops section twice": (lambda text: text + "sops: {}\n", False, "twice"),
    "the sops section taken away": (drop(r"(?s)^sops:.*"), False, "no sops section"),
    "a recipient's key damaged": (sub("-----BEGIN AGE ENCRYPTED FILE-----\n            YWdl", "-----BEGIN AGE ENCRYPTED FILE-----\n            ZWdl"), False, "damaged|armor"),
    "an unknown recipient": (sub("recipient: age1", "recipient: age2"), True, "not a recipient"),
    "a key that no table knows": (insert("note: x"), False, "not encrypted|not a key"),
    "PGP keys": (sub("    lastmodified", "    pgp:\n        - fp: ABC\n          created_at: \"2026-01-01T00:00:00Z\"\n          enc: x\n    lastmodified"), True, "PGP"),
    "KMS keys": (sub("    lastmodified", "    kms:\n        - arn: ABC\n          enc: x\n    lastmodified"), False, "KMS"),
    "key groups": (sub("    lastmodified", "    key_groups:\n        - age: []\n    lastmodified"), True, "key groups"),
    "a Shamir threshold": (sub("    lastmodified", "    shamir_threshold: 2\n    lastmodified"), True, "key groups"),
    "a byte order mark": (lambda text: "\ufeff" + text, True, "byte order mark"),
    "a metadata key from the future": (sub("    version:", "    weaken: true\n    version:"), True, "not known"),
    "the empty file": (lambda text: "", False, "empty"),
    "only a comment": (lambda text: "# nothing\n", False, "empty"),
    "JSON": (lambda text: '{"a": 1, "sops": {}}', False, "JSON"),
    "a list": (lambda text: "- a\n", False, "not a mapping"),
    "deep nesting": (lambda text: "a: " + "[" * 30_000, False, "deeper"),
    "git's conflict marks": (sub("sops:\n", "<<<<<<< HEAD\nsops:\n"), False, "conflict marks"),
    "a NUL": (sub("label: ", "label: \0"), False, "not YAML|character"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_changed_file_is_refused(name: str, space: Space) -> None:
    edit, _, says = ATTACKS[name]
    path = space.put()
    old = path.read_text()
    new = edit(old)
    assert new != old
    path.write_text(new)

    with pytest.raises(SecretError, match=says) as caught:
        space.store().get("marketing", "smtp")
    assert "secrets/marketing.yaml" in caught.value.message
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"
    findings = space.store().check("marketing", True)
    assert [finding.code for finding in findings if finding.severity == "error"][:1] == ["ESECRET"]


@pytest.mark.parametrize("name", ATTACKS)
def test_what_sops_accepts_is_known(name: str, space: Space, real_sops: Sops) -> None:
    """The policy exists for exactly these; a version of sops that changes its mind shows here."""
    edit, accepted, _ = ATTACKS[name]
    path = space.put()
    path.write_text(edit(path.read_text()))
    done = real_sops(space.identity, "decrypt", str(path))

    assert (done.returncode == 0) == accepted, done.stderr


def test_a_bool_is_not_a_text(space: Space) -> None:
    path = space.put(security={"allow_plaintext_auth": True})
    path.write_text(retype("allow_plaintext_auth", "str")(path.read_text()))

    with pytest.raises(SecretError, match="must be true or false"):
        space.store().get("marketing")


def test_a_password_that_says_true_does_not_become_a_bool(space: Space) -> None:
    path = space.put(auth={"type": "password", "username": "a", "password": "True"})
    path.write_text(retype("password", "bool")(path.read_text()))

    with pytest.raises(SecretError, match="must be a text"):
        space.store().get("marketing")


def test_a_password_of_digits_does_not_become_a_number(space: Space) -> None:
    path = space.put(auth={"type": "password", "username": "a", "password": "123456"})
    path.write_text(retype("password", "int")(path.read_text()))

    with pytest.raises(SecretError, match="must be a text"):
        space.store().get("marketing")


def test_a_host_in_clear_under_mac_only_encrypted_is_refused(
    space: Space, real_sops: Sops, tmp_path: Path
) -> None:
    """Made with sops as its documentation says; then the host is changed, which sops does not notice."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"creation_rules:\n  - age: {space.recipient}\n    encrypted_regex: ^auth$\n    mac_only_encrypted: true\n"
    )
    plain = tmp_path / "plain.yaml"
    plain.write_text("name: marketing\nserver: {host: smtp.example.com, port: 587}\nauth: {type: none}\n")
    data = real_sops(space.identity, "--config", str(config), "encrypt", str(plain)).stdout
    changed = data.replace(b"smtp.example.com", b"evil.example.com")
    space.path().write_bytes(changed)

    assert sops.decrypt(changed, [space.identity])["server"]["host"] == "evil.example.com"
    with pytest.raises(SecretError, match="mac_only_encrypted"):
        space.store().get("marketing")


def test_a_file_copied_over_another_is_refused(space: Space) -> None:
    space.put()
    space.path("ops").write_bytes(space.path("marketing").read_bytes())

    with pytest.raises(SecretError, match='not "ops"'):
        space.store().get("ops")


def test_port_25_is_refused_when_the_credential_loads(space: Space) -> None:
    space.put(server={"host": "smtp.example.com", "port": 25})

    with pytest.raises(PortError, match=r"^Port 25 is not allowed$"):
        space.store().get("marketing", "smtp")
    assert [finding.code for finding in space.store().check("marketing", True)] == ["EPORT"]


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.mark.timeout(600)
def test_a_bit_flipped_anywhere_changes_nothing_that_is_read(space: Space) -> None:
    """Refused, or read as before (white space, a recipient's name, the version): never another value."""
    path = space.put()
    data = path.read_bytes()
    store = space.store()
    good = store.get("marketing")
    said = ""
    for position in range(0, len(data), 7):
        path.write_bytes(flip(data, position))
        try:
            found = space.store().get("marketing")
        except SecretError as error:
            said += f"{error.message}{error.hint}\n"
        else:
            assert found == good, data[position - 20 : position + 20]
    assert said.count("\n") > len(data) // 7 * 0.9
    assert "hunter2" not in said


def test_two_spellings_of_one_base64_are_not_both_read(space: Space) -> None:
    path = space.put(label="ab")
    old = value_of(path.read_text(), "label")
    data = re.search("data:([^,]*)", old)
    assert data is not None
    bits = base64.b64decode(data[1])
    last = data[1][-2] if data[1].endswith("=") else data[1][-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = data[1].replace(last + "=", alphabet[alphabet.index(last) ^ 1] + "=")
    assert base64.b64decode(other) == bits
    path.write_text(path.read_text().replace(data[1], other))

    with pytest.raises(SecretError, match="base64"):
        space.store().get("marketing")


def test_a_hundred_megabytes_are_not_read(space: Space) -> None:
    with space.path().open("wb") as file:
        file.truncate(100 << 20)

    with pytest.raises(SecretError, match="104857600 bytes"):
        space.store().get("marketing")


def test_an_alias_bomb_costs_nothing(space: Space) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    space.path().write_text("\n".join(lines))

    with pytest.raises(SecretError, match="anchor"):
        space.store().get("marketing")


def test_a_fifo_in_the_place_of_a_file_does_not_hang(space: Space) -> None:
    import os

    os.mkfifo(space.path())

    with pytest.raises(SecretError, match="not a regular file"):
        space.store().get("marketing")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(.*)*x"])
def test_a_pattern_that_explodes_takes_no_time(pattern: str) -> None:
    identity, recipient = age.generate()
    name = "a" * 60 + "!"
    data = sops.encrypt({name: "x"}, [recipient]).decode()
    data = data.replace("unencrypted_suffix: _unencrypted", f"encrypted_regex: {pattern}")
    with pytest.raises(FormatError):
        sops.decrypt(data.replace("type:str", "type:int", 1).encode(), [identity])


@pytest.mark.parametrize("content", [SMTP, HOOK])
def test_an_old_version_put_back_is_noticed(content: dict[str, Any], space: Space) -> None:
    name = content["name"]
    path = space.put(content, name, when="2026-01-01T00:00:00Z")
    old = path.read_bytes()
    assert space.store().check(name, True) == []
    space.put(content, name, when="2026-02-01T00:00:00Z")
    assert space.store().check(name, True) == []
    path.write_bytes(old)
    found = space.store().check(name, True)

    assert [(finding.severity, finding.code) for finding in found] == [("warning", "ESECRET")]
    assert "2026-01-01T00:00:00Z" in found[0].message
    assert "2026-02-01T00:00:00Z" in found[0].message
