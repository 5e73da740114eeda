"""Everything that a document breaks in one of our schemas, each mistake at its own place."""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from runner.diagnostic import Diagnostic, Position, tidy
from runner.schema.catalog import load
from runner.schema.verdict import is_plainly_valid

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_FINDINGS = 100
"""Findings in one file; who breaks a schema more often has another problem."""

Pointer = tuple[str | int, ...]


class Located(Protocol):
    """A value whose every place in its file is known: ``runner.source.Document``."""

    @property
    def value(self) -> Any:
        """Plain dict, list, str, int, float, bool and None."""
        ...

    @property
    def path(self) -> str:
        """What findings call the file."""
        ...

    def at(self, pointer: Pointer, *, key: bool = False) -> Position:
        """Where the value at ``pointer`` stands, or its key."""
        ...

    def written(self, pointer: Pointer) -> str:
        """The scalar at ``pointer`` as the author wrote it."""
        ...


def check(name: str, document: Located) -> list[Diagnostic]:
    """What ``document`` breaks in the schema called ``name``, sorted by place; empty when it is valid."""
    if is_plainly_valid(name, document.value):
        return []
    from runner.schema.explain import Explainer

    explainer = Explainer(name, load(name), document)
    for error in islice(_validator(name).iter_errors(document.value), MAX_FINDINGS):
        explainer.explain(error)
    return list(tidy(explainer.findings()))[:MAX_FINDINGS]


@cache
def _validator(name: str) -> Validator:
    from jsonschema import Draft202012Validator
    from referencing.jsonschema import EMPTY_REGISTRY

    return Draft202012Validator(load(name), registry=EMPTY_REGISTRY)
