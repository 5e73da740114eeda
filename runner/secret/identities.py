"""The age identities of the person or service that runs flowpost: every place is looked at, every find is tried."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import SecretError
from runner.secret import age

MAX_KEY_FILE = 1 << 20
COMMAND_SECONDS = 60.0

_VARIABLES = (
    "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
    "SOPS_AGE_KEY",
    "SOPS_AGE_KEY_FILE",
    "SOPS_AGE_KEY_CMD",
)


@dataclass(frozen=True, slots=True, repr=False)
class Identities:
    """What was found: ``texts`` for the decryption, ``searched`` for messages (places only, never keys)."""

    texts: tuple[str, ...]
    searched: tuple[str, ...]
    passphrase: str | None = None

    def __repr__(self) -> str:
        return f"Identities({len(self.texts)} from {self.places})"

    @property
    def places(self) -> str:
        """The places searched, in one phrase."""
        return ", ".join(self.searched)


def find(environ: Mapping[str, str], home: Path) -> Identities:
    """Every identity of ``environ`` and ``home``.

    SecretError when a variable is set but cannot be used: a forgotten key must not hide behind another one.
    Runs the command of SOPS_AGE_KEY_CMD without a shell, for at most a minute.
    """
    texts: list[str] = []
    searched: list[str] = []
    for variable in _VARIABLES:
        value = environ.get(variable)
        if value is None:
            searched.append(f"{variable} (not set)")
            continue
        if not value.strip():
            raise _unusable(variable, "it is set but empty")
        found = _from_variable(variable, value.strip(), environ)
        texts.extend(found)
        searched.append(f"{variable} ({_count(found)})")
    path = default_file(environ, home)
    found, note = _from_default(path)
    texts.extend(found)
    searched.append(f"{path} ({note})")
    return Identities(tuple(dict.fromkeys(texts)), tuple(searched), _passphrase(environ))


def available(environ: Mapping[str, str], home: Path) -> bool:
    """Whether there is any place with something in it, without reading keys or running commands."""
    return (
        any(environ.get(variable, "").strip() for variable in _VARIABLES)
        or default_file(environ, home).is_file()
    )


def default_file(environ: Mapping[str, str], home: Path) -> Path:
    """Where sops looks for keys without being told."""
    config = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(config) if config and Path(config).is_absolute() else home / ".config"
    return folder / "sops" / "age" / "keys.txt"


def _from_variable(variable: str, value: str, environ: Mapping[str, str]) -> list[str]:
    try:
        if variable == "SOPS_AGE_KEY":
            found = _parse(" ".join(_without_comments(value)).split())
        elif variable == "SOPS_AGE_KEY_CMD":
            found = _parse(_without_comments(_run(value, environ)))
        elif age.holds_key(value):
            raise SecretError("it holds a key, and must hold the name of a file")
        else:
            text = _read(Path(value).expanduser())
            found = [_ssh(text)] if "SSH" in variable else _parse_file(text, environ)
    except SecretError as error:
        raise _unusable(variable, error.message) from None
    if not found:
        raise _unusable(variable, "it holds no identity")
    return found


def _from_default(path: Path) -> tuple[list[str], str]:
    """The default file is only a place to look: what is wrong with it is told, and stops nothing."""
    if not path.exists():
        return [], "not there"
    try:
        found = _parse_file(_read(path), os.environ)
    except SecretError as error:
        return [], error.message
    return found, _count(found)


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SecretError(f"{path} is not a file")
            data = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {(error.strerror or 'error').lower()}") from None
    if len(data) > MAX_KEY_FILE:
        raise SecretError(f"{path} is too large for a key file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretError(f"{path} is not a text file") from None


def _parse_file(text: str, environ: Mapping[str, str]) -> list[str]:
    if age.is_age(text.encode("utf-8")):
        plain = age.decrypt(text.encode("utf-8"), (), passphrase=_passphrase(environ))
        text = plain.decode("utf-8", "replace")
    return _parse(_without_comments(text))


def _without_comments(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _parse(lines: list[str]) -> list[str]:
    for number, line in enumerate(lines, 1):
        try:
            age.parse_identity(line)
        except SecretError as error:
            raise SecretError(f"entry {number}: {error.message}") from None
    return lines


def _ssh(text: str) -> str:
    if "PRIVATE KEY-----" not in text:
        raise SecretError("the file holds no SSH private key")
    age.parse_identity(text)
    return text


def _run(command: str, environ: Mapping[str, str]) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        raise SecretError("its quotes do not match") from None
    try:
        done = subprocess.run(  # noqa: S603  (the operator's own command; no shell)
            words,
            env={**environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SecretError(f"the command took more than {COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        raise SecretError(f"the command cannot be run: {(error.strerror or 'error').lower()}") from None
    if done.returncode != 0:
        raise SecretError(f"the command ended with status {done.returncode}")
    if len(done.stdout) > MAX_KEY_FILE:
        raise SecretError("the command printed too much")
    return done.stdout.decode("utf-8", "replace")


def _passphrase(environ: Mapping[str, str]) -> str | None:
    if "FLOWPOST_AGE_PASSPHRASE" in environ:
        if not environ["FLOWPOST_AGE_PASSPHRASE"]:
            raise _unusable("FLOWPOST_AGE_PASSPHRASE", "it is set but empty")
        return environ["FLOWPOST_AGE_PASSPHRASE"]
    name = "FLOWPOST_AGE_PASSPHRASE_FILE"
    if name not in environ:
        return None
    try:
        text = _read(Path(environ[name]).expanduser()).splitlines()
    except SecretError as error:
        raise _unusable(name, error.message) from None
    if not text or not text[0]:
        raise _unusable(name, "the file is empty")
    return text[0]


def _count(found: list[str]) -> str:
    return "1 identity" if len(found) == 1 else f"{len(found)} identities"


def _unusable(variable: str, why: str) -> SecretError:
    return SecretError(f"{variable} cannot be used: {why}", hint=f"correct {variable} or unset it")
