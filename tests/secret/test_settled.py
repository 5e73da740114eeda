"""A credential whose file has rested is not read again, and one that changed is, whatever its times say."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from runner.credential import SmtpCredential
from runner.errors import SecretError
from runner.secret import age, sops
from runner.secret.store import CredentialStore

TREE: Mapping[str, object] = {
    "name": "ops",
    "server": {"host": "smtp.example.com", "port": 587},
    "auth": {"type": "password", "username": "ann@example.com", "password": "one"},
}


@pytest.fixture
def keys() -> tuple[str, str]:
    return age.generate()


def write(root: Path, recipient: str, password: str, *, rested: bool) -> None:
    tree = {**TREE, "auth": {"type": "password", "username": "ann@example.com", "password": password}}
    path = root / "secrets" / "ops.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(sops.encrypt(tree, [recipient]))
    if rested:
        os.utime(path, (time.time() - 100, time.time() - 100))


def store(root: Path, identity: str) -> CredentialStore:
    return CredentialStore(root, "secrets", "acme", {"SOPS_AGE_KEY": identity, "HOME": str(root)})


async def password(store: CredentialStore) -> str:
    credential = await store.fetch("ops", "smtp")
    assert isinstance(credential, SmtpCredential)
    assert credential.auth is not None
    assert credential.auth.password is not None
    return credential.auth.password.reveal()


async def test_a_password_that_changes_is_used_at_once(tmp_path: Path, keys: tuple[str, str]) -> None:
    opened = store(tmp_path, keys[0])
    for word in ("one", "two", "six"):
        write(tmp_path, keys[1], word, rested=False)
        assert await password(opened) == word
        assert await password(opened) == word


async def test_a_file_whose_time_was_set_back_is_read_all_the_same(
    tmp_path: Path, keys: tuple[str, str]
) -> None:
    opened = store(tmp_path, keys[0])
    for word in ("one", "two", "six"):
        write(tmp_path, keys[1], word, rested=True)
        assert await password(opened) == word


async def test_a_file_that_has_rested_is_the_very_same_credential(
    tmp_path: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = store(tmp_path, keys[0])
    write(tmp_path, keys[1], "one", rested=True)
    # As if two seconds had passed since the file's last change.
    monkeypatch.setattr("runner.secret.settled.RESTED", -1000.0)
    first = await opened.fetch("ops")
    monkeypatch.setattr(opened, "get", None)
    assert await opened.fetch("ops") is first


async def test_a_second_file_of_the_name_is_noticed(
    tmp_path: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.secret.settled.RESTED", -1000.0)
    opened = store(tmp_path, keys[0])
    write(tmp_path, keys[1], "one", rested=True)
    await opened.fetch("ops")
    (tmp_path / "secrets" / "ops.age").write_bytes(b"x")
    with pytest.raises(SecretError, match="both there"):
        await opened.fetch("ops")


async def test_a_file_that_is_gone_is_noticed(
    tmp_path: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.secret.settled.RESTED", -1000.0)
    opened = store(tmp_path, keys[0])
    write(tmp_path, keys[1], "one", rested=True)
    await opened.fetch("ops")
    (tmp_path / "secrets" / "ops.yaml").unlink()
    with pytest.raises(SecretError):
        await opened.fetch("ops")
