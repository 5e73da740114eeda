"""The credentials of one workspace, decrypted at the moment of use."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from runner import redact
from runner.credential import Credential
from runner.diagnostic import Diagnostic, Severity, tidy
from runner.errors import FlowpostError, PortError, SecretError
from runner.secret import files, identities, memory, process
from runner.secret.fields import NAME
from runner.secret.identities import Identities
from runner.secret.opened import Opened, secret_texts
from runner.secret.settled import Settled, status
from runner.secret.sops.nodes import FormatError
from runner.secret.standing import Standing
from runner.secret.typed import Problem

_LOG = logging.getLogger("flowpost.secret")
_ENDINGS = (".yaml", ".age")
_FOREIGN = {".json": "JSON files", ".env": "ENV files", ".ini": "INI files", ".yml": "files that end in .yml"}


class CredentialStore:
    """The files ``root/folder/<name>.yaml`` and ``<name>.age``.

    ``environ`` says where the identities are. With ``keep_last_good`` a credential that was good once is still
    served when its file turns bad, or the folder is gone as a whole (not when the file alone is); ``problems`` then
    holds the error by name. ``state`` is the folder where the newest version of each file is remembered; default:
    ``.flowpost`` of the workspace.
    """

    def __init__(
        self,
        root: Path,
        folder: str,
        workspace: str,
        environ: Mapping[str, str],
        *,
        keep_last_good: bool = False,
        state: Path | None = None,
    ) -> None:
        self.root = root
        self.state = root / memory.FOLDER if state is None else state
        self.folder = root / folder
        self.workspace = workspace
        self.environ = environ
        self.keep_last_good = keep_last_good
        self.problems: dict[str, FlowpostError] = {}
        self._good: dict[str, Credential] = {}
        self._cache: dict[tuple[str, bytes], tuple[Credential | None, list[Problem]]] = {}
        self._newest: dict[str, str] = {}
        self._served: dict[str, tuple[str, bytes]] = {}
        self._identities: Identities | None = None
        self._settled = Settled()
        self._standing = Standing(self.folder)
        self._lock = threading.RLock()

    def names(self) -> list[str]:
        """Every credential's name, sorted; a folder that is not there has none."""
        if not self.folder.is_dir():
            return []
        return sorted({path.stem for path in self.folder.iterdir() if self._is_credential(path)})

    def get(self, name: str, type: str | None = None) -> Credential:  # noqa: A002  (the word of the file)
        """The credential ``name``; blocking.

        SecretError when it is missing, cannot be decrypted, is tampered with, breaks the policy or is of another
        type; PortError for port 25. ``type`` is smtp, http, webhook or imap; None takes any.
        """
        with self._lock:
            before = status(self._paths(name))
            credential = self._get(name)
            if name not in self.problems:
                self._settled.keep(name, before, credential)
        return self._typed(name, credential, type)

    async def fetch(self, name: str, type: str | None = None) -> Credential:  # noqa: A002
        """As ``get``, in a thread unless the file is as it was: a passphrase costs a second of CPU."""
        known = self._settled.get(name, self._paths(name))
        if known is not None:
            return self._typed(name, known, type)
        import asyncio

        return await asyncio.to_thread(self.get, name, type)

    def _paths(self, name: str) -> list[Path]:
        return [self.folder / f"{name}{ending}" for ending in _ENDINGS]

    def _typed(self, name: str, credential: Credential, type: str | None) -> Credential:  # noqa: A002
        found = type_of(credential)
        if type is not None and found != type:
            raise SecretError(
                f'credential "{name}" is of type {found}, and {type} is needed here',
                hint=self._suggest(type),
            )
        return credential

    def check(self, name: str, use_key: bool, *, unruled: Severity = "warning") -> list[Diagnostic]:
        """What is wrong with one credential; never raises SecretError. Without a key, what can be seen without.

        ``unruled`` is how grave it is that .sops.yaml cannot be used; that it is missing ``unruled()`` says.
        """
        with self._lock:
            shown = f"{self.shown(self.folder)}/{name}"
            try:
                path = self.path(name)
                shown = self.shown(path)
                data = files.read(path)
            except SecretError as error:
                return [_diagnostic(shown, error)]
            except FileNotFoundError:
                return [_diagnostic(shown, SecretError("the file is gone"))]
            opened = Opened(path, data)
            problems = opened.check_form(name)
            usable = not any(problem.severity == "error" for problem in problems)
            if opened.document is not None:
                problems += self._compared(path, opened.document.meta.recipients, unruled)
            if use_key and usable:
                try:
                    problems += self._open(name, opened)[1]
                except SecretError as error:
                    return list(
                        tidy([*opened.diagnostics(shown, problems), self._explained(shown, error, opened)])
                    )
            return list(tidy(opened.diagnostics(shown, problems)))

    def unruled(self, names: Iterable[str], severity: Severity) -> list[Diagnostic]:
        """A finding when there is no .sops.yaml to compare the recipients in the files of ``names`` with.

        Whoever adds himself to a file would take the list away as well. To the only recipient nobody was added: whoever
        opens the file with a key of their own has made it.
        """
        from runner.secret import rules

        if rules.find(self.root.resolve()) is not None:
            return []
        shared = [f"{name}.yaml" for name in names if self._recipients(name) > 1]
        if not shared:
            return []
        message = f"{rules.FILE} is not there, so that nothing says who may decrypt {', '.join(shared[:5])}"
        more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
        hint = f"take it back from git; where there never was one, {rules.HINT}"
        return [Diagnostic(rules.FILE, 1, 1, message + more, "ESECRET", severity, hint)]

    def _recipients(self, name: str) -> int:
        path = self.folder / f"{name}.yaml"
        try:
            opened = Opened(path, files.read(path))
        except OSError:
            return 0
        opened.check_form(name)
        return 0 if opened.document is None else len(opened.document.meta.recipients)

    def _compared(self, path: Path, recipients: tuple[str, ...], unruled: Severity) -> list[Problem]:
        from runner.secret import rules

        if rules.find(self.root.resolve()) is None:
            return []
        try:
            return _compare(recipients, rules.for_file(self.root, path).recipients)
        except SecretError as error:
            message = f"its recipients cannot be compared with .sops.yaml: {error.message}"
            return [Problem(("sops", "age"), message, severity=unruled, hint=error.hint or "")]

    def strays(self) -> list[Diagnostic]:
        """Files of the folder that look like credentials and are none: wrong name, wrong format."""
        if not self.folder.is_dir():
            return []
        found = []
        for path in sorted(self.folder.iterdir()):
            if path.suffix in _FOREIGN:
                what = f"{_FOREIGN[path.suffix]} are not supported, only SOPS YAML and .age"
            elif path.suffix in _ENDINGS and not self._is_credential(path):
                what = f'"{path.stem}" is not a name of a credential (names are like crm-hook)'
            else:
                continue
            found.append(Diagnostic(self.shown(path), 1, 1, what, "ESECRET", "error", ""))
        return found

    def path(self, name: str) -> Path:
        """The file of ``name``; SecretError that names the nearest existing credential when there is none."""
        if not re.fullmatch(NAME, name) or len(name) > 63:
            raise SecretError(f'"{name[:80]}" is not a name of a credential', hint="names are like crm-hook")
        found = [path for ending in _ENDINGS if (path := self.folder / f"{name}{ending}").exists()]
        if len(found) > 1:
            raise SecretError(f"{found[0].name} and {found[1].name} are both there: keep one")
        if found:
            return found[0]
        for ending, what in _FOREIGN.items():
            if (self.folder / f"{name}{ending}").exists():
                raise SecretError(
                    f"{self.shown(self.folder / f'{name}{ending}')}: {what} are not supported, only SOPS YAML and .age",
                    hint=f"name it {name}.yaml, encrypted with sops as YAML",
                )
        from difflib import get_close_matches

        names = self.names()
        near = get_close_matches(name, names, 1)
        known = (
            f"credentials of this workspace: {', '.join(names[:20])}"
            if names
            else "flowpost secrets new makes one"
        )
        raise SecretError(
            f'there is no credential "{name}" in {self.shown(self.folder)}',
            hint=f'did you mean "{near[0]}"?' if near else known,
        )

    def shown(self, path: Path) -> str:
        """The path as messages show it: relative to the workspace."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def keys(self, *, again: bool = False) -> Identities:
        """The identities; SecretError when a variable is set but cannot be used."""
        if self._identities is None or again:
            process.forbid_core_dumps()
            self._identities = identities.find(self.environ, self.home())
        return self._identities

    def home(self) -> Path:
        """The home folder of ``environ``."""
        return Path(self.environ["HOME"]) if self.environ.get("HOME") else Path.home()

    def fault(self) -> str:
        """Why the folder as a whole cannot be believed, so that what was good stays in use; nothing when it can."""
        if not self._good:
            return ""
        return self._standing.fault(empty=lambda: not self.names())

    def _get(self, name: str) -> Credential:
        try:
            path = self.path(name)
        except (SecretError, OSError) as error:
            if name in self._good and (reason := self.fault()):
                return self._kept(name, SecretError(f"{self.shown(self.folder)}: {reason}"))
            if isinstance(error, OSError):
                reason = (error.strerror or "error").lower()
                raise SecretError(f"{self.shown(self.folder)} cannot be read: {reason}") from None
            raise
        try:
            credential = self._load(name, path)
        except FlowpostError as error:
            if name in self._good:
                return self._kept(name, error)
            raise
        self.problems.pop(name, None)
        if self.keep_last_good:
            self._good[name] = credential
            self._standing.hold()
        return credential

    def _kept(self, name: str, error: FlowpostError) -> Credential:
        if name not in self.problems or self.problems[name].message != error.message:
            _LOG.error("credential %s: %s; its last good version stays in use", name, error.message)
        self.problems[name] = error
        return self._good[name]

    def _load(self, name: str, path: Path) -> Credential:
        shown = self.shown(path)
        try:
            data = files.read(path)
        except FileNotFoundError:
            raise SecretError(f"{shown} vanished while it was read") from None
        except SecretError as error:
            raise SecretError(f"{shown}: {error.message}", hint=error.hint) from None
        opened = Opened(path, data)
        problems = opened.check_form(name)
        credential: Credential | None = None
        if not any(problem.severity == "error" for problem in problems):
            try:
                credential, problems = self._open(name, opened)
            except SecretError as error:
                found = self._explained(shown, error, opened)
                raise SecretError(f"{_place(found)}: {found.message}", hint=found.hint or None) from None
        for found in opened.diagnostics(shown, problems):
            if found.severity == "error":
                kind = PortError if found.code == "EPORT" else SecretError
                if kind is PortError:
                    raise PortError(found.message)
                who = opened.recipients
                message = f"{_place(found)}: {found.message}" + (f" (recipients: {who})" if who else "")
                raise SecretError(message, hint=found.hint or None)
        assert credential is not None
        return credential

    def _open(self, name: str, opened: Opened) -> tuple[Credential | None, list[Problem]]:
        """Decrypt, check and build; the result is kept by the content of the file."""
        from runner.secret import build, typed

        entry = (opened.path.name, hashlib.sha256(opened.data).digest())
        # A version that comes back is looked at again: it may be an older one.
        if self._served.get(name) == entry and entry in self._cache:
            return self._cache[entry]
        self._served[name] = entry
        tree = opened.decrypt(self.keys)
        values, problems = typed.check(tree, name)
        redact.protect(*secret_texts(tree))
        credential = None
        if not problems:
            credential, problems = build.build(values, self.workspace, tree)
        if opened.document is not None:
            shown = self.shown(opened.path)
            older = memory.remember(self.state, shown, opened.document.meta.last_modified, self._newest)
            if older:
                _LOG.warning("%s: %s", shown, older)
                problems = [
                    *problems,
                    Problem(("sops", "lastmodified"), older, severity="warning", hint=memory.HINT),
                ]
        if len(self._cache) > 1000:
            self._cache.clear()
        self._cache[entry] = credential, problems
        return credential, problems

    def _explained(self, shown: str, error: SecretError, opened: Opened) -> Diagnostic:
        line, column = (error.line, error.column) if isinstance(error, FormatError) else (1, 1)
        message = error.message
        searched = self._identities.places if self._identities is not None else ""
        if opened.recipients and "cannot be used" not in message:
            message += f"; it is encrypted for {opened.recipients}"
        if searched:
            message += f"; searched: {searched}"
        return Diagnostic(shown, line or 1, column or 1, message, "ESECRET", "error", error.hint or "")

    def _is_credential(self, path: Path) -> bool:
        return path.suffix in _ENDINGS and re.fullmatch(NAME, path.stem) is not None

    def _suggest(self, wanted: str) -> str:
        return f"name a credential of type {wanted}; flowpost secrets list shows them"


def type_of(credential: Credential) -> str:
    """The type's name as files write it."""
    return type(credential).__name__.removesuffix("Credential").lower()


def _place(found: Diagnostic) -> str:
    return f"{found.path}:{found.line}:{found.column}"


def _diagnostic(path: str, error: SecretError) -> Diagnostic:
    return Diagnostic(path, 1, 1, error.message, "ESECRET", "error", error.hint or "")


def _compare(in_file: tuple[str, ...], in_rule: tuple[str, ...]) -> list[Problem]:
    place = ("sops", "age")
    return [
        Problem(
            place,
            f"recipient {recipient} is in the file but not in .sops.yaml: who added it?",
            hint="if it belongs there, add-recipient; if not, rotate and change the passwords",
        )
        for recipient in in_file
        if recipient not in in_rule
    ] + [
        Problem(
            place,
            f"recipient {recipient} of .sops.yaml cannot decrypt this file yet",
            severity="warning",
            hint="flowpost secrets rotate",
        )
        for recipient in in_rule
        if recipient not in in_file
    ]
