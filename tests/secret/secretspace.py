"""A workspace with a key, as a value."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.secret.sops import cipher, document, emit
from runner.secret.sops.metadata import Rule
from runner.secret.store import CredentialStore

SMTP: dict[str, Any] = {
    "name": "marketing",
    "label": "Marketing",
    "server": {"host": "smtp.example.com", "port": 587, "encryption": "starttls"},
    "auth": {"type": "password", "username": "marketing@example.com", "password": "hunter2-hunter2"},
    "advanced": {"rates": ["14/s", "50000/day"], "max_connections": 3},
}


WHEN = "2026-01-31T12:00:00Z"


def encrypt_at(when: str, content: dict[str, Any], recipients: list[str]) -> bytes:
    """As ``sops.encrypt``, at a time of long ago, so that a change a moment later shows."""
    key = cipher.new_key()
    return emit.file(content, key, document.wrap(key, recipients), Rule(), when)


@dataclass(frozen=True)
class Space:
    """A workspace in a temporary folder with one key, which lies outside of it."""

    root: Path
    identity: str
    recipient: str

    @property
    def environ(self) -> dict[str, str]:
        return {"HOME": str(self.root / "nobody"), "SOPS_AGE_KEY": self.identity, "PATH": "/usr/bin:/bin"}

    def store(self, **environ: str) -> CredentialStore:
        return CredentialStore(self.root, "secrets", "acme", {**self.environ, **environ})

    def without_key(self) -> CredentialStore:
        environ = {key: value for key, value in self.environ.items() if key != "SOPS_AGE_KEY"}
        return CredentialStore(self.root, "secrets", "acme", environ)

    def path(self, name: str = "marketing") -> Path:
        return self.root / "secrets" / f"{name}.yaml"

    def put(
        self, tree: dict[str, Any] | None = None, name: str = "marketing", when: str = WHEN, **changes: Any
    ) -> Path:
        content = {**(SMTP if tree is None else tree), **changes}
        content = {key: value for key, value in content.items() if value != "absent"}
        self.path(name).write_bytes(encrypt_at(when, content, [self.recipient]))
        return self.path(name)


Sops = Callable[..., "subprocess.CompletedProcess[bytes]"]
