"""Credentials encrypted as a whole with age."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from secretspace import SMTP, Space

from runner.errors import SecretError
from runner.secret import age

pytest_plugins = ["secretfixtures"]

PLAIN = """\
name: marketing
server: {host: smtp.example.com, port: 587}
auth:
  type: password
  username: marketing@example.com
  password: hunter2-hunter2
"""


def put(space: Space, data: bytes, name: str = "marketing") -> Path:
    path = space.root / "secrets" / f"{name}.age"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("armored", [True, False])
def test_a_whole_file_is_read_armored_and_binary(armored: bool, space: Space) -> None:
    put(space, age.encrypt(PLAIN.encode(), [space.recipient], armored=armored))

    assert space.store().names() == ["marketing"]
    assert space.store().get("marketing", "smtp").host == "smtp.example.com"  # type: ignore[union-attr]
    assert space.store().check("marketing", True) == []
    assert space.without_key().check("marketing", False) == []


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
@pytest.mark.parametrize("armored", [True, False])
def test_a_whole_file_for_an_ssh_key_is_read(kind: str, armored: bool, space: Space, tmp_path: Path) -> None:
    key = tmp_path / "id"
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", str(key)], check=True)
    put(space, age.encrypt(PLAIN.encode(), [key.with_suffix(".pub").read_text()], armored=armored))

    assert space.store(SOPS_AGE_SSH_PRIVATE_KEY_FILE=str(key)).get("marketing").name == "marketing"


@pytest.mark.parametrize("armored", [True, False])
def test_a_whole_file_under_a_passphrase_is_read(armored: bool, space: Space) -> None:
    put(space, age.encrypt_with_passphrase(PLAIN.encode(), "open sesame", armored=armored))

    assert space.store(FLOWPOST_AGE_PASSPHRASE="open sesame").get("marketing").name == "marketing"
    with pytest.raises(SecretError, match="passphrase is wrong") as caught:
        space.store(FLOWPOST_AGE_PASSPHRASE="CANARY").get("marketing")
    assert "CANARY" not in caught.value.message
    with pytest.raises(SecretError, match="protected by a passphrase"):
        space.store().get("marketing")


async def test_scrypt_does_not_stop_the_loop(space: Space) -> None:
    put(space, age.encrypt_with_passphrase(PLAIN.encode(), "open sesame"))
    task = asyncio.create_task(space.store(FLOWPOST_AGE_PASSPHRASE="open sesame").fetch("marketing"))
    gaps, last = [], time.monotonic()
    while not task.done():
        await asyncio.sleep(0.01)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()

    assert (await task).name == "marketing"
    assert len(gaps) >= 3


def test_json_is_yaml_too(space: Space) -> None:
    put(space, age.encrypt(json.dumps({**SMTP}).encode(), [space.recipient]))

    assert space.store().get("marketing").name == "marketing"


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (PLAIN.replace("587", '"587"'), "must be a whole number"),
        (PLAIN.replace("587", "25"), "Port 25 is not allowed"),
        (PLAIN.replace("hunter2-hunter2", "true"), "must be a text"),
        (PLAIN.replace("hunter2-hunter2", ""), "empty"),
        (PLAIN + "extra: 1\n", "not a key"),
        (PLAIN + "---\na: 1\n", "second document"),
        (PLAIN + "label: &a x\n", "anchor"),
        (PLAIN + "label: !!str x\n", "tag"),
        (PLAIN + "name: marketing\n", "twice"),
        (PLAIN.replace("name: marketing", "name: other"), 'not "marketing"'),
        ("- a\n", "not a mapping"),
        ("", "empty"),
        ("\0", "not YAML"),
        ("a: [" * 1000, "not YAML|deeper"),
    ],
)
def test_what_is_inside_is_held_to_the_same_rules(plain: str, says: str, space: Space) -> None:
    put(space, age.encrypt(plain.encode(), [space.recipient]))
    with pytest.raises(Exception, match=says) as caught:
        space.store().get("marketing")

    assert "hunter2" not in str(caught.value)


def damaged(data: bytes) -> dict[str, bytes]:
    lines = data.splitlines(keepends=True)
    return {
        "empty": b"",
        "plain text": PLAIN.encode(),
        "no end": b"".join(lines[:-1]),
        "no begin": b"".join(lines[1:]),
        "a line missing": b"".join(lines[:2] + lines[3:]),
        "not base64": data.replace(lines[2][:4], b"!!!!"),
        "cut in half": data[: len(data) // 2],
        "something behind": data + b"trailing\n",
        "a header without an end": b"age-encryption.org/v1\n-> X25519 abc\n",
        "many stanzas": b"age-encryption.org/v1\n" + b"-> X25519 abc\nabc\n" * 5000,
        "a stanza without words": b"age-encryption.org/v1\n-> \n--- x\n",
        "no stanza": b"age-encryption.org/v1\n--- x\n",
        "work for years": b"age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 30\nabc\n--- abc\n",
        "work of no number": b"age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 0x5\nabc\n--- abc\n",
        "two scrypt stanzas": b"age-encryption.org/v1\n"
        + b"-> scrypt bBjlhJVYZeE4aqUdmtRHfw 18\nabc\n" * 2
        + b"--- abc\n",
        "another version": b"age-encryption.org/v2\n--- x\n",
        "zeros": bytes(100_000),
        "two megabytes": b"age-encryption.org/v1\n" + bytes(2 << 20),
    }


@pytest.mark.parametrize("name", damaged(b"x\ny\nz\n"))
def test_a_damaged_age_file_is_one_clear_error(name: str, space: Space) -> None:
    path = put(space, damaged(age.encrypt(PLAIN.encode(), [space.recipient]))[name])
    with pytest.raises(SecretError, match=r"secrets/marketing\.age") as caught:
        space.store(FLOWPOST_AGE_PASSPHRASE="x").get("marketing")

    assert "hunter2" not in caught.value.message
    assert path.exists()


@pytest.mark.timeout(300)
def test_a_flipped_bit_in_an_age_file_is_an_error(space: Space) -> None:
    data = age.encrypt(PLAIN.encode(), [space.recipient], armored=False)
    read = 0
    for position in range(0, len(data), 5):
        put(space, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        try:
            space.store().get("marketing")
            read += 1
        except SecretError:
            pass

    assert read == 0


def test_a_whole_file_is_not_edited_in_place(space: Space) -> None:
    from runner.secret import change

    put(space, age.encrypt(PLAIN.encode(), [space.recipient]))

    with pytest.raises(SecretError, match="encrypted as a whole"):
        change.set_value(space.store(), "marketing", "label", "x")


def test_the_work_that_a_file_may_ask_for_is_bounded_before_any_is_done(space: Space) -> None:
    path = put(space, b"age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 23\nabc\n--- abc\n")

    assert path.exists()
    for store in (space.store(FLOWPOST_AGE_PASSPHRASE="x"), space.without_key()):
        assert ["2**23" in finding.message for finding in store.check("marketing", False)] == [True]


def test_a_passphrase_that_takes_more_memory_than_there_is_ends_nobody(space: Space) -> None:
    path = space.root / "whole.age"
    path.write_bytes(age.encrypt_with_passphrase(b"name: x\n", "open sesame"))
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom runner.errors import SecretError\n"
        "from runner.secret import age\n"
        "data = Path(sys.argv[1]).read_bytes()\nage.check(data)\nimport pyrage\n"
        "resource.setrlimit(resource.RLIMIT_AS, (250 << 20, 250 << 20))\n"
        "try:\n    age.decrypt(data, (), passphrase='open sesame')\n"
        "except SecretError as error:\n    print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (
        0,
        "scrypt was killed: the age file asks for more memory than there is\n",
    )
