"""Several fields of one message that are text and plain paths: their values are looked up at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import call
from typing import Any, NamedTuple

from jinja2 import nodes

from runner.template.compiled import Template
from runner.template.straight import NotStraight, Straight, flat, picker, written

_BETWEEN = "\0"
"""Between one field and the next; a template whose own text holds it is not taken."""
_TAKEN = frozenset({str, int, float})
"""What every kind of field writes alike."""

Step = str | int
"""The author's text, or the number of a value."""


Pick = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Some of a row's texts, in their order."""


class Looked(NamedTuple):
    """The values of a row, each once, as they are and as they are written, and how the tests came out."""

    values: tuple[Any, ...]
    texts: tuple[str, ...]
    outcome: tuple[bool, ...]


class Together:
    """``fields`` are templates by name. Raises NotStraight where one is more than texts, paths and simple tests."""

    def __init__(self, fields: Mapping[str, Template]) -> None:
        self._names = list(fields)
        body: list[nodes.Node] = []
        for template in fields.values():
            tree = template.joined
            if tree is None or any(_BETWEEN in data.data for data in tree.find_all(nodes.TemplateData)):
                raise NotStraight
            body += tree.body
            body.append(nodes.Output([nodes.TemplateData(_BETWEEN)]))
        self._straight = Straight(nodes.Template(body))

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self._straight.paths.numbers)

    def look(self, scope: Mapping[str, object]) -> Looked | None:
        """None where anything about a value is unusual; what a template says of it is the caller's to ask."""
        values = self._straight.paths.values(scope)
        if values is None:
            return None
        texts = written(values) if _TAKEN.issuperset(map(type, values)) else None
        if texts is None:
            return None
        tests = self._straight.tests
        return Looked(values, texts, tuple(map(call, tests, repeat(values))) if tests else ())

    def steps(self, outcome: tuple[bool, ...]) -> dict[str, list[Step]]:
        """What each field is made of when the tests come out so."""
        fields: list[list[Step]] = [[]]
        for step in flat(self._straight.steps, outcome):
            if not isinstance(step, str):
                fields[-1].append(step)
                continue
            for number, text in enumerate(step.split(_BETWEEN)):
                if number:
                    fields.append([])
                if text:
                    fields[-1].append(text)
        # Behind the last field stands nothing.
        return dict(zip(self._names, fields[:-1], strict=True))


def picked(steps: Sequence[Step], first: int) -> tuple[Pick, tuple[str, ...]]:
    """What picks ``steps`` of values and, from the place ``first`` on, their own texts; and those texts."""
    texts = tuple([step for step in steps if isinstance(step, str)])
    places = iter(range(first, first + len(texts)))
    return picker([next(places) if isinstance(step, str) else step for step in steps]), texts
