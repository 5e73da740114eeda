"""Whether the credentials that live flows name can be had: each file is opened once for each of its contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from runner.catalog.credentials import mentions
from runner.diagnostic import Diagnostic
from runner.errors import FlowpostError
from runner.load import LoadedFlow
from runner.secret.store import CredentialStore

_Marks = tuple[str, ...]


class _Look(NamedTuple):
    """What a look at a credential came to: ``error`` where it cannot be had, ``findings`` in its file."""

    marks: _Marks
    error: FlowpostError | None
    findings: tuple[Diagnostic, ...]


class Audit:
    """Opens each credential with ``store``, which so has a good version of it to serve when its file breaks."""

    def __init__(self, store: CredentialStore) -> None:
        self._store = store
        self._known: dict[tuple[str, str], _Look] = {}

    def findings(
        self, flows: Iterable[LoadedFlow], marks: Mapping[str, _Marks], *, again: bool
    ) -> Iterator[Diagnostic]:
        """What is wrong with credentials that ``flows`` name, whose files have those ``marks``.

        A look is good for as long as the marks are, unless ``again``: a key may have come, or gone. Blocking.
        """
        before, self._known = ({} if again else self._known), {}
        if fault := self._store.fault():
            message = f"{fault}; the last good credentials stay in use"
            hint = "credentials are gone when their files are deleted from the folder, not with it"
            yield Diagnostic(self._store.shown(self._store.folder), 1, 1, message, "ESECRET", "error", hint)
        for loaded in flows:
            for kind, name, pointer in mentions(loaded.flow):
                look = self._known.get((kind, name)) or before.get((kind, name))
                if look is None or look.marks != marks.get(name, ()):
                    look = self._look(kind, name, marks.get(name, ()))
                self._known[kind, name] = look
                yield from look.findings
                if look.error is not None and not look.findings:
                    # Not an error: it may be delivered on another way, and come later.
                    hint = look.error.hint or ""
                    found = loaded.document.finding(pointer, look.error.message, "reference", hint=hint)
                    yield found._replace(severity="warning")

    def _look(self, kind: str, name: str, marks: _Marks) -> _Look:
        error: FlowpostError | None = None
        try:
            self._store.get(name, kind)
            if not self._store.fault():
                error = self._store.problems.get(name)
        except FlowpostError as failure:
            error = failure
        if error is None or not marks:
            return _Look(marks, error, ())
        wrong = [found for found in self._store.check(name, use_key=True) if found.severity == "error"]
        return _Look(marks, error, tuple(wrong))
