"""A workspace in a git repository of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import missing_tool

SERVER = {"host": "mail.example.com", "port": 465, "encryption": "tls"}
LOGIN = {"type": "password", "username": "ann@example.com", "password": "correct horse"}


def git(root: Path, *arguments: str, given: str | None = None) -> str:
    """Call git in ``root`` as nobody in particular."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{
            f"GIT_{who}_{what}": "ann@example.com"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    try:
        done = subprocess.run(
            command, cwd=root, env=environ, input=given, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        missing_tool("git", "install git")
    if done.returncode:
        pytest.fail(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip()


def commit(root: Path, message: str = "change") -> str:
    """Commit everything in ``root``, as a repository if it was none; returns the commit."""
    if not (root / ".git").exists():
        git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")
