"""All the credentials of a workspace at once: what ``secrets list`` and ``secrets verify`` show."""

from __future__ import annotations

from dataclasses import dataclass

from runner.diagnostic import Diagnostic, tidy
from runner.errors import SecretError
from runner.secret import files, memory
from runner.secret.sops import document
from runner.secret.store import CredentialStore


@dataclass(frozen=True, slots=True)
class Row:
    """One credential, as far as it can be seen without a key. ``error`` says why a file cannot be read."""

    name: str
    path: str
    format: str
    recipients: tuple[str, ...]
    last_modified: str | None
    error: str | None = None

    @property
    def recipients_text(self) -> str:
        """How many can decrypt, or what is wrong."""
        if self.error is not None:
            return self.error
        if self.format == "age":
            return "whole-file age"
        return "1 recipient" if len(self.recipients) == 1 else f"{len(self.recipients)} recipients"

    def as_dict(self) -> dict[str, object]:
        """The row as ``--format json`` prints it."""
        return {
            "name": self.name,
            "path": self.path,
            "format": self.format,
            "recipients": list(self.recipients),
            "last_modified": self.last_modified,
            "error": self.error,
        }


def rows(store: CredentialStore) -> list[Row]:
    """Every credential, sorted by name; a broken file is a row with its error."""
    return [_row(store, name) for name in store.names()]


def verify(
    store: CredentialStore,
    names: list[str],
    *,
    use_key: bool,
    accept_older: bool = False,
    strays: bool = True,
) -> list[Diagnostic]:
    """Every finding about ``names``, and with ``strays`` about files that look like credentials and are none."""
    findings: list[Diagnostic] = []
    if use_key and names:
        try:
            store.keys()
        except SecretError as error:
            # One unusable variable is one finding, not one for each file.
            return [
                Diagnostic(
                    store.shown(store.folder), 1, 1, error.message, "ESECRET", "error", error.hint or ""
                )
            ]
    findings += store.unruled(names, "error")
    for name in names:
        if accept_older:
            memory.forget(store.state, store.shown(store.path(name)))
        findings += store.check(name, use_key, unruled="error")
    if strays:
        findings += store.strays()
    return list(tidy(findings))


def _row(store: CredentialStore, name: str) -> Row:
    try:
        path = store.path(name)
        shown = store.shown(path)
        if path.suffix == ".age":
            return Row(name, shown, "age", (), None)
        meta = document.parse(files.read(path)).meta
        return Row(name, shown, "sops", meta.recipients, meta.last_modified)
    except (SecretError, FileNotFoundError) as error:
        message = error.message if isinstance(error, SecretError) else "it is gone"
        return Row(name, f"{store.shown(store.folder)}/{name}.yaml", "sops", (), None, message)
