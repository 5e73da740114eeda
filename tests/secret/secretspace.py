"""A workspace with a key, as a value."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.secret import sops
from runner.secret.store import CredentialStore

SMTP: dict[str, Any] = {
    "name": "marketing",
    "label": "Marketing",
    "server": {"host": "smtp.example.com", "port": 587, "encryption": "starttls"},
    "auth": {"type": "password", "username": "marketing@example.com", "password": "hunter2-hunter2"},
    "advanced": {"rates": ["14/s", "50000/day"], "max_connections": 3},
}


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

    def put(self, tree: dict[str, Any] | None = None, name: str = "marketing", **changes: Any) -> Path:
        content = {**(SMTP if tree is None else tree), **changes}
        content = {key: value for key, value in content.items() if value != "absent"}
        self.path(name).write_bytes(sops.encrypt(content, [self.recipient]))
        return self.path(name)


Sops = Callable[..., "subprocess.CompletedProcess[bytes]"]
