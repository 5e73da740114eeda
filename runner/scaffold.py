"""``init``: a workspace that runs, from nothing: settings, a flow with a sample, encrypted secrets, CI."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner import schema
from runner.errors import UsageError
from runner.secret import sops

SETTINGS = """\
# Every setting has a default; `flowpost schema workspace` explains them all.
workspace: {name}

# Nothing is sent until you say so: with `capture`, messages are made and shown, and stay here.
# Next: `redirect` (to: you@example.com), `allowlist` (allow: ["*@example.com"]), then `live`.
delivery: {{mode: capture}}

vars:
  brand: Acme
"""

FLOW = """\
# yaml-language-server: $schema=../schemas/flow.schema.json
name: welcome
description: Greets a new contact.
body:
  type: object
  required: [email, name]
  properties:
    email: {type: string, format: email}
    name: {type: string}
nodes:
  - id: welcome
    smtp:
      credential: mail
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      subject: Welcome to <<vars.brand>>, <<trigger.body.name>>!
      body_format: html
      body: Hi <<trigger.body.name>>, good to have you with us.
      html_body: <h1>Hi <<trigger.body.name>></h1><p>Good to have you with us.</p>
"""

SAMPLE = {"email": "ann@example.com", "name": "Ann Lee"}

CREDENTIAL = {
    "name": "mail",
    "label": "Mail server",
    "server": {"host": "smtp.example.com", "port": 465, "encryption": "tls"},
    "auth": {"type": "password", "username": "post@example.com", "password": "replace-me"},
    "sender": {"default_from": "Acme <post@example.com>"},
}

IGNORE = """\
# State of the runner: history, the last good set.
.flowpost/
# Keys never belong into a repository.
keys.txt
*.agekey
"""

WORKFLOW = """\
name: flowpost
on: [push, pull_request]
jobs:
  validate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - run: pip install flowpost
      - run: flowpost validate --format github
      # Works in a fork's pull request too: no key is needed to see that every value is encrypted.
      - run: flowpost secrets verify --no-key
"""


@dataclass(frozen=True, slots=True)
class Made:
    """What ``init`` wrote, relative to the workspace, and the public key the secrets are for."""

    root: Path
    files: tuple[str, ...]
    recipient: str


def make_workspace(root: Path, recipient: str) -> Made:
    """Write a workspace into ``root``, for the age ``recipient``; raises UsageError when something is in the way.

    Nothing is overwritten: every file is looked for before the first one is written.
    """
    files = dict(_files(_workspace_name(root), recipient))
    ignored = root / ".gitignore"
    if ignored.exists():
        # A repository has one already: what must not be committed is added to it.
        files.pop(".gitignore")
    taken = [name for name in files if (root / name).exists()]
    if taken:
        raise UsageError(
            f"{root / taken[0]} is there already",
            hint="init writes into an empty folder, or one without flows",
        )
    try:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as made:
                made.write(content)
        if ".gitignore" not in files and ".flowpost/" not in ignored.read_text(encoding="utf-8").split():
            with ignored.open("a", encoding="utf-8") as file:
                file.write(f"\n{IGNORE}")
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or root}: {error.strerror}") from error
    return Made(root, tuple(files), recipient)


def _files(name: str, recipient: str) -> Mapping[str, bytes]:
    texts = {
        "flowpost.yaml": SETTINGS.format(name=name),
        "flows/welcome.yaml": FLOW,
        "flows/welcome.sample.json": json.dumps(SAMPLE, indent=2) + "\n",
        "schemas/flow.schema.json": json.dumps(schema.load("flow"), indent=2, ensure_ascii=False) + "\n",
        ".sops.yaml": f"creation_rules:\n  - path_regex: secrets/.*\\.yaml$\n    age: {recipient}\n",
        ".gitignore": IGNORE,
        ".github/workflows/flowpost.yml": WORKFLOW,
    }
    files = {path: text.encode() for path, text in texts.items()}
    return files | {"secrets/mail.yaml": sops.encrypt(dict(CREDENTIAL), [recipient])}


def _workspace_name(root: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", root.resolve().name.lower()).strip("-")
    return name[:63].strip("-") or "acme"
