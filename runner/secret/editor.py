"""The person's editor, on a private file that is gone afterwards."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping

from runner.errors import SecretError, UsageError
from runner.secret.process import private_file
from runner.secret.sops.nodes import MAX_BYTES


def run(text: str, name: str, environ: Mapping[str, str]) -> str:
    """``text`` as the editor left it; UsageError when there is no editor, SecretError when it failed."""
    command = _command(environ)
    with private_file(name, text) as path:
        try:
            done = subprocess.run([*command, str(path)], check=False)  # noqa: S603  (the person's own editor)
        except OSError as error:
            raise UsageError(
                f"the editor {command[0]} cannot be run: {(error.strerror or 'error').lower()}"
            ) from None
        if done.returncode != 0:
            raise SecretError(
                f"the editor {command[0]} ended with status {done.returncode}; nothing was written"
            )
        try:
            data = path.read_bytes()
        except OSError:
            raise SecretError("the edited file is gone; nothing was written") from None
    if len(data) > MAX_BYTES:
        raise SecretError("the edited file is too large; nothing was written")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretError("the edited file is not UTF-8; nothing was written") from None


def _command(environ: Mapping[str, str]) -> list[str]:
    for variable in ("SOPS_EDITOR", "VISUAL", "EDITOR"):
        value = environ.get(variable, "").strip()
        if value:
            try:
                return shlex.split(value)
            except ValueError:
                raise UsageError(f"{variable} cannot be read: its quotes do not match") from None
    for name in ("vim", "nano", "vi"):
        if shutil.which(name):
            return [name]
    raise UsageError("there is no editor", hint="set EDITOR")
