"""A workspace for one test: flows, settings, encrypted credentials, and the command line called in process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.cli.main import main
from runner.secret import age, sops

LOOPBACK = "network: {allow: [127.0.0.0/8]}\n"


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Workspace:
    """A folder with flows and secrets, and a fresh key that only this workspace knows."""

    root: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    identity: str = ""
    recipient: str = ""
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.identity, self.recipient = age.generate()
        (self.root / "flows").mkdir(parents=True)
        (self.root / "secrets").mkdir()
        self.environ["SOPS_AGE_KEY"] = self.identity

    def write(self, relative: str, text: str | bytes) -> Path:
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def flow(self, name: str, text: str) -> Path:
        return self.write(f"flows/{name}.yaml", text)

    def settings(self, text: str) -> Path:
        return self.write("flowpost.yaml", text)

    def credential(self, name: str, tree: Mapping[str, object]) -> Path:
        document = {"name": name, **tree}
        return self.write(f"secrets/{name}.yaml", sops.encrypt(document, [self.recipient]))

    def smtp(self, name: str, server: Any, /, **sections: Mapping[str, object]) -> Path:
        """An smtp credential for a scripted server, trusting its certificate."""
        tree: dict[str, object] = {
            "server": {"host": "localhost", "port": server.port, "encryption": "tls"},
            "auth": {"type": "password", "username": "ann@example.com", "password": "correct horse"},
            "security": {"ca_pem": server.ca_pem},
            **sections,
        }
        return self.credential(name, tree)

    def call(self, *arguments: str, stdin: str | None = None) -> Answer:
        """Call the command line in this process."""
        return self.at(self.root, *arguments, stdin=stdin)

    def at(self, folder: Path, *arguments: str, stdin: str | None = None) -> Answer:
        """As ``call``, in another folder."""
        self.monkeypatch.chdir(folder)
        for name, value in self.environ.items():
            self.monkeypatch.setenv(name, value)
        if stdin is not None:
            import io

            self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capsys.readouterr()
        code = main(list(arguments))
        out, err = self.capsys.readouterr()
        return Answer(code, out, err)

    def process(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call the command line as a process of its own."""
        command: Sequence[str] = [sys.executable, "-m", "runner", *arguments]
        environ = {**os.environ, **self.environ}
        return subprocess.run(
            command, cwd=self.root, env=environ, capture_output=True, text=True, timeout=60, **options
        )
