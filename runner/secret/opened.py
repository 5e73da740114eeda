"""One credential file on its way to a tree: parsed, checked for its form, decrypted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runner.diagnostic import Diagnostic
from runner.errors import SecretError
from runner.secret import age
from runner.secret.identities import Identities
from runner.secret.sops.document import Document
from runner.secret.sops.nodes import FormatError
from runner.secret.sops.scalar import Leaf
from runner.secret.typed import Problem


class Opened:
    """One file's bytes on their way to a tree: parsed once, decrypted on demand."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.data = data
        self.document: Document | None = None
        self.positions: dict[tuple[str, ...], tuple[int, int]] = {}

    @property
    def recipients(self) -> str:
        """The recipients that the file names, in one phrase."""
        return ", ".join(self.document.meta.recipients) if self.document is not None else ""

    def check_form(self, name: str) -> list[Problem]:
        """Parse, and check what needs no key."""
        from runner.secret import policy, typed
        from runner.secret.sops import document

        try:
            if self.path.suffix == ".age":
                age.check(self.data)
                return []
            self.document = document.parse(self.data, name)
            self.positions = policy.positions(self.document.root)
            problems = policy.check(self.document)
            return problems or typed.check(policy.claimed(self.document), name, values=False)[1]
        except FormatError as error:
            self.positions[()] = (error.line or 1, error.column or 1)
            return [Problem((), error.message, hint=error.hint or "")]
        except SecretError as error:
            return [Problem((), error.message, hint=error.hint or "")]

    def decrypt(self, keys: Callable[..., Identities]) -> Any:
        """The tree of leaves; SecretError when it cannot be had. A key that came later is looked for once more."""
        found = keys()
        try:
            return self._decrypt(found)
        except age.NoMatch as error:
            found = keys(again=True)
            if not found.texts and found.passphrase is None:
                raise SecretError(
                    "there is no age identity to decrypt it with",
                    hint="set SOPS_AGE_KEY_FILE, or put the key into the last of these places",
                ) from None
            try:
                return self._decrypt(found)
            except age.NoMatch:
                raise SecretError(
                    error.message,
                    hint=error.hint
                    or "ask someone who can decrypt it to add your recipient: flowpost secrets add-recipient",
                ) from None

    def _decrypt(self, found: Identities) -> Any:
        from runner.secret import policy, whole
        from runner.secret.sops import document

        if self.document is None:
            return whole.decrypt(self.data, found)
        key = document.open_key(self.document, found.texts)
        values = {place.scalar.start: leaf for place, leaf in document.leaves(self.document, key)}
        return policy.leaf_tree(self.document.content, values)

    def diagnostics(self, shown: str, problems: list[Problem]) -> list[Diagnostic]:
        """The findings with their places in the file."""
        out = []
        for problem in problems:
            line, column = self._position(problem.path)
            out.append(
                Diagnostic(
                    shown,
                    line,
                    column,
                    problem.message,
                    problem.code,
                    problem.severity,
                    problem.hint,
                )
            )
        return out

    def _position(self, path: tuple[str, ...]) -> tuple[int, int]:
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, (1, 1))


def secret_texts(tree: Any) -> Iterator[str]:
    """The texts of a tree that are secret by their field's kind; what no table knows counts as secret, too."""
    from runner.secret.fields import is_secret

    todo: list[tuple[str, Any]] = [("", tree)]
    while todo:
        key, node = todo.pop()
        if isinstance(node, dict):
            todo.extend(node.items())
        elif isinstance(node, list):
            todo.extend((key, item) for item in node)
        elif isinstance(node, Leaf) and is_secret(key):
            yield node.text
