"""A mistake in a file, as data with a position: gathered, sorted, reported once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from runner.errors import ConfigurationError

Severity = Literal["error", "warning"]


class Position(NamedTuple):
    """A place in a file; line and column count from 1, the column in characters."""

    line: int = 1
    column: int = 1


class Diagnostic(NamedTuple):
    """One finding.

    ``code`` is a code of SPEC section 7 where that section has one, else ``yaml``, ``schema``, ``template``,
    ``reference``, ``credential`` or ``duplicate``. ``message`` is lower case without a full stop and quotes the
    user's own words; ``hint`` says how to mend it and may be empty. ``undecided``: whether it is a mistake shows
    when an event comes; it is an error to ``validate``, and no reason to refuse the flow.
    """

    path: str
    line: int
    column: int
    message: str
    code: str
    severity: Severity = "error"
    hint: str = ""
    undecided: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.severity}: {self.message} [{self.code}]"


class Invalid(ConfigurationError):
    """A file did not become a value; ``diagnostics`` say why, every one of them."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tidy(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


def tidy(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by place and drop doubles."""
    return tuple(sorted(set(diagnostics)))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of them is more than a warning."""
    return any(diagnostic.severity == "error" for diagnostic in diagnostics)


def refuse(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of them is an error that no event can make good: what has it cannot be used."""
    return any(found.severity == "error" and not found.undecided for found in diagnostics)


def to_runners(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings as whoever runs flows tells them: what only an event can decide is a warning."""
    return tuple(found._replace(severity="warning") if found.undecided else found for found in diagnostics)
