"""Who runs: Nodemailer, @upyo/smtp, flowpost, and Postfix's smtp-source as the limit; each gives a round's commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import material
from material import CACHE
from measure import Command

HERE = Path(__file__).parent
PACKAGES = ("nodemailer", "@upyo/core", "@upyo/smtp", "nunjucks", "csv-parse")
CONNECTIONS = 10


@dataclass(frozen=True)
class Target:
    """Where a round mails to, and what."""

    port: int
    rows: int
    data: Path
    templates: Path
    folder: Path
    ca_pem: str | None = None
    database: str | None = None


class Contender(Protocol):
    """One column of figures."""

    name: str

    def commands(self, target: Target) -> Sequence[Command]:
        """What to run; called afresh each round."""


def install() -> str:
    """The peers' packages, in a cache folder, and their versions."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not all((CACHE / "node_modules" / package).exists() for package in PACKAGES):
        (CACHE / "package.json").write_text('{"private": true, "type": "module"}')
        subprocess.run(
            ["npm", "install", "--silent", "--no-fund", "--no-audit", *PACKAGES], cwd=CACHE, check=True
        )
    for script in ("letters.mjs", "nodemailer.mjs", "upyo.mjs"):
        shutil.copy(HERE / script, CACHE)  # Node looks for packages beside the script
    versions = []
    for package in PACKAGES:
        found = json.loads((CACHE / "node_modules" / package / "package.json").read_text())["version"]
        versions.append(f"{package} {found}")
    return ", ".join(versions)


@dataclass(frozen=True)
class Peer:
    """A library of Node's, with nunjucks and csv-parse."""

    name: str
    script: str

    def commands(self, target: Target) -> Sequence[Command]:
        plan = {
            "host": "127.0.0.1", "port": target.port, "ca": target.ca_pem, "connections": CONNECTIONS,
            "data": str(target.data), "rows": target.rows, "templates": str(target.templates),
            "subject": material.SUBJECT, "from": {"name": material.FROM[0], "address": material.FROM[1]},
        }  # fmt: skip
        return [Command(["node", str(CACHE / self.script)], {**os.environ, "BENCH": json.dumps(plan)})]


@dataclass(frozen=True)
class Flowpost:
    """``flowpost batch`` in a fresh workspace, so that each round begins with an empty ledger."""

    name: str = "flowpost"
    processes: int = 1
    chunking: int = 0
    options: tuple[str, ...] = ()

    def commands(self, target: Target) -> Sequence[Command]:
        root = Path(tempfile.mkdtemp(dir=target.folder, prefix="workspace-"))
        workspace = material.write_workspace(
            root, "127.0.0.1", target.port, ca_pem=target.ca_pem, database=target.database,
            connections=CONNECTIONS, chunking=self.chunking,
        )  # fmt: skip
        argv = workspace.command(
            "--data", str(target.data), "--yes", "--concurrency", str(CONNECTIONS), *self.options
        )
        return [Command(argv, workspace.environ, root)] * self.processes


@dataclass(frozen=True)
class Source:
    """Postfix's smtp-source, which renders nothing: messages of ``size`` octets over ten connections."""

    name: str
    size: int
    keeps: bool

    def commands(self, target: Target) -> Sequence[Command]:
        found = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
        keep = ["-d"] if self.keeps else []
        sizes = ["-s", str(CONNECTIONS), "-m", str(target.rows), "-l", str(self.size)]
        return [Command([found, *keep, *sizes, f"127.0.0.1:{target.port}"])]


NODEMAILER = Peer("Nodemailer", "nodemailer.mjs")
UPYO = Peer("@upyo/smtp", "upyo.mjs")
