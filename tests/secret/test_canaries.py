"""Forty canaries through every failure path: none is found in any output, raw, in base64 or escaped."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from secretspace import Space, encrypt_at
from servers.scripted import ScriptedServer
from test_attacks import ATTACKS

from runner import redact
from runner.cli.main import main
from runner.secret import age
from runner.secret.sops import document

pytest_plugins = ["secretfixtures"]

FLOW = """\
name: go
nodes:
  - id: mail
    smtp:
      credential: marketing
      to: ann@example.com
      subject: hello
      body_format: text
      body: hi
"""


def pem(mark: str) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(mark.encode() * 3).decode()}\n-----END PRIVATE KEY-----\n"


def credentials(number: int) -> dict[str, dict[str, Any]]:
    """Ten canaries in eight files; ``number`` makes each set another one."""

    def mark(what: str) -> str:
        return f'Canary{number}/{what}+ä"&<{number:03}>'

    plain = f"Canary{number}-plain-{number:03}"
    return {
        "marketing": {
            "server": {"host": "smtp.example.com", "port": 465},
            "auth": {"type": "password", "username": "m@example.com", "password": mark("password")},
            "dkim": {"domain": "example.com", "selector": "s", "algorithm": "rsa-sha256",
                     "private_key": pem(mark("dkim"))},
            "advanced": {"rates": ["14/s", "50000/day"], "max_connections": 3},
            "label": "Marketing",
        },
        "oauth": {
            "provider": "gmail",
            "auth": {"type": "oauth2", "username": "m@example.com", "client_id": "c",
                     "client_secret": mark("client"), "refresh_token": mark("refresh")},
        },
        "bearer": {"type": "http", "auth": {"type": "bearer", "token": f"{plain}-bearer"}},
        "basic": {"type": "http", "auth": {"type": "basic", "username": "u", "password": mark("basic")}},
        "header": {"type": "http", "auth": {"type": "header", "header": "X-Key", "value": f"{plain}-header"}},
        "token": {"type": "webhook", "auth": {"type": "token", "token": mark("token-of-a-webhook")}},
        "signature": {
            "type": "webhook",
            "auth": {"type": "signature", "secret": "whsec_" + base64.b64encode(mark("sign").encode() * 2).decode()},
        },
        "imap": {
            "type": "imap", "server": {"host": "imap.example.com"},
            "auth": {"type": "password", "username": "m@example.com", "password": mark("imap")},
        },
    }  # fmt: skip


SECRET_KEYS = ("password", "private_key", "client_secret", "refresh_token", "token", "value", "secret")


def secrets_of(tree: Any, key: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from secrets_of(value, name)
    elif key in SECRET_KEYS and isinstance(tree, str):
        yield tree
        yield from (line for line in tree.splitlines() if not line.startswith("-----"))


class Cage:
    """A workspace with canaries, and everything that its commands said."""

    def __init__(
        self, space: Space, capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, number: int
    ) -> None:
        self.space = space
        self.capfd = capfd
        self.patch = patch
        self.trees = {name: {"name": name, **tree} for name, tree in credentials(number).items()}
        self.canaries = set(secrets_of(self.trees)) | {space.identity}
        self.said: list[str] = []
        (space.root / "flows").mkdir(exist_ok=True)
        (space.root / "flows/go.yaml").write_text(FLOW)
        for name, tree in self.trees.items():
            space.path(name).write_bytes(encrypt_at("2026-01-31T12:00:00Z", tree, [space.recipient]))
        patch.setenv("SOPS_AGE_KEY", space.identity)
        patch.setenv("EDITOR", "true")

    def call(self, *words: str, stdin: str = "") -> int:
        self.patch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(["-C", str(self.space.root), *words])
        self.said += [*self.capfd.readouterr()]
        return code

    def all_commands(self, name: str = "marketing") -> None:
        for words in (
            ("validate",),
            ("validate", "--format", "json"),
            ("validate", "--format", "sarif"),
            ("secrets", "verify"),
            ("secrets", "verify", "--format", "json"),
            ("secrets", "verify", "--no-key"),
            ("secrets", "list"),
            ("secrets", "list", "--format", "json"),
            ("secrets", "edit", name),
            ("secrets", "set", name, "label"),
            ("secrets", "set", name, "label", "--remove"),
            ("secrets", "rotate", "--yes"),
            ("secrets", "resolve", name),
            ("run", "go", "--dry-run"),
        ):
            self.call(*words, stdin="x\n")

    def check(self) -> None:
        text = "\n".join(self.said)
        state = self.space.root / ".flowpost"
        for path in state.rglob("*") if state.is_dir() else []:
            text += path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        assert len(text) > 200
        for canary in self.canaries:
            for form in redact.forms(canary):
                assert form not in text, (form, text[max(0, text.find(form) - 300) : text.find(form) + 100])


@pytest.fixture
def cage(
    space: Space, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Cage]]:
    made: list[Cage] = []
    handler = logging.StreamHandler()
    lines = io.StringIO()
    handler.setStream(lines)
    logging.getLogger().addHandler(handler)

    def make(number: int) -> Cage:
        made.append(Cage(space, capfd, monkeypatch, number))
        return made[-1]

    yield make
    logging.getLogger().removeHandler(handler)
    for item in made:
        item.said.append(lines.getvalue())
        item.check()
    redact.forget()


def test_the_canaries_are_alive(cage: Callable[[int], Cage]) -> None:
    """They are in the files, forty in four sets, and every command works on them."""
    home = cage(0)
    assert sum(len(set(secrets_of(credentials(number)))) for number in range(4)) >= 40
    assert home.call("secrets", "verify") == 0
    home.all_commands()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_a_changed_file_sings_nothing(part: int, cage: Callable[[int], Cage]) -> None:
    home = cage(part)
    path = home.space.path()
    good = path.read_bytes()
    for name in list(ATTACKS)[part::4]:
        path.write_text(ATTACKS[name][0](good.decode()))
        for words in (
            ("validate",),
            ("secrets", "verify"),
            ("secrets", "edit", "marketing"),
            ("run", "go", "--dry-run"),
        ):
            assert home.call(*words) != 0 or words[1] != "verify", name


@pytest.mark.parametrize(
    "clear",
    [
        lambda text: text,
        lambda text: "a: &x\n" + text,
        lambda text: text + "\nbroken: [",
        lambda text: text.replace(": ", ":\t", 3),
        lambda text: text + "\n---\n" + text,
        lambda text: text + "\nsops: {}\n",
        lambda text: text + "\nsops:\n  mac: x\n  lastmodified: y\n",
        lambda text: "- " + text.replace("\n", "\n  "),
        lambda text: text + "\n" + text,
        lambda text: text.encode().decode("latin-1") + "\x00",
        lambda text: "{" + text,
    ],
)
def test_a_file_in_clear_sings_nothing(clear: Callable[[str], str], cage: Callable[[int], Cage]) -> None:
    home = cage(5)
    opened = document.parse(home.space.path().read_bytes())
    from runner.secret.sops import edit

    text = edit.Opened.open(opened, document.open_key(opened, [home.space.identity])).clear()
    assert "Canary5" in text
    home.space.path().write_text(clear(text))
    home.all_commands()
    (home.space.root / "secrets/marketing.yaml").rename(home.space.root / "secrets/marketing.age")
    home.all_commands()


def test_keys_in_wrong_places_sing_nothing(cage: Callable[[int], Cage], tmp_path: Path) -> None:
    home = cage(6)
    key = home.space.identity
    other = age.generate()[0]
    home.canaries.add(other)
    for variable in (
        "SOPS_AGE_KEY",
        "SOPS_AGE_KEY_FILE",
        "SOPS_AGE_KEY_CMD",
        "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
    ):
        for value in (key, other, f"{key}x", f"{tmp_path}/{other}", f"echo {other}x", f"x{other}"):
            home.patch.setenv(variable, value)
            home.call("secrets", "verify", "marketing")
            home.call("secrets", "init")
            home.call("secrets", "edit", "marketing")
        home.patch.delenv(variable)
    home.patch.setenv("SOPS_AGE_KEY", key)
    home.call("secrets", "add-recipient", key, "--yes")
    home.call("secrets", "remove-recipient", key, "--yes")
    home.call("secrets", "init", "--recipient", key)
    config = home.space.root / ".sops.yaml"
    for text in (
        f"creation_rules:\n  - age: {key}\n",
        f"creation_rules:\n  - pgp: {key}\n",
        f"{key}: [",
        f"- {key}",
    ):
        config.write_text(text)
        home.call("secrets", "rotate", "--yes")
        home.call("secrets", "verify")
    path = home.space.path()
    path.write_text(path.read_text().replace(home.space.recipient, key))
    home.call("secrets", "verify")
    home.call("secrets", "list")


def test_values_in_wrong_places_sing_nothing(cage: Callable[[int], Cage]) -> None:
    home = cage(7)
    value = 'Canary-typed/in+the"wrong&place'
    home.canaries.add(value)
    home.call("secrets", "set", "marketing", "auth.password", value)
    home.call("secrets", "set", "marketing", value)
    for field in ("server.port", "server.encryption", "server.host", "name", "security.ca_pem", "auth.type"):
        home.call("secrets", "set", "marketing", field, stdin=value)
    home.call("secrets", "new", "fresh", stdin=f"\n{value}\n{value}\n")
    home.call("secrets", "new", "fresh", "--stdin", stdin=f"auth: {value}")
    home.call("secrets", "new", "fresh", "--stdin", stdin=f'{{"auth": {{"password": "{value[:5]}')


@pytest.mark.parametrize(
    "script",
    [
        {"AUTH": "535 5.7.8 {line} is wrong"},
        {"CHALLENGE": "334 {line}"},
        {"AUTH": "535-you said\n535 {line}"},
        {"MAIL": "550 {line}"},
        {"DATA_END": "drop"},
        {"EHLO": "550 {line}"},
    ],
)
def test_a_server_that_echoes_the_login_sings_nothing(
    script: dict[str, str], cage: Callable[[int], Cage]
) -> None:
    home = cage(8)
    with ScriptedServer(tls="implicit", script=script) as server:
        tree = home.trees["marketing"]
        tree = {key: value for key, value in tree.items() if key != "dkim"}
        tree["server"] = {"host": "localhost", "port": server.port, "encryption": "tls"}
        tree["security"] = {"ca_pem": server.ca_pem}
        (home.space.root / "flowpost.yaml").write_text("workspace: acme\nnetwork: {allow: [127.0.0.0/8]}\n")
        home.space.path().write_bytes(encrypt_at("2026-02-01T00:00:00Z", tree, [home.space.recipient]))
        for words in (("run", "go", "--format", "json"), ("run", "go")):
            assert home.call(*words) in (0, 1)


def test_a_defect_of_ours_sings_nothing(cage: Callable[[int], Cage], monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody expected, raised with the secret in its arguments, with tracebacks on."""
    home = cage(9)
    from runner.secret import build

    def broken(values: Any, *rest: Any) -> Any:
        raise RuntimeError(values["auth"])

    monkeypatch.setattr(build, "build", broken)
    monkeypatch.setenv("FLOWPOST_DEBUG", "1")
    for words in (("secrets", "verify", "marketing"), ("validate",), ("run", "go", "--dry-run")):
        assert home.call(*words) == 1
