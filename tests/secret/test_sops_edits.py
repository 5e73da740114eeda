"""In-place edits: what changes, what stays byte for byte, and that sops reads every result."""

from __future__ import annotations

import difflib
import os
import random
import stat
from pathlib import Path

import pytest
from secretspace import SMTP, Sops, Space
from test_sops_both_ways import RULES, leaf, same, text, tree, written

from runner.secret import age, change, sops
from runner.secret.sops import document, edit, keys, nodes
from runner.secret.sops.nodes import FormatError
from runner.secret.sops.scalar import Leaf, leaf_of

pytest_plugins = ["secretfixtures"]

EXAMPLES = int(os.environ.get("FLOWPOST_EXAMPLES", "40"))
BATCH = 20

COMMENTED = """\
# top
a: one
# before b
b:
    # first in b
    c: two
    d: 3
l:
    # first in list
    - x
    # between
    - z
    - k: v
"""


def changed(old: bytes, new: bytes) -> list[str]:
    """The lines that are not the same, as ``git diff`` counts them: added ones."""
    lines = difflib.ndiff(old.decode().splitlines(), new.decode().splitlines())
    return [line for line in lines if line.startswith("+ ")]


def reachable(before: edit.Opened, place: document.Place) -> bool:
    """Whether only keys lead to it: what is in a list has no name of its own."""
    node: nodes.Node | None = before.document.root
    for name in place.path:
        node = node.get(name) if isinstance(node, nodes.Mapping) else None
    return node is place.scalar


def opened(data: bytes, identity: str) -> edit.Opened:
    parsed = document.parse(data)
    return edit.Opened.open(parsed, document.open_key(parsed, [identity]))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(0, EXAMPLES, BATCH))
def test_sops_reads_back_every_edit_in_place(seed: int, tmp_path: Path, real_sops: Sops) -> None:
    identity, recipient = age.generate()
    for number in range(seed, seed + BATCH):
        rng = random.Random(number)
        data = sops.encrypt({"first": "x", **tree(rng)}, [recipient])
        before = opened(data, identity)
        paths = [
            place.path for place, found in before.found if found and found.text and reachable(before, place)
        ]
        path_to = rng.choice(paths)
        value = leaf(rng) if rng.random() < 0.5 else text(rng)
        new = None if isinstance(value, (dict, list)) else leaf_of(value)
        if not isinstance(new, Leaf) or new.text in ("", "-0"):
            new = Leaf("str", "changed")
        after = before.seal(keys.with_value(before.document, path_to, new))
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(after)
        done = real_sops(identity, "decrypt", str(path))

        assert done.returncode == 0, (number, done.stderr)
        assert sops.decrypt(after, [identity]) is not None
        assert len(changed(data, after)) <= 3, (number, changed(data, after))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(0, EXAMPLES, BATCH))
def test_an_editor_that_changes_nothing_changes_no_line_but_the_mac(
    seed: int, tmp_path: Path, real_sops: Sops
) -> None:
    identity, recipient = age.generate()
    for number in range(seed, seed + BATCH):
        rng = random.Random(number + 5_000_000)
        content = tree(rng)
        config = tmp_path / "config.yaml"
        config.write_text(f"creation_rules:\n  - age: {recipient}\n{rng.choice(RULES)}")
        path = tmp_path / f"{number}.yaml"
        path.write_text(written(content, rng))
        data = real_sops(identity, "--config", str(config), "encrypt", str(path)).stdout
        before = opened(data, identity)
        after = before.seal_clear(before.clear())
        path.write_bytes(after)

        assert len(changed(data, after)) <= 2, (number, changed(data, after))
        assert same(sops.decrypt(after, [identity]), content), number
        assert real_sops(identity, "decrypt", str(path)).returncode == 0, number


def test_one_changed_value_changes_three_lines(space: Space) -> None:
    path = space.put()
    old = path.read_bytes()
    change.set_value(space.store(), "marketing", "auth.password", "another one")
    lines = changed(old, path.read_bytes())

    assert [line.split(":")[0].strip("+ ") for line in lines] == ["password", "lastmodified", "mac"]


def test_sops_edits_our_file_in_three_lines(space: Space, real_sops: Sops, tmp_path: Path) -> None:
    path = space.put()
    old = path.read_bytes()
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/hunter2-hunter2/hunter3/ $1\n")
    editor.chmod(0o755)
    done = real_sops(space.identity, "edit", str(path), EDITOR=str(editor))

    assert done.returncode == 0, done.stderr
    assert len(changed(old, path.read_bytes())) == 3
    assert space.store().check("marketing", True) == []


def test_sops_sets_a_value_in_our_file_in_three_lines(space: Space, real_sops: Sops) -> None:
    path = space.put()
    old = path.read_bytes()
    done = real_sops(space.identity, "set", str(path), '["auth"]["password"]', '"hunter3"')

    assert done.returncode == 0, done.stderr
    assert len(changed(old, path.read_bytes())) == 3
    assert space.store().get("marketing", "smtp").auth.password.reveal() == "hunter3"  # type: ignore[union-attr]


def test_comments_are_shown_to_the_editor_and_sealed_again(tmp_path: Path, real_sops: Sops) -> None:
    identity, recipient = age.generate()
    path = tmp_path / "x.yaml"
    path.write_text(COMMENTED)
    data = real_sops(identity, "encrypt", "--age", recipient, str(path)).stdout
    before = opened(data, identity)

    assert before.clear().replace(" ", "") == COMMENTED.replace(" ", "")
    assert b"first in" not in data


def test_a_list_of_nothing_but_a_comment_stays_a_list(tmp_path: Path, real_sops: Sops) -> None:
    identity, recipient = age.generate()
    path = tmp_path / "x.yaml"
    path.write_text("a: [] # nothing\nb: 1\n")
    before = opened(real_sops(identity, "encrypt", "--age", recipient, str(path)).stdout, identity)
    path.write_bytes(before.seal_clear(before.clear()))

    assert sops.decrypt(path.read_bytes(), [identity]) == {"a": [], "b": 1}
    assert real_sops(identity, "decrypt", str(path)).returncode == 0


@pytest.mark.parametrize("word", ["# top", "# before b", "# first in b", "# first in list", "# between"])
def test_a_changed_comment_is_encrypted_so_that_sops_reads_it(
    word: str, tmp_path: Path, real_sops: Sops
) -> None:
    identity, recipient = age.generate()
    path = tmp_path / "x.yaml"
    path.write_text(COMMENTED)
    data = real_sops(identity, "encrypt", "--age", recipient, str(path)).stdout
    before = opened(data, identity)
    after = before.seal_clear(before.clear().replace(word, "# SECRET NOTE"))
    path.write_bytes(after)
    done = real_sops(identity, "decrypt", str(path))

    assert b"SECRET NOTE" not in after
    assert done.stdout.decode().count("# SECRET NOTE") == 1
    assert b"possibly unencrypted" not in done.stderr


def test_a_new_comment_is_encrypted(space: Space, real_sops: Sops) -> None:
    path = space.put()
    change.edit_text(space.store(), "marketing", lambda old: old.replace("auth:", "# call Bob\nauth:"))

    assert b"Bob" not in path.read_bytes()
    assert b"# call Bob" in real_sops(space.identity, "decrypt", str(path)).stdout


def test_a_ciphertext_typed_into_the_editor_is_a_text_like_any_other(space: Space) -> None:
    path = space.put()
    raw = next(line for line in path.read_text().splitlines() if "username" in line).split(": ", 1)[1]
    change.edit_text(space.store(), "marketing", lambda old: old.replace("hunter2-hunter2", raw))

    assert sops.decrypt(path.read_bytes(), [space.identity])["auth"]["password"] == raw


def test_a_key_can_be_added_and_taken_away(space: Space, real_sops: Sops) -> None:
    path = space.put()
    change.set_value(space.store(), "marketing", "security.min_tls", "1.3")
    change.set_value(space.store(), "marketing", "advanced.idle_seconds", "7")
    change.unset_value(space.store(), "marketing", "label")
    change.unset_value(space.store(), "marketing", "security.min_tls")
    content = sops.decrypt(path.read_bytes(), [space.identity])
    expected = {key: value for key, value in SMTP.items() if key != "label"}

    assert content == {**expected, "advanced": {**expected["advanced"], "idle_seconds": 7}}
    assert real_sops(space.identity, "decrypt", str(path)).returncode == 0


def test_values_in_a_flow_collection_stay_readable(tmp_path: Path, real_sops: Sops) -> None:
    identity, recipient = age.generate()
    data = sops.encrypt({"a": "x"}, [recipient])
    before = opened(data, identity)
    after = before.seal_clear("a: {b: [1, two, 'th,ree'], c: null}\n")
    path = tmp_path / "x.yaml"
    path.write_bytes(after)

    assert sops.decrypt(after, [identity]) == {"a": {"b": [1, "two", "th,ree"], "c": None}}
    assert real_sops(identity, "decrypt", str(path)).returncode == 0


def test_a_pem_is_shown_as_lines(space: Space) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nabc\ndef\n-----END CERTIFICATE-----\n"
    space.put(security={"ca_pem": pem})
    seen: list[str] = []
    change.edit_text(space.store(), "marketing", lambda old: seen.append(old) or old)  # type: ignore[func-returns-value]

    assert "ca_pem: |\n        -----BEGIN CERTIFICATE-----\n        abc\n" in seen[0]


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: 1\na: 2", "- a", "sops: x", "a: &x 1\nb: *x", "a: !!binary eA==", "1: x", "a: 1\n---\nb: 2"],
)
def test_what_sops_cannot_hold_is_not_sealed(text: str) -> None:
    identity, recipient = age.generate()
    before = opened(sops.encrypt({"a": "x"}, [recipient]), identity)
    with pytest.raises(FormatError):
        before.seal_clear(text)


def test_the_mode_of_the_file_stays(space: Space) -> None:
    path = space.put()
    path.chmod(0o640)
    change.set_value(space.store(), "marketing", "label", "x")

    assert stat.S_IMODE(path.stat().st_mode) == 0o640
