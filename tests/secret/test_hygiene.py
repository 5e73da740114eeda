"""A secret shows itself nowhere; files are private, whole or not there, and gone after a signal."""

from __future__ import annotations

import base64
import copy
import html
import json
import logging
import os
import pickle
import resource
import signal
import stat
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from secretspace import SMTP, Space

from runner import redact
from runner.credential import PasswordAuth, Secret
from runner.errors import PortError, SecretError
from runner.secret import change, files, process

pytest_plugins = ["secretfixtures"]

VALUE = 'p4ss/w+rd "ü" <&>\\'
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>20}".format,
        "%s".__mod__,
        lambda secret: f"{secret:>40}",
        lambda secret: repr([secret]),
        lambda secret: repr(PasswordAuth("u", secret)),
        lambda secret: repr(vars(type(secret))),
        lambda secret: str(dir(secret)),
    ],
)
def test_a_secret_does_not_show_itself(show: Callable[[Any], str]) -> None:
    assert VALUE not in show(Secret(VALUE))
    assert "p4ss" not in show(Secret(VALUE))


@pytest.mark.parametrize(
    "leak",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        lambda secret: json.dumps({"a": secret}),
        lambda secret: json.dumps(PasswordAuth("u", secret)),
        lambda secret: pickle.dumps(PasswordAuth("u", secret)),
        lambda secret: secret.__reduce_ex__(4),
        lambda secret: secret.__getstate__(),
        hash,
        vars,
        iter,
        len,
        bytes,
        lambda secret: secret + "x",
        lambda secret: secret < Secret("x"),
    ],
)
def test_a_secret_cannot_be_taken_out_by_accident(leak: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Secret(VALUE))

    assert "p4ss" not in str(caught.value)


def test_secrets_are_compared_by_value_with_secrets_only() -> None:
    assert Secret("ü") == Secret("ü")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def forms(value: str) -> dict[str, str]:
    data = value.encode()
    return {
        "raw": value,
        "base64": base64.b64encode(data).decode(),
        "AUTH PLAIN": base64.b64encode(b"\0user@example.com\0" + data).decode(),
        "AUTH PLAIN of a shorter user": base64.b64encode(b"\0us\0" + data).decode(),
        "basic auth": base64.b64encode(b"user:" + data).decode(),
        "XOAUTH2": base64.b64encode(b"user=u\1auth=Bearer " + data + b"\1\1").decode(),
        "url": urllib.parse.quote(value, safe=""),
        "form": urllib.parse.quote_plus(value),
        "json": json.dumps(value),
        "json in json": json.dumps(json.dumps({"p": value})),
        "repr": repr(value),
        "repr of bytes": repr(data),
        "html": html.escape(value),
        "hex": data.hex(),
    }


@pytest.mark.parametrize("form", forms(VALUE))
def test_a_protected_value_is_masked_in_every_form(form: str) -> None:
    redact.forget()
    redact.protect(VALUE)
    text = f"the server said: 535 {forms(VALUE)[form]} is wrong"
    cleaned = redact.clean(text)

    assert "***" in cleaned
    assert cleaned.startswith("the server said: 535 ")
    assert forms(VALUE)[form] not in cleaned
    redact.forget()


def test_short_values_and_other_texts_are_left() -> None:
    redact.forget()
    redact.protect("abc")

    assert redact.clean("abc of abcabc") == "abc of abcabc"


def test_log_records_lose_protected_values(caplog: pytest.LogCaptureFixture) -> None:
    redact.forget()
    redact.protect("hunter2-hunter2")
    handler = logging.Handler()
    lines: list[str] = []
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))  # type: ignore[method-assign]
    redact.install([handler])
    redact.install([handler])
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.error("login %s failed for %s", "hunter2-hunter2", {"p": "hunter2-hunter2"})
    logger.error("not %d a number", "hunter2-hunter2")
    try:
        raise ValueError("hunter2-hunter2")
    except ValueError:
        logger.exception("oops")

    assert len(handler.filters) == 1
    assert len(lines) == 3
    assert "hunter2" not in "\n".join(lines)
    assert "***" in lines[0]
    redact.forget()


def test_what_the_store_decrypts_is_protected(space: Space) -> None:
    space.put()
    space.store().get("marketing")

    assert (
        redact.clean("535 hunter2-hunter2 smtp.example.com marketing") == "535 *** smtp.example.com marketing"
    )


def test_core_dumps_are_off_once_a_key_is_read(space: Space) -> None:
    space.put()
    code = (
        "import sys, resource\nfrom pathlib import Path\nfrom runner.secret.store import CredentialStore\n"
        "CredentialStore(Path(sys.argv[1]), 'secrets', 'acme', {'SOPS_AGE_KEY': sys.stdin.read()}).get('marketing')\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(space.root)],
        input=space.identity,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )

    assert done.stdout.split("\n")[:2] == ["(0, 0)", "0"], done.stderr


def test_a_write_is_whole_or_not_at_all(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at every step of the way: the old file stays byte for byte, and nothing is left beside it."""
    path = space.put()
    old = path.read_bytes()
    for step in ("fsync", "rename", "open"):
        with monkeypatch.context() as patch:
            original = getattr(os, step)

            def full(*arguments: Any, _original: Any = original, _step: str = step, **options: Any) -> Any:
                if _step != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT):
                    raise OSError(28, "No space left on device")
                return _original(*arguments, **options)

            patch.setattr(os, step, full)
            with pytest.raises(SecretError, match="cannot be written: no space left on device"):
                change.set_value(space.store(), "marketing", "label", "x")

        assert path.read_bytes() == old
        assert [item.name for item in path.parent.iterdir()] == ["marketing.yaml"]


def test_a_file_size_limit_leaves_the_old_file(space: Space) -> None:
    """A real refusal by the system, in a process of its own."""
    path = space.put()
    old = path.read_bytes()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [sys.executable, "-m", "runner", "-C", str(space.root), "secrets", "set", "marketing", "label"],
        input="x", capture_output=True, text=True, preexec_fn=limit,
        env={**os.environ, "SOPS_AGE_KEY": space.identity, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert done.returncode == 1
    assert "cannot be written: file too large" in done.stderr
    assert path.read_bytes() == old
    assert [item.name for item in path.parent.iterdir()] == ["marketing.yaml"]


def test_a_refused_change_writes_nothing(space: Space) -> None:
    path = space.put()
    old = path.read_bytes()
    for field, value in (
        ("server.port", "25"),
        ("auth.type", "none"),
        ("name", "other"),
        ("auth.password", "a\nb"),
    ):
        with pytest.raises((SecretError, PortError)):
            change.set_value(space.store(), "marketing", field, value)

        assert path.read_bytes() == old


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_a_private_file_is_private_under_every_umask(mask: int, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    previous = os.umask(mask)
    try:
        files.write_private(path, b"x")
    finally:
        os.umask(previous)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b"x"


def test_an_exclusive_write_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("old")

    with pytest.raises(SecretError, match="already there"):
        files.write(path, b"new", exclusive=True)
    assert path.read_text() == "old"


def test_a_symlink_is_written_through_and_stays(tmp_path: Path) -> None:
    target = tmp_path / "real.yaml"
    target.write_text("old")
    link = tmp_path / "link.yaml"
    link.symlink_to(target)
    files.write(link, b"new")

    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_folder_that_is_read_only_is_a_clear_error(tmp_path: Path) -> None:
    """Root may write everywhere, so the folder is one that even root cannot write to."""
    with pytest.raises(SecretError, match="cannot be written") as caught:
        files.write(Path("/proc/self/marketing.yaml"), b"x")

    assert "writable" in (caught.value.hint or "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_decrypted_file_is_gone_after_a_signal(
    number: signal.Signals, space: Space, tmp_path: Path
) -> None:
    path = space.put()
    old = path.read_bytes()
    editor = tmp_path / "editor"
    seen = tmp_path / "seen"
    editor.write_text(
        f'#!/bin/sh\nstat -c "%a %n" "$1" "$(dirname "$1")" > {seen}.new\nmv {seen}.new {seen}\nexec sleep 60\n'
    )
    editor.chmod(0o755)
    running = subprocess.Popen(
        [sys.executable, "-m", "runner", "-C", str(space.root), "secrets", "edit", "marketing"],
        env={**os.environ, "SOPS_AGE_KEY": space.identity, "EDITOR": str(editor), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A test run in the background of a shell inherits that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not seen.exists() and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.05)
    assert seen.exists(), running.communicate()
    (mode, clear), (folder_mode, folder) = (line.split(" ", 1) for line in seen.read_text().splitlines())
    assert (mode, folder_mode) == ("600", "700")
    running.send_signal(number)
    out, err = running.communicate(timeout=60)

    assert not Path(clear).exists()
    assert not Path(folder).exists()
    assert path.read_bytes() == old
    assert b"hunter2" not in out + err
    os.killpg(running.pid, signal.SIGKILL) if alive(running.pid) else None


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_failing_editor_changes_nothing(space: Space) -> None:
    path = space.put()
    old = path.read_bytes()
    from runner.secret import editor

    for command, says in (("false", "status 1"), ("/nonexistent/editor", "cannot be run"), ("rm", "is gone")):
        with pytest.raises(Exception, match=says):
            change.edit_text(
                space.store(), "marketing", lambda text, c=command: editor.run(text, "x.yaml", {"EDITOR": c})
            )

        assert path.read_bytes() == old


def test_the_temporary_file_is_in_memory_where_there_is_some() -> None:
    with process.private_file("x.yaml", "secret") as path:
        if Path("/dev/shm").is_dir() and not os.environ.get("XDG_RUNTIME_DIR"):
            assert path.is_relative_to("/dev/shm")
        assert path.read_text() == "secret"
    assert not path.parent.exists()


def test_the_typed_values_of_a_credential_do_not_show_secrets(space: Space) -> None:
    space.put()

    assert "hunter2" not in repr(space.store().get("marketing"))
    assert "hunter2" not in repr(change.load(space.store(), "marketing"))
    assert SMTP["auth"]["password"] == "hunter2-hunter2"
