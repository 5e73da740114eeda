"""Random documents, ours to sops and sops to ours. FLOWPOST_EXAMPLES=1000 for the long run."""

from __future__ import annotations

import json
import math
import os
import random
import string
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from secretspace import Sops

from runner.secret import age, sops
from runner.secret.sops import document
from runner.secret.sops.nodes import compose
from runner.secret.sops.scalar import resolve

pytest_plugins = ["secretfixtures"]

EXAMPLES = int(os.environ.get("FLOWPOST_EXAMPLES", "40"))
BATCH = 20
TRICKY = [
    "", " ", "a ", " a", "yes", "no", "on", "null", "~", "true", "1", "1.0", "0x1f", "1_000", "12:30:45", "1e5", "017",
    "2024-01-02", "=", "- a", "-", "?", ": ", "a: b", "a #b", "#a", "*a", "&a", "!a", "%a", "@a", "`a", "{a}", "[a]",
    "'", '"', "\\", "a\nb", "a\n", "\n", "\t", "\r\n", "\x00", "\x7f", "\x85", "\u2028", "é", "日本", "\U0001f600",
    "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]", "sops", "<a>", "a,b", "---", "...", "key: |", "\ufeff", ".5", "+1",
    "password" * 20, "-----BEGIN X-----\nabc\n-----END X-----\n",
]  # fmt: skip

RULES = [
    "",
    "",
    "    encrypted_regex: ^[a-d]\n",
    "    unencrypted_regex: '[e-h]$'\n",
    "    encrypted_suffix: a\n",
    "    unencrypted_suffix: b\n",
    "    unencrypted_suffix: b\n    mac_only_encrypted: true\n",
]


def text(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(TRICKY)
    alphabet = string.printable + "äöüß€漢字\u00a0\U0001f4a9"
    made = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 40)))
    # sops decrypts a text that begins with a line break into a block that no other YAML parser reads.
    return made.lstrip() if "\n" in made else made


def key(rng: random.Random) -> str:
    while True:
        name = (
            text(rng).replace("\n", "").replace("\r", "")[:30]
            if rng.random() < 0.3
            else rng.choice("abcdefgh")
        )
        if rng.random() < 0.1:
            name += "_unencrypted"
        # sops itself cannot read what it writes for a merge key, and takes the characters apart as line breaks.
        if name not in ("<<", "sops") and not set(name) & set("\x85\u2028\u2029"):
            return name


def leaf(rng: random.Random) -> Any:
    zone = timezone(timedelta(minutes=rng.randint(-700, 700)))
    moment = datetime(
        rng.randint(1970, 2200), 1, 2, 3, 4, 5, rng.choice([0, 120_000, 123_456]), rng.choice([UTC, zone])
    )
    return rng.choice(
        [
            text(rng), text(rng), text(rng), rng.randint(-(2**63), 2**63 - 1), rng.randint(-9, 9), rng.random(),
            rng.uniform(-1e300, 1e300), 10.0 ** rng.randint(-300, 300), 0.0, 2.0, True, False, None, moment,
            math.inf, -math.inf, {}, [],
        ]
    )  # fmt: skip


def tree(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    return {key(rng): value(rng, depth) for _ in range(rng.randint(1, 5))}


def value(rng: random.Random, depth: int) -> Any:
    kind = rng.random()
    if depth < 5 and kind < 0.2:
        return tree(rng, depth + 1)
    if depth < 5 and kind < 0.4:
        return [value(rng, depth + 1) for _ in range(rng.randint(1, 4))]
    return leaf(rng)


def plain(data: bytes) -> Any:
    """What sops decrypted, read by SOPS's own rules."""
    root = compose(data.decode())
    values = {place.scalar.start: resolve(place.scalar) for place in document.places(root)}
    return document.to_tree(root, values)


# Left out: -0.0, which sops writes in clear as -0, reads back as 0, and then finds its own MAC wrong.
def same(one: Any, other: Any) -> bool:
    """Equal in type, too; but a float that is whole is an int to whoever reads it in clear."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return type(one) in (int, float) and type(other) in (int, float) and float(one) == float(other)
    return type(one) is type(other) and one == other


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(0, EXAMPLES, BATCH))
def test_what_we_encrypt_sops_decrypts_without_a_difference(
    seed: int, tmp_path: Path, real_sops: Sops
) -> None:
    identity, recipient = age.generate()
    for number in range(seed, seed + BATCH):
        content = tree(random.Random(number))
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(sops.encrypt(content, [recipient]))
        done = real_sops(identity, "decrypt", str(path))

        assert done.returncode == 0, (number, done.stderr)
        assert same(plain(done.stdout), content), number
        assert same(sops.decrypt(path.read_bytes(), [identity]), content), number


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(0, EXAMPLES, BATCH))
def test_what_sops_encrypts_we_decrypt_without_a_difference(
    seed: int, tmp_path: Path, real_sops: Sops
) -> None:
    identity, recipient = age.generate()
    for number in range(seed, seed + BATCH):
        rng = random.Random(number + 1_000_000)
        content = tree(rng)
        rule = rng.choice(RULES)
        config = tmp_path / "config.yaml"
        config.write_text(f"creation_rules:\n  - age: {recipient}\n{rule}")
        path = tmp_path / f"{number}.yaml"
        path.write_text(written(content, rng))
        done = real_sops(identity, "--config", str(config), "encrypt", str(path))

        assert done.returncode == 0, (number, done.stderr)
        assert same(sops.decrypt(done.stdout, [identity]), content), (number, rule)


def written(content: dict[str, Any], rng: random.Random) -> str:
    """The content as YAML with comments, in the flow style of JSON here and there."""
    lines: list[str] = []
    for name, item in content.items():
        if rng.random() < 0.3:
            lines.append(f"# a comment on {rng.randint(0, 99)}")
        inline = " # inline" if rng.random() < 0.1 and item not in ([], {}) else ""
        if isinstance(item, list) and item and rng.random() < 0.8:
            lines.append(f"{quoted(name)}:")
            for element in item:
                if rng.random() < 0.3:
                    lines.append("  # a comment in a list")
                lines.append(f"  - {flow(element)}{inline}")
        elif isinstance(item, dict) and item and rng.random() < 0.8:
            lines.append(f"{quoted(name)}:")
            lines += [f"  {line}" for line in written(item, rng).rstrip("\n").split("\n")]
        else:
            lines.append(f"{quoted(name)}: {flow(item)}{inline}")
    return "\n".join(lines) + "\n"


def quoted(item: str) -> str:
    return json.dumps(item).replace("\\ud83d\\ude00", "\U0001f600").replace("\\ud83d\\udca9", "\U0001f4a9")


def flow(item: Any) -> str:
    if isinstance(item, dict):
        return "{" + ", ".join(f"{quoted(name)}: {flow(element)}" for name, element in item.items()) + "}"
    if isinstance(item, list):
        return "[" + ", ".join(flow(element) for element in item) + "]"
    if isinstance(item, str):
        return quoted(item)
    if isinstance(item, bool):
        return str(item).lower()
    if item is None:
        return "null"
    if isinstance(item, datetime):
        return item.isoformat().replace("+00:00", "Z")
    if isinstance(item, float):
        special = {math.inf: ".inf", -math.inf: "-.inf"}
        return special.get(item) or repr(item)
    return str(item)
