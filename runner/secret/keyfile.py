"""Making and finding the key file of the person who works here; it lies outside the repository, mode 0600."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runner.errors import SecretError
from runner.secret import age, files, identities


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where a key lies (or the variable that holds it), its public half, and whether it was made just now."""

    path: Path
    recipient: str
    made: bool


def ensure_identity(environ: Mapping[str, str], home: Path, *, outside: Path) -> KeyFile:
    """The first X25519 key of ``environ`` and ``home``; a fresh one when there is none.

    SecretError when a variable is set but unusable, when only SSH keys are there, or when the key file would lie
    inside ``outside``, the repository.
    """
    path = key_path(environ, home)
    if environ.get("SOPS_AGE_KEY_FILE", "").strip() and not path.exists():
        # The variable names where the key shall be; that it is not there yet is what this is for.
        return make(path, outside=outside)
    found = identities.find(environ, home)
    for text in found.texts:
        recipient = age.recipient_of(text)
        if recipient is not None:
            return KeyFile(path, recipient, made=False)
    if found.texts:
        raise SecretError(
            "there is an SSH key but no age key to encrypt for",
            hint="name a recipient: flowpost secrets init --recipient 'ssh-ed25519 …'",
        )
    return make(path, outside=outside)


def make(path: Path, *, outside: Path | None = None, append: bool = False) -> KeyFile:
    """A fresh key in a new file of mode 0600, or with ``append`` after what is there already.

    SecretError when the file exists, lies inside ``outside``, or cannot be written; no key is ever lost.
    """
    if outside is not None and path.resolve().is_relative_to(outside.resolve()):
        raise SecretError(
            f"{path} lies inside the repository {outside}",
            hint="a key beside the files that it opens protects nothing",
        )
    identity, recipient = age.generate()
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"# created: {time}\n# public key: {recipient}\n{identity}\n"
    if append and path.exists():
        old = files.read(path)
        files.write(path, old + (b"" if old.endswith(b"\n") or not old else b"\n") + text.encode())
        with files.translated(path):
            path.chmod(0o600)
    else:
        files.write_private(path, text.encode())
    return KeyFile(path, recipient, made=True)


def key_path(environ: Mapping[str, str], home: Path) -> Path:
    """The key file that SOPS_AGE_KEY_FILE names, else the one that sops looks for."""
    named = environ.get("SOPS_AGE_KEY_FILE", "").strip()
    if age.holds_key(named):
        raise SecretError(
            "SOPS_AGE_KEY_FILE cannot be used: it holds a key, and must hold the name of a file"
        )
    return Path(named).expanduser() if named else identities.default_file(environ, home)
