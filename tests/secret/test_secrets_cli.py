"""The commands, called as a person calls them."""

from __future__ import annotations

import ctypes
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from secretspace import SMTP, WHEN, Sops, Space, encrypt_at

from runner.cli.main import main
from runner.secret import age, sops

pytest_plugins = ["secretfixtures"]


class Shell:
    """Calls the command line in this process."""

    def __init__(
        self, space: Space, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.space = space
        self.capsys = capsys
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("SOPS_AGE_KEY", space.identity)
        monkeypatch.setenv("HOME", str(space.root.parent / "home"))

    def __call__(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(["-C", str(self.space.root), "secrets", *words])
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def shell(space: Space, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(space, capsys, monkeypatch)


def content(space: Space, name: str = "marketing") -> Any:
    return sops.decrypt(space.path(name).read_bytes(), [space.identity])


def test_from_nothing_to_a_verified_credential(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "new"
    (root / "flows").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["-C", str(root), "secrets", "init"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\nmail@example.com\nhunter2-hunter2\n\n\n\n"))
    assert main(["-C", str(root), "secrets", "new", "marketing", "--provider", "gmail"]) == 0
    assert main(["-C", str(root), "secrets", "verify"]) == 0
    out, err = capsys.readouterr()
    key = tmp_path / "home/.config/sops/age/keys.txt"

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "hunter2" not in out + err
    assert "AGE-SECRET-KEY" not in out + err


def test_keygen_prints_the_public_half(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "k/keys.txt"
    code, out, err = shell("keygen", "-o", str(path))

    assert code == 0
    assert age.recipient_of(path.read_text().splitlines()[-1]) == out.strip()
    assert str(path) in err
    assert shell("keygen", "-o", str(path))[0] == 1
    assert shell("keygen", "-o", str(path), "--append")[0] == 0


def test_init_does_not_overwrite(shell: Shell) -> None:
    code, _, err = shell("init")

    assert code == 2
    assert "already there" in err


def test_the_wizard_asks_in_the_order_identity_server_auth_security_advanced(shell: Shell) -> None:
    answers = [
        "Ops",
        "smtp.example.com",
        "465",
        "",
        "password",
        "ops@example.com",
        "pass-pass",
        "",
        "14/s, 100/day",
    ]
    code, out, err = shell("new", "ops", stdin="\n".join(answers) + "\n")
    sections = [
        line for line in err.splitlines() if line in ("identity", "server", "auth", "security", "advanced")
    ]

    assert (code, out) == (0, "")
    assert sections == ["identity", "server", "auth", "security", "advanced"]
    assert content(shell.space, "ops") == {
        "name": "ops", "label": "Ops", "server": {"host": "smtp.example.com", "port": 465},
        "auth": {"type": "password", "username": "ops@example.com", "password": "pass-pass"},
        "advanced": {"rates": ["14/s", "100/day"]},
    }  # fmt: skip


def test_sendgrid_needs_only_the_api_key(shell: Shell) -> None:
    code, _, err = shell(
        "new", "bulk", "--provider", "sendgrid", stdin="\n\n\nSG.key-key\npost@example.com\n\n\n"
    )

    assert code == 0, err
    assert content(shell.space, "bulk") == {
        "name": "bulk", "provider": "sendgrid", "auth": {"type": "password", "username": "apikey", "password": "SG.key-key"},
        "sender": {"default_from": "post@example.com"},
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "prefix"), [("token", ""), ("signature", "whsec_")])
def test_a_webhook_secret_is_made_when_none_is_given(kind: str, prefix: str, shell: Shell) -> None:
    code, out, err = shell("new", "hook", "--type", "webhook", stdin=f"\n{kind}\n\n")
    secret = content(shell.space, "hook")["auth"]["token" if kind == "token" else "secret"]

    assert code == 0, err
    assert secret.startswith(prefix)
    assert len(secret) >= 40
    assert secret not in out + err


def test_new_reads_a_whole_credential(shell: Shell) -> None:
    assert shell("new", "marketing", "--stdin", stdin=json.dumps(SMTP))[0] == 0
    assert content(shell.space) == SMTP


def test_a_whole_credential_gets_the_type_and_the_provider_that_are_asked_for(shell: Shell) -> None:
    auth = {"type": "password", "username": "me@example.com", "password": "hunter2-hunter2"}
    gmail = {"name": "x", "auth": auth}
    code, _, err = shell("new", "x", "--stdin", "--provider", "gmail", stdin=json.dumps(gmail))
    assert code == 0, err
    assert content(shell.space, "x") == {**gmail, "provider": "gmail"}
    hook = {"name": "hook", "auth": {"type": "token", "token": "0123456789abcdef"}}
    code, _, err = shell("new", "hook", "--stdin", "--type", "webhook", stdin=json.dumps(hook))

    assert code == 0, err
    assert content(shell.space, "hook") == {**hook, "type": "webhook"}


@pytest.mark.parametrize(
    ("options", "has"),
    [
        (("--provider", "gmail"), {"provider": "sendgrid"}),
        (("--type", "imap"), {"type": "smtp"}),
        (("--type", "smtp"), {"type": "imap"}),
        (("--provider", "hotmail"), {}),
        (("--type", "ftp"), {}),
        (("--provider", "gmail"), {"type": "webhook"}),
    ],
)
def test_a_whole_credential_is_not_made_against_the_options(
    options: tuple[str, ...], has: dict[str, str], shell: Shell
) -> None:
    code, _, err = shell("new", "marketing", "--stdin", *options, stdin=json.dumps({**SMTP, **has}))

    assert code == 2, err
    assert not shell.space.path().exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("new", "Bad Name"), 2, "is not a name"),
        (("new", "x", "--type", "ftp"), 2, "is not a type"),
        (("new", "x", "--provider", "hotmail"), 2, "is not a provider"),
        (("new", "marketing"), 1, "already there"),
        (("new", "x"), 1, "no value was given"),
        (("set", "marketing", "auth.passwort"), 1, "is not a field"),
        (("set", "marketing", "auth.password"), 1, "no value was given"),
        (("set", "marketing", "auth"), 1, "is not a field"),
        (("set", "marketing", "advanced.rates"), 1, "is a list"),
        (("set", "nobody", "label"), 1, "no credential"),
        (("verify", "nobody"), 2, 'there is no credential "nobody"'),
        (("verify", "marketing", "marketin"), 2, 'did you mean "marketing"?'),
        (("edit", "nobody"), 1, "no credential"),
        (("resolve", "marketing"), 1, "no conflict"),
        (("add-recipient", "age1nonsense"), 1, "is not a recipient"),
        (("rotate",), 2, "nothing was written"),
        (("keygen", "-o", "/proc/x/keys.txt"), 1, "cannot be written"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], code: int, says: str, shell: Shell) -> None:
    shell.space.put()
    found, out, err = shell(*words)

    assert (found, says in out + err) == (code, True), out + err
    assert "hunter2" not in out + err


def test_a_value_as_an_argument_is_refused_and_not_repeated(shell: Shell) -> None:
    shell.space.put()
    code, out, err = shell("set", "marketing", "auth.password", "CANARY-password")

    assert code == 2
    assert "CANARY" not in out + err
    assert content(shell.space) == SMTP


def test_set_reads_standard_input_without_its_last_line_break(shell: Shell) -> None:
    shell.space.put()
    assert shell("set", "marketing", "auth.password", stdin=" with spaces \r\n")[0] == 0
    assert shell("set", "marketing", "server.port", stdin="465\n")[0] == 0
    assert shell("set", "marketing", "label", "--remove")[0] == 0
    found = content(shell.space)

    assert (found["auth"]["password"], found["server"]["port"], "label" in found) == (
        " with spaces ",
        465,
        False,
    )


def test_edit_with_an_editor(shell: Shell, tmp_path: Path) -> None:
    path = shell.space.put()
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/hunter2-hunter2/hunter3/' \"$1\"\n")
    editor.chmod(0o755)
    shell.monkeypatch.setenv("EDITOR", str(editor))
    shell.space.put(server={"host": "h", "port": 587})
    assert shell("edit", "marketing")[0] == 0
    assert content(shell.space)["auth"]["password"] == "hunter3"
    old = path.read_bytes()
    shell.monkeypatch.setenv("EDITOR", "true")
    assert "nothing was changed" in shell("edit", "marketing")[2]
    assert path.read_bytes() == old


def test_list_shows_names_and_needs_no_key(shell: Shell) -> None:
    shell.space.put()
    shell.space.path("broken").write_text("a: [")
    shell.monkeypatch.delenv("SOPS_AGE_KEY")
    code, out, _ = shell("list", "--format", "json")
    rows = json.loads(out)["credentials"]

    assert code == 0
    assert [row["name"] for row in rows] == ["broken", "marketing"]
    assert rows[1]["recipients"] == [shell.space.recipient]
    assert "not YAML" in rows[0]["error"]
    assert "marketing" in shell("list")[1]


def test_verify_answers_in_json(shell: Shell) -> None:
    shell.space.put()
    assert json.loads(shell("verify", "--format", "json")[1]) == {
        "ok": True,
        "credentials": 1,
        "findings": [],
    }
    shell.space.put(extra="x")
    code, out, _ = shell("verify", "--format", "json")
    found = json.loads(out)["findings"]

    assert code == 1
    assert list(found[0]) == ["path", "line", "column", "severity", "code", "message", "hint"]
    assert (found[0]["path"], found[0]["code"]) == ("secrets/marketing.yaml", "ESECRET")


def test_verify_without_a_key_works_in_a_fork(shell: Shell) -> None:
    shell.space.put()
    shell.monkeypatch.setenv("SOPS_AGE_KEY", "")
    assert shell("verify", "--no-key")[0] == 0
    assert shell("verify")[0] == 1
    shell.space.path().write_text("name: marketing\n")
    assert shell("verify", "--no-key")[0] == 1


def test_a_file_that_is_too_large_is_named_with_its_ending(shell: Shell) -> None:
    shell.space.path().write_bytes(b"#" * (1 << 20) + b"#")
    code, out, _ = shell("verify")

    assert (code, out.startswith("secrets/marketing.yaml:1:1: error: the file has 1048577 bytes")) == (
        1,
        True,
    )


def test_verify_finds_files_that_are_no_credentials(shell: Shell) -> None:
    shell.space.put()
    for name in ("Upper.yaml", "x.json", "y.yml"):
        (shell.space.root / "secrets" / name).write_text("a: 1\n")
    code, out, _ = shell("verify")

    assert code == 1
    assert all(f"secrets/{name}:1:1: error" in out for name in ("Upper.yaml", "x.json", "y.yml"))


def test_an_older_version_can_be_accepted(shell: Shell) -> None:
    path = shell.space.put(when="2026-01-01T00:00:00Z")
    old = path.read_bytes()
    shell.space.put(when="2026-02-01T00:00:00Z")
    shell("verify")
    path.write_bytes(old)
    code, out, _ = shell("verify")
    assert (code, "older version" in out) == (0, True)
    assert "older version" not in shell("verify", "--accept-older")[1]
    assert "older version" not in shell("verify")[1]


def test_recipients_are_changed_and_shown(shell: Shell) -> None:
    shell.space.put()
    identity, recipient = age.generate()
    code, _, err = shell("add-recipient", recipient, "--yes")
    assert (code, f"+ {recipient}" in err) == (0, True)
    assert sops.decrypt(shell.space.path().read_bytes(), [identity]) == SMTP
    code, _, err = shell("remove-recipient", recipient, "--yes")

    assert (code, f"- {recipient}" in err) == (0, True)
    assert "marketing: auth.password" in err
    assert "hunter2" not in err
    assert shell("rotate", "--yes")[0] == 0
    assert shell("verify")[0] == 0


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "creation_rules: []\n",
        "creation_rules: [",
        "creation_rules:\n  - {path_regex: x/.*, age: y}\n",
    ],
)
def test_verify_fails_when_nothing_says_who_may_decrypt(text: str | None, shell: Shell) -> None:
    """Else whoever adds himself to a file only has to take .sops.yaml away as well."""
    shell.space.path().write_bytes(encrypt_at(WHEN, SMTP, [shell.space.recipient, age.generate()[1]]))
    config = shell.space.root / ".sops.yaml"
    config.unlink()
    if text is not None:
        config.write_text(text)
    (shell.space.root / "flows").mkdir()
    answers = [shell("verify"), shell("verify", "--no-key")]
    shell.monkeypatch.setattr("sys.stdin", io.StringIO())
    valid = main(["-C", str(shell.space.root), "validate"])
    out, _ = shell.capsys.readouterr()

    assert [(code, ".sops.yaml" in said) for code, said, _ in answers] == [(1, True), (1, True)]
    # Without the file everything works, and validate only warns.
    assert (valid, "warning: .sops.yaml is not there" in out) == ((0, True) if text is None else (1, False))


def test_a_file_of_one_recipient_needs_nothing_to_compare_with(shell: Shell) -> None:
    shell.space.put()
    (shell.space.root / ".sops.yaml").unlink()
    (shell.space.root / "flows").mkdir()
    answers = [shell("verify"), shell("verify", "--no-key")]
    valid = main(["-C", str(shell.space.root), "validate"])
    out, _ = shell.capsys.readouterr()

    assert [code for code, *_ in answers] == [0, 0]
    assert (valid, ".sops.yaml" in out) == (0, False)


def test_nothing_else_needs_sops_yaml(shell: Shell) -> None:
    shell.space.put()
    (shell.space.root / ".sops.yaml").unlink()

    assert shell.space.store().get("marketing").name == "marketing"
    assert shell.space.store().check("marketing", True) == []


def test_files_encrypted_as_a_whole_are_named_when_recipients_change(shell: Shell) -> None:
    """The removed can still read them."""
    space = shell.space
    space.put()
    hook = 'name: hook\ntype: webhook\nauth: {type: token, token: "0123456789abcdef"}\n'
    foreign = {"hook": space.recipient, "other": age.generate()[1]}
    for name, recipient in foreign.items():
        (space.root / f"secrets/{name}.age").write_bytes(age.encrypt(hook.encode(), [recipient]))
    left = space.root / "secrets/hook.age"
    old, recipient = left.read_bytes(), age.generate()[1]
    said = [
        shell(*words, "--yes")[2]
        for words in (("add-recipient", recipient), ("rotate",), ("remove-recipient", recipient))
    ]

    for err in said:
        assert "secrets/hook.age: not changed, it is encrypted as a whole" in err
        assert "secrets/other.age: not changed" in err
    assert "hook: auth.token (if secrets/hook.age is encrypted for the removed, too)" in said[2]
    assert "other: what is in it" in said[2]
    assert "0123456789abcdef" not in "".join(said)
    assert left.read_bytes() == old
    assert "not changed" not in shell("rotate", "marketing", "--yes")[2]


def test_a_workspace_of_whole_files_has_no_recipients_to_change(shell: Shell) -> None:
    (shell.space.root / "secrets/hook.age").write_bytes(age.encrypt(b"name: hook\n", [shell.space.recipient]))
    code, _, err = shell("remove-recipient", age.generate()[1], "--yes")

    assert (code, "secrets/hook.age: encrypted as a whole" in err) == (1, True)


def test_a_user_of_sops_edits_diffs_and_verifies(shell: Shell, real_sops: Sops, tmp_path: Path) -> None:
    path = shell.space.put()
    root = str(shell.space.root)
    subprocess.run(["git", "-C", root, "init", "-q"], check=True)
    subprocess.run(["git", "-C", root, "add", "secrets"], check=True)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/hunter2-hunter2/hunter3/ "$1"\n')
    editor.chmod(0o755)
    done = real_sops(shell.space.identity, "edit", str(path), EDITOR=str(editor), cwd=root)
    diff = subprocess.run(
        ["git", "-C", root, "diff", "--numstat"], capture_output=True, text=True, check=True
    ).stdout

    assert done.returncode == 0, done.stderr
    assert diff.split()[:2] == ["3", "3"]
    assert shell("verify")[0] == 0


def test_help_has_an_example_for_every_command(shell: Shell) -> None:
    from runner.cli.secrets import command

    for name in command.commands:
        code, out, _ = shell(name, "--help")

        assert code == 0
        assert f"flowpost secrets {name}" in out, name


def test_an_edit_that_breaks_a_rule_writes_nothing(shell: Shell, tmp_path: Path) -> None:
    path = shell.space.put()
    old = path.read_bytes()
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/port: 587/port: 25/' \"$1\"\n")
    editor.chmod(0o755)
    shell.monkeypatch.setenv("EDITOR", str(editor))
    code, out, err = shell("edit", "marketing")

    assert (code, path.read_bytes()) == (1, old)
    assert "Port 25 is not allowed" in err
    assert "hunter2" not in out + err


class Terminal(io.StringIO):
    """A person's answers."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("slip", "mended", "says"),
    [
        ("port: 25", "port: 465", "Port 25 is not allowed"),
        ('port: "465', "port: 465", "not YAML"),
        ("prot: 465", "port: 465", 'did you mean "port"?'),
    ],
)
def test_a_refused_edit_is_given_back_to_the_editor(
    slip: str, mended: str, says: str, shell: Shell, tmp_path: Path
) -> None:
    path = shell.space.put()
    old = path.read_bytes()
    editor = tmp_path / "editor"
    # The second time it mends what it wrote the first time.
    editor.write_text(f"#!/bin/sh\nsed -i 's/{slip}/{mended}/;t;s/port: 587/{slip}/' \"$1\"\n")
    editor.chmod(0o755)
    shell.monkeypatch.setenv("EDITOR", str(editor))
    calls = ["-C", str(shell.space.root), "secrets", "edit", "marketing"]
    shell.monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    declined = main(calls), shell.capsys.readouterr().err
    assert (declined[0], path.read_bytes(), declined[1].count(says)) == (1, old, 1)
    shell.monkeypatch.setattr("sys.stdin", Terminal("\n"))
    accepted = main(calls), shell.capsys.readouterr().err

    assert accepted[0] == 0, accepted[1]
    assert "edit again?" in accepted[1]
    assert says in accepted[1]
    assert content(shell.space)["server"]["port"] == 465
    assert "hunter2" not in declined[1] + accepted[1]


def without_override() -> None:
    """Root writes everywhere; without these two capabilities it is a user like any other."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        libc.prctl(24, 1, 0, 0, 0)
        libc.prctl(24, 2, 0, 0, 0)


def test_a_read_only_folder_is_a_clear_error(shell: Shell) -> None:
    path = shell.space.put()
    old = path.read_bytes()
    path.parent.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-m", "runner", "-C", str(shell.space.root), "secrets", "set", "marketing", "label"],
        input="x",
        capture_output=True,
        text=True,
        preexec_fn=without_override,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)},
    )
    path.parent.chmod(0o755)

    assert done.returncode == 1, done.stderr
    assert "cannot be written: permission denied" in done.stderr
    assert path.read_bytes() == old
