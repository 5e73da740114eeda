"""The bare format: layouts of other versions, the rules of its scalars, and what it refuses to hold."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from secretspace import Sops

from runner.errors import SecretError
from runner.secret import age, sops
from runner.secret.sops import cipher
from runner.secret.sops.nodes import FormatError
from runner.secret.sops.scalar import Leaf, float_text, resolve_plain

pytest_plugins = ["secretfixtures"]

CONTENT = {"a": "x", "b": {"c": [1, True, 2.5, None, ""]}}


def sops_37(text: str) -> str:
    """The section as sops 3.7 wrote it: a list for every kind of key, most of them empty."""
    text = text.replace(
        "sops:\n", "sops:\n    kms: []\n    gcp_kms: []\n    azure_kv: []\n    hc_vault: []\n"
    )
    text = text.replace("    unencrypted_suffix", "    pgp: []\n    unencrypted_suffix")
    return re.sub("version: .*", "version: 3.7.3", text)


def sops_313(text: str) -> str:
    """The section as sops 3.13 writes it: sorted, enc before recipient."""
    stanza = re.search(r"        - recipient: (.*)\n          enc: (\|\n(?:            .*\n)+)", text)
    assert stanza is not None
    swapped = f"        - enc: {stanza[2]}          recipient: {stanza[1]}\n"
    return re.sub("version: .*", "version: 3.13.2", text.replace(stanza[0], swapped))


LAYOUTS: dict[str, Callable[[str], str]] = {
    "sops 3.7": sops_37,
    "sops 3.13": sops_313,
    "Windows line ends": lambda text: text.replace("\n", "\r\n"),
    "no line end": lambda text: text.rstrip("\n"),
    "a document marker": lambda text: f"---\n{text}",
    "sops first": lambda text: text[text.index("sops:") :] + text[: text.index("sops:")],
    "comments": lambda text: "# hello\n" + text.replace("b:\n", "b: # b\n"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_other_layouts_are_read(name: str, real_sops: Sops, tmp_path: Any) -> None:
    identity, recipient = age.generate()
    data = LAYOUTS[name](sops.encrypt(CONTENT, [recipient]).decode()).encode()
    path = tmp_path / "x.yaml"
    path.write_bytes(data)

    assert sops.decrypt(data, [identity]) == CONTENT
    assert real_sops(identity, "decrypt", str(path)).returncode == 0


@pytest.mark.parametrize(
    ("text", "kind", "plain"),
    [
        ("yes", "str", "yes"), ("no", "str", "no"), ("on", "str", "on"), ("true", "bool", "True"),
        ("True", "bool", "True"), ("FALSE", "bool", "False"), ("12:30:45", "str", "12:30:45"), ("1_000", "int", "1000"),
        ("0x1F", "int", "31"), ("0o17", "int", "15"), ("017", "int", "15"), ("0b11", "int", "3"), ("-5", "int", "-5"),
        ("+5", "int", "5"), ("09", "float", "9"), ("1e3", "float", "1000"), (".5", "float", "0.5"), ("1.", "float", "1"),
        (".", "str", "."), (".inf", "float", "+Inf"), (".nan", "float", "NaN"), ("1e999", "str", "1e999"),
        ("2024-01-02", "time", "2024-01-02T00:00:00Z"), ("2024-13-02", "str", "2024-13-02"),
        ("2001-12-14t21:59:43.10-05:00", "time", "2001-12-14T21:59:43.1-05:00"), ("=", "str", "="),
        ("99999999999999999999", "float", "100000000000000000000"), ("1.2.3", "str", "1.2.3"), ("0x", "str", "0x"),
    ],
)  # fmt: skip
def test_plain_scalars_resolve_as_sops_does(
    text: str, kind: str, plain: str, real_sops: Sops, tmp_path: Any
) -> None:
    assert resolve_plain(text) == Leaf(kind, plain)
    path = tmp_path / "x.yaml"
    path.write_text(f"a: {text}\n")
    identity, recipient = age.generate()
    data = real_sops(identity, "encrypt", "--age", recipient, str(path)).stdout

    assert f",type:{kind}]" in data.decode().splitlines()[0]
    assert cipher.unseal(data.decode().splitlines()[0][3:], _key(data, identity), "a:") == Leaf(kind, plain)


def _key(data: bytes, identity: str) -> bytes:
    from runner.secret.sops import document

    return document.open_key(document.parse(data), [identity])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (0.1, "0.1"),
        (2.5, "2.5"),
    ],
)
def test_floats_are_written_as_go_does(number: float, text: str) -> None:
    assert float_text(number) == text


@pytest.mark.parametrize("value", ["", None, {}, []])
def test_what_is_empty_stays_in_clear(value: Any) -> None:
    identity, recipient = age.generate()
    data = sops.encrypt({"a": value}, [recipient])

    assert not data.decode().splitlines()[0].endswith("]") or value == []
    assert sops.decrypt(data, [identity]) == {"a": value}


@pytest.mark.parametrize(
    "tree",
    [
        {1: "a"}, {None: "a"}, {"a": {True: 1}}, {"a": 2**63}, {"a": b"x"}, {"a": object()}, {"a": "\ud800"},
        {"\ud800": 1}, {"sops": {}}, {"<<": {}}, {"a" * 2000: 1}, {"a": {1, 2}}, [], "text", None,
    ],
)  # fmt: skip
def test_what_sops_cannot_hold_is_refused(tree: Any) -> None:
    with pytest.raises(SecretError):
        sops.encrypt(tree, [age.generate()[1]])


def test_deep_and_large_trees_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    for tree in (deep | {"b": 1}, {"a": "x" * (1 << 20)}):
        with pytest.raises(SecretError):
            sops.encrypt(tree, [age.generate()[1]])


def test_dates_and_times_come_back_as_times() -> None:
    identity, recipient = age.generate()
    data = sops.encrypt({"a": date(2024, 1, 2), "b": datetime(2024, 1, 2, 3, 4, 5)}, [recipient])  # noqa: DTZ001

    assert sops.decrypt(data, [identity]) == {
        "a": datetime(2024, 1, 2, tzinfo=UTC), "b": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    }  # fmt: skip


@pytest.mark.parametrize("recipients", [[], ["age1nonsense"], ["ssh-dss AAAA"], ["age1pq1abc"], [""]])
def test_without_a_valid_recipient_nothing_is_encrypted(recipients: list[str]) -> None:
    with pytest.raises(SecretError):
        sops.encrypt({"a": 1}, recipients)


@pytest.mark.parametrize("identities", [[], ["nonsense"], ["AGE-SECRET-KEY-1XYZ"], [age.generate()[0]]])
def test_without_the_right_identity_nothing_is_decrypted(identities: list[str]) -> None:
    data = sops.encrypt({"a": "CANARY"}, [age.generate()[1]])
    with pytest.raises(SecretError) as caught:
        sops.decrypt(data, identities)

    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"a: 1", b"\xff\xfe", b"sops: 1", b"sops: {}", b"[" * 100_000, b"{" * 100_000, b"a: &a [*a]", b"? [a]\n: b",
     b"%YAML 9.9\n---\na: 1", b"\x00" * 10, b"a: !!python/object:os.system x", b"x" * (2 << 20), b"sops:\n  age: [1]\n"],
)  # fmt: skip
def test_what_is_no_sops_file_is_one_error(data: bytes) -> None:
    with pytest.raises(SecretError):
        sops.decrypt(data, [age.generate()[0]])


def test_a_value_has_a_fresh_nonce_of_32_bytes_and_its_path_as_additional_data() -> None:
    key = cipher.new_key()
    one, other = (cipher.seal(Leaf("str", "x"), key, cipher.path_data(("a", "b"))) for _ in range(2))
    nonce = re.search("iv:([^,]*)", one)

    assert nonce is not None
    assert len(base64.b64decode(nonce[1])) == 32
    assert one != other
    assert cipher.unseal(one, key, "a:b:") == Leaf("str", "x")
    with pytest.raises(FormatError, match="moved"):
        cipher.unseal(one, key, "a:c:")


@pytest.mark.parametrize("tail", ["x", "]", " ", ",type:int]"])
def test_nothing_may_follow_a_value(tail: str) -> None:
    """sops reads it, and so two files that differ would be one."""
    identity, recipient = age.generate()
    lines = sops.encrypt({"a": "x"}, [recipient]).decode().splitlines()
    lines[0] = f'a: "{lines[0][3:]}{tail}"'

    with pytest.raises(SecretError, match="not an encrypted value"):
        sops.decrypt("\n".join(lines).encode(), [identity])
