"""Where identities are looked for, what is said when one is missing or damaged, and that no key is ever shown."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from secretspace import SMTP, Space, encrypt_at

from runner.errors import SecretError
from runner.secret import age, identities, keyfile, sops
from runner.secret.store import CredentialStore

pytest_plugins = ["secretfixtures"]

PLACES = ["SOPS_AGE_SSH_PRIVATE_KEY_FILE", "SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY_CMD"]


def key_file(tmp_path: Path, *texts: str, name: str = "keys.txt") -> Path:
    path = tmp_path / name
    path.write_text("# a comment\n\n" + "\n".join(texts) + "\n")
    return path


def ssh_key(tmp_path: Path, kind: str, passphrase: str = "") -> tuple[Path, str]:
    path = tmp_path / f"id_{kind}"
    bits = ["-b", "2048"] if kind == "rsa" else []
    command = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path, path.with_suffix(".pub").read_text().rsplit(" ", 1)[0]


def test_every_place_is_tried(tmp_path: Path) -> None:
    pairs = [age.generate() for _ in range(4)]
    home = tmp_path / "home"
    default = home / ".config/sops/age"
    default.mkdir(parents=True)
    key_file(default, pairs[3][0])
    environ = {
        "SOPS_AGE_KEY": pairs[0][0],
        "SOPS_AGE_KEY_FILE": str(key_file(tmp_path, pairs[1][0])),
        "SOPS_AGE_KEY_CMD": f"printf '%s\\n' {pairs[2][0]}",
        "PATH": os.environ["PATH"],
    }
    found = identities.find(environ, home)

    assert found.texts == tuple(identity for identity, _ in pairs)
    for identity, recipient in pairs:
        assert sops.decrypt(sops.encrypt({"a": 1}, [recipient]), found.texts) == {"a": 1}
        assert identity not in found.places
        assert identity not in repr(found)


@pytest.mark.parametrize("form", ["openssh", "pem"])
def test_an_ecdsa_key_is_not_supported_and_not_damaged(tmp_path: Path, form: str) -> None:
    path, _ = ssh_key(tmp_path, "ecdsa")
    if form == "pem":
        subprocess.run(["ssh-keygen", "-q", "-p", "-m", "PEM", "-N", "", "-f", str(path)], check=True)

    with pytest.raises(SecretError, match="type ecdsa are not supported, only ed25519 and rsa"):
        identities.find({"SOPS_AGE_SSH_PRIVATE_KEY_FILE": str(path)}, tmp_path)


def test_the_config_folder_of_xdg_comes_before_the_home(tmp_path: Path) -> None:
    identity, _ = age.generate()
    folder = tmp_path / "xdg/sops/age"
    folder.mkdir(parents=True)
    key_file(folder, identity)

    assert identities.find({"XDG_CONFIG_HOME": str(tmp_path / "xdg")}, tmp_path).texts == (identity,)


def test_a_variable_may_hold_several_keys(tmp_path: Path) -> None:
    one, other = age.generate()[0], age.generate()[0]

    assert identities.find({"SOPS_AGE_KEY": f"# mine\n{one}  {other}\n"}, tmp_path).texts == (one, other)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys_open_sops_files_and_whole_files(kind: str, tmp_path: Path) -> None:
    path, public = ssh_key(tmp_path, kind)
    found = identities.find({"SOPS_AGE_SSH_PRIVATE_KEY_FILE": str(path)}, tmp_path)

    assert sops.decrypt(sops.encrypt({"a": 1}, [public]), found.texts) == {"a": 1}
    assert age.decrypt(age.encrypt(b"x", [public]), found.texts) == b"x"


def test_an_ssh_key_with_a_passphrase_is_refused_by_name(tmp_path: Path) -> None:
    path, _ = ssh_key(tmp_path, "ed25519", "secret phrase")

    with pytest.raises(SecretError, match=r"SOPS_AGE_SSH_PRIVATE_KEY_FILE cannot be used: .*passphrase"):
        identities.find({"SOPS_AGE_SSH_PRIVATE_KEY_FILE": str(path)}, tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SOPS_AGE_KEY", "", "set but empty"),
        ("SOPS_AGE_KEY", "CANARY-KEY", "neither an age identity"),
        ("SOPS_AGE_KEY", "AGE-SECRET-KEY-1CANARY", "damaged"),
        ("SOPS_AGE_KEY", "# nothing", "no identity"),
        ("SOPS_AGE_KEY", "AGE-PLUGIN-YUBIKEY-1CANARY", "plugins"),
        ("SOPS_AGE_KEY_FILE", "/nonexistent/keys.txt", "no such file"),
        ("SOPS_AGE_KEY_FILE", "/", "not a file|is a directory"),
        ("SOPS_AGE_KEY_FILE", "/dev/zero", "not a file"),
        ("SOPS_AGE_KEY_FILE", "/bin/sh", "not a text file|neither|too large"),
        ("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "/etc/passwd", "no SSH private key"),
        ("SOPS_AGE_KEY_CMD", "false", "status 1"),
        ("SOPS_AGE_KEY_CMD", "true", "no identity"),
        ("SOPS_AGE_KEY_CMD", "echo CANARY", "neither"),
        ("SOPS_AGE_KEY_CMD", "/nonexistent/CANARY", "cannot be run"),
        ("SOPS_AGE_KEY_CMD", "echo 'CANARY", "quotes"),
        ("FLOWPOST_AGE_PASSPHRASE", "", "set but empty"),
        ("FLOWPOST_AGE_PASSPHRASE_FILE", "/nonexistent", "no such file"),
    ],
)
def test_a_variable_that_cannot_be_used_is_an_error(
    variable: str, value: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(SecretError, match=f"{variable} cannot be used: .*({says})") as caught:
        identities.find({variable: value, "PATH": os.environ["PATH"]}, tmp_path)

    assert "CANARY" not in f"{caught.value.message}{caught.value.hint}"


def test_one_unusable_variable_is_an_error_even_beside_a_good_one(space: Space) -> None:
    space.put()

    with pytest.raises(SecretError, match="SOPS_AGE_KEY_FILE cannot be used"):
        space.store(SOPS_AGE_KEY_FILE="/nonexistent").get("marketing")


def test_without_any_key_the_file_the_recipients_and_the_places_are_named(space: Space) -> None:
    space.put()
    with pytest.raises(SecretError) as caught:
        space.without_key().get("marketing")

    for word in ("secrets/marketing.yaml", space.recipient, *PLACES, "sops/age/keys.txt"):
        assert word in caught.value.message


def test_with_the_wrong_key_the_file_the_recipients_and_the_places_are_named(space: Space) -> None:
    space.put()
    other = age.generate()[0]
    with pytest.raises(SecretError) as caught:
        space.store(SOPS_AGE_KEY=other).get("marketing")

    for word in ("secrets/marketing.yaml", space.recipient, *PLACES, "none of the identities"):
        assert word in caught.value.message
    assert other not in caught.value.message


def test_a_key_that_comes_later_is_found(space: Space) -> None:
    space.put()
    store = space.without_key()
    with pytest.raises(SecretError):
        store.get("marketing")
    folder = space.root / "nobody/.config/sops/age"
    folder.mkdir(parents=True)
    key_file(folder, space.identity)

    assert store.get("marketing").name == "marketing"


def test_a_second_recipient_can_decrypt(space: Space) -> None:
    identity, recipient = age.generate()
    space.path().write_bytes(encrypt_at("2026-01-01T00:00:00Z", SMTP, [space.recipient, recipient]))

    assert space.store(SOPS_AGE_KEY=identity).get("marketing").name == "marketing"


def test_a_damaged_default_file_is_told_but_stops_nothing(space: Space) -> None:
    space.put()
    folder = space.root / "nobody/.config/sops/age"
    folder.mkdir(parents=True)
    (folder / "keys.txt").write_text("CANARY\n")

    assert space.store().get("marketing").name == "marketing"
    with pytest.raises(SecretError, match=r"keys.txt \(entry 1: ") as caught:
        space.without_key().get("marketing")
    assert "CANARY" not in caught.value.message


def test_a_key_file_that_is_itself_encrypted_opens_with_the_passphrase(tmp_path: Path) -> None:
    identity, _ = age.generate()
    path = tmp_path / "keys.age"
    path.write_bytes(age.encrypt_with_passphrase(identity.encode(), "open sesame"))
    environ = {"SOPS_AGE_KEY_FILE": str(path), "FLOWPOST_AGE_PASSPHRASE": "open sesame"}

    assert identities.find(environ, tmp_path).texts == (identity,)
    with pytest.raises(SecretError, match="passphrase is wrong"):
        identities.find({**environ, "FLOWPOST_AGE_PASSPHRASE": "CANARY"}, tmp_path)


def test_a_new_key_file_is_private_and_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "sub/keys.txt"
    previous = os.umask(0)
    try:
        made = keyfile.make(path)
    finally:
        os.umask(previous)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert f"# public key: {made.recipient}" in path.read_text()
    with pytest.raises(SecretError, match="already there"):
        keyfile.make(path)


def test_a_key_can_be_added_to_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    one = keyfile.make(path)
    other = keyfile.make(path, append=True)
    found = identities.find({"SOPS_AGE_KEY_FILE": str(path)}, tmp_path)

    assert [age.recipient_of(text) for text in found.texts] == [one.recipient, other.recipient]


def test_no_key_is_made_inside_the_repository(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="inside the repository"):
        keyfile.ensure_identity(
            {"SOPS_AGE_KEY_FILE": str(tmp_path / "x/keys.txt")}, tmp_path, outside=tmp_path
        )


def test_a_key_that_is_there_is_used(tmp_path: Path) -> None:
    identity, recipient = age.generate()
    found = keyfile.ensure_identity({"SOPS_AGE_KEY": identity}, tmp_path, outside=tmp_path / "repository")

    assert (found.recipient, found.made) == (recipient, False)


def test_the_store_works_without_a_home(space: Space) -> None:
    space.put()
    environ = {"SOPS_AGE_KEY": space.identity}

    assert CredentialStore(space.root, "secrets", "acme", environ).get("marketing").name == "marketing"
