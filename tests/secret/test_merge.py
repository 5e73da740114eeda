"""Two branches that changed different values of one credential."""

from __future__ import annotations

import subprocess

import pytest
from secretspace import SMTP, Space

from runner.errors import SecretError
from runner.secret import age, change, merge, recipients, sops

pytest_plugins = ["secretfixtures"]


def git(space: Space, *arguments: str, ok: bool = True) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(space.root), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ok or done.returncode == 0, done.stderr
    return done.stdout


def branches(space: Space, ours: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> None:
    """A repository in the middle of a merge."""
    space.put()
    git(space, "init", "-q", "-b", "main")
    git(space, "add", "secrets", ".sops.yaml")
    git(space, "commit", "-qm", "base")
    for name, changes in (("theirs", theirs), ("ours", ours)):
        git(space, "checkout", "-qb", name, "main")
        for field, value in changes:
            change.set_value(space.store(), "marketing", field, value)
        git(space, "commit", "-qam", name)
    git(space, "merge", "theirs", ok=False)


def test_different_values_are_merged(space: Space) -> None:
    branches(space, [("auth.password", "ours-ours")], [("label", "Theirs"), ("security.min_tls", "1.3")])
    assert "<<<<<<<" in space.path().read_text()
    notes = merge.resolve(space.store(), "marketing")
    content = sops.decrypt(space.path().read_bytes(), [space.identity])

    assert content == {
        **SMTP, "label": "Theirs", "auth": {**SMTP["auth"], "password": "ours-ours"}, "security": {"min_tls": "1.3"},
    }  # fmt: skip
    assert sorted(notes) == ["auth.password: ours", "label: theirs", "security.min_tls: theirs"]
    assert space.store().check("marketing", True) == []


def test_one_value_changed_on_both_sides_needs_a_decision_and_is_not_shown(space: Space) -> None:
    branches(space, [("auth.password", "CANARY-ours")], [("auth.password", "CANARY-theirs"), ("label", "T")])
    old = space.path().read_bytes()
    with pytest.raises(SecretError, match=r"both sides changed auth\.password") as caught:
        merge.resolve(space.store(), "marketing")
    assert "CANARY" not in f"{caught.value.message}{caught.value.hint}"
    assert space.path().read_bytes() == old
    merge.resolve(space.store(), "marketing", "theirs")
    content = sops.decrypt(space.path().read_bytes(), [space.identity])

    assert (content["auth"]["password"], content["label"]) == ("CANARY-theirs", "T")


def test_every_reader_of_a_conflict_names_the_command_that_resolves_it(space: Space) -> None:
    branches(space, [("label", "Ours")], [("label", "Theirs")])
    lines = space.path().read_text().splitlines()
    store = space.store()
    [found] = store.check("marketing", False)

    assert "conflict marks" in found.message
    assert (found.line, found.hint) == (
        next(n for n, line in enumerate(lines, 1) if line.startswith("<<<<<<<")),
        "flowpost secrets resolve marketing",
    )
    for action in (store.get, lambda name: change.set_value(store, name, "label", "x")):
        with pytest.raises(SecretError, match="conflict marks") as caught:
            action("marketing")
        assert caught.value.hint == "flowpost secrets resolve marketing"


def test_without_a_conflict_there_is_nothing_to_merge(space: Space) -> None:
    space.put()
    git(space, "init", "-q")

    with pytest.raises(SecretError, match="no conflict"):
        merge.resolve(space.store(), "marketing")


def test_a_removed_recipient_stays_removed(space: Space) -> None:
    """Theirs removed somebody; ours, with the old key, must not bring him back."""
    identity, recipient = age.generate()
    space.put()
    recipients.add(space.store(), recipient, ["marketing"]).apply()
    git(space, "init", "-q", "-b", "main")
    git(space, "add", "secrets", ".sops.yaml")
    git(space, "commit", "-qm", "base")
    git(space, "checkout", "-qb", "theirs", "main")
    recipients.remove(space.store(), recipient, ["marketing"]).apply()
    git(space, "commit", "-qam", "theirs")
    git(space, "checkout", "-qb", "ours", "main")
    change.set_value(space.store(), "marketing", "auth.password", "ours-ours")
    git(space, "commit", "-qam", "ours")
    git(space, "merge", "theirs", ok=False)
    merge.resolve(space.store(), "marketing")

    assert sops.decrypt(space.path().read_bytes(), [space.identity])["auth"]["password"] == "ours-ours"
    with pytest.raises(SecretError):
        sops.decrypt(space.path().read_bytes(), [identity])
