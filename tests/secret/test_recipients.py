"""Who can decrypt: rotate, add, remove; and that a recipient in a file is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest
from secretspace import SMTP, Sops, Space, encrypt_at

from runner.errors import SecretError
from runner.secret import age, recipients, rules, sops

pytest_plugins = ["secretfixtures"]

HOOK = {"name": "hook", "type": "webhook", "auth": {"type": "token", "token": "0123456789abcdef"}}


def ciphertexts(path: Path) -> set[str]:
    return {line.split(": ", 1)[1] for line in path.read_text().splitlines() if ": ENC[" in line}


def test_rotating_makes_a_new_data_key(space: Space, real_sops: Sops) -> None:
    path = space.put()
    old = ciphertexts(path)
    plan = recipients.rotate(space.store(), ["marketing"])
    plan.apply()

    assert not old & ciphertexts(path)
    assert [change.new_key for change in plan.changes] == [True]
    assert sops.decrypt(path.read_bytes(), [space.identity]) == SMTP
    assert real_sops(space.identity, "decrypt", str(path)).returncode == 0


def test_nothing_is_written_before_it_is_applied(space: Space) -> None:
    path = space.put()
    old = path.read_bytes()
    recipients.rotate(space.store(), ["marketing"])

    assert path.read_bytes() == old


def test_a_recipient_that_is_only_in_the_file_is_refused(space: Space) -> None:
    stranger = age.generate()[1]
    space.path().write_bytes(encrypt_at("2026-01-01T00:00:00Z", SMTP, [space.recipient, stranger]))
    old = space.path().read_bytes()
    for action in (recipients.rotate, lambda store, names: recipients.add(store, age.generate()[1], names)):
        with pytest.raises(SecretError, match=f"{stranger} is in the file but not in .sops.yaml"):
            action(space.store(), ["marketing"])

    assert space.path().read_bytes() == old


def test_a_recipient_that_is_only_in_the_file_can_be_removed(space: Space) -> None:
    identity, stranger = age.generate()
    space.path().write_bytes(encrypt_at("2026-01-01T00:00:00Z", SMTP, [space.recipient, stranger]))
    plan = recipients.remove(space.store(), stranger, ["marketing"])
    plan.apply()

    assert plan.changes[0].removed == (stranger,)
    with pytest.raises(SecretError):
        sops.decrypt(space.path().read_bytes(), [identity])


def test_an_added_recipient_can_decrypt_and_no_value_changes(space: Space, real_sops: Sops) -> None:
    path = space.put()
    old = ciphertexts(path)
    identity, recipient = age.generate()
    recipients.add(space.store(), recipient, ["marketing"]).apply()

    assert ciphertexts(path) == old
    assert sops.decrypt(path.read_bytes(), [identity]) == SMTP
    assert real_sops(identity, "decrypt", str(path)).returncode == 0
    assert rules.for_file(space.root, path).recipients == (space.recipient, recipient)
    assert space.store().check("marketing", True) == []


def test_a_removed_recipient_is_shut_out_and_the_passwords_to_change_are_named(space: Space) -> None:
    identity, recipient = age.generate()
    space.put()
    space.put(HOOK, "hook")
    recipients.add(space.store(), recipient, ["hook", "marketing"]).apply()
    plan = recipients.remove(space.store(), recipient, ["hook", "marketing"])
    plan.apply()

    assert {change.name: change.secrets for change in plan.changes} == {
        "hook": ("auth.token",), "marketing": ("auth.password",),
    }  # fmt: skip
    for name in ("hook", "marketing"):
        with pytest.raises(SecretError):
            sops.decrypt(space.path(name).read_bytes(), [identity])
        assert space.store().check(name, True) == []


def test_the_last_recipient_cannot_be_removed(space: Space) -> None:
    space.put()

    with pytest.raises(SecretError, match="last recipient"):
        recipients.remove(space.store(), space.recipient, ["marketing"])


def test_a_recipient_of_nothing_cannot_be_removed(space: Space) -> None:
    space.put()

    with pytest.raises(SecretError, match="recipient of nothing"):
        recipients.remove(space.store(), age.generate()[1], ["marketing"])


def test_a_rotation_takes_what_was_changed_by_hand_in_sops_yaml(space: Space) -> None:
    path = space.put()
    identity, recipient = age.generate()
    (space.root / ".sops.yaml").write_bytes(rules.new_config((space.recipient, recipient), "secrets"))
    found = space.store().check("marketing", True)
    assert [(item.severity, recipient in item.message) for item in found] == [("warning", True)]
    recipients.rotate(space.store(), ["marketing"]).apply()

    assert sops.decrypt(path.read_bytes(), [identity]) == SMTP


def test_a_file_that_changed_meanwhile_is_left_alone(space: Space) -> None:
    path = space.put()
    plan = recipients.rotate(space.store(), ["marketing"])
    path.write_text(path.read_text() + "# mine\n")
    old = path.read_bytes()

    with pytest.raises(SecretError, match="changed by someone else"):
        plan.apply()
    assert path.read_bytes() == old


LAYOUTS = {
    "one text": "creation_rules:\n  - age: {one}\n",
    "texts with commas": "creation_rules:\n  - path_regex: secrets/.*\n    age: {one},{two}\n",
    "a folded text": "creation_rules:\n  - path_regex: secrets/.*\n    age: >-\n      {one},\n      {two}\n  - age: {two}\n",
    "a list": "creation_rules:\n  - path_regex: secrets/.*\n    age:\n      - {one}\n      - {two}\n# end\n",
    "a list with an anchor": "keys:\n  - &me {one}\ncreation_rules:\n  - age:\n      - *me\n      - {two}\n",
    "no line break at the end": "creation_rules:\n  - age:\n      - {one}",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_sops_yaml_is_changed_in_place(name: str, space: Space, real_sops: Sops) -> None:
    two, three = age.generate()[1], age.generate()[1]
    config = space.root / ".sops.yaml"
    config.write_text(LAYOUTS[name].format(one=space.recipient, two=two))
    wanted = rules.for_file(space.root, space.path()).recipients
    path = space.path()
    path.write_bytes(encrypt_at("2026-01-01T00:00:00Z", SMTP, list(wanted)))
    recipients.add(space.store(), three, ["marketing"]).apply()
    assert rules.for_file(space.root, path).recipients == (*wanted, three)
    plain = space.root / "secrets/plain.yaml"
    plain.write_text("a: b\n")
    done = real_sops(space.identity, "encrypt", str(plain), cwd=str(space.root))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"recipient:") == len(wanted) + 1
    recipients.remove(space.store(), three, ["marketing"]).apply()

    assert rules.for_file(space.root, path).recipients == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("creation_rules: []\n", "no creation_rules"),
        ("creation_rules:\n  - pgp: ABC\n", '"pgp" is not supported'),
        ("creation_rules:\n  - kms: arn\n    age: x\n", '"kms" is not supported'),
        ("creation_rules:\n  - key_groups: [{age: [x]}]\n", '"key_groups" is not supported'),
        ("creation_rules:\n  - path_regex: other/.*\n    age: x\n", "no creation rule matches"),
        ("creation_rules:\n  - path_regex: (\n    age: x\n", "regular expression"),
        ("creation_rules:\n  - age: nonsense\n", "not a recipient"),
        ("creation_rules:\n  - age: ''\n", "no age recipient"),
        ("creation_rules:\n  - path_regex: x?\n", "no age recipient"),
        ("creation_rules:\n  - mac_only_encrypted: true\n    age: x\n", "mac_only_encrypted"),
        ("creation_rules: [", "not YAML"),
    ],
)
def test_a_sops_yaml_that_cannot_be_used_says_why(text: str, says: str, space: Space) -> None:
    space.put()
    (space.root / ".sops.yaml").write_text(text)

    with pytest.raises(SecretError, match=rf"\.sops\.yaml.*{says}"):
        recipients.rotate(space.store(), ["marketing"])


def test_without_sops_yaml_nothing_is_encrypted(space: Space) -> None:
    space.put()
    (space.root / ".sops.yaml").unlink()

    with pytest.raises(SecretError, match="is not there"):
        recipients.rotate(space.store(), ["marketing"])


def test_a_sops_yaml_above_the_workspace_in_the_same_repository_counts(space: Space) -> None:
    path = space.put()
    config = space.root / ".sops.yaml"
    text = config.read_text().replace("^secrets/", "^acme/secrets/")
    config.unlink()
    above = space.root.parent
    (above / ".sops.yaml").write_text(text)
    with pytest.raises(SecretError, match="is not there"):
        recipients.rotate(space.store(), ["marketing"])
    (above / ".git").mkdir()
    stranger = age.generate()[1]
    recipients.add(space.store(), stranger, ["marketing"]).apply()

    assert rules.for_file(space.root, path).config == above / ".sops.yaml"
    assert stranger in (above / ".sops.yaml").read_text()
