"""``set``: name values that several later nodes need."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from runner.errors import TemplateError
from runner.nodes.base import Context, NodeType, Problem


@dataclass(frozen=True, slots=True)
class Set(NodeType):
    """The output is the mapping of names to values."""

    values: Mapping[str, object]

    @classmethod
    def parse(cls, params: Mapping[str, object]) -> Self:
        """Take the rendered mapping as it is; raises TemplateError for a number that JSON does not have."""
        for problem in _endless(params):
            raise problem.error
        return cls(dict(params))

    @classmethod
    def check(cls, params: Mapping[str, object]) -> Iterable[Problem]:
        """Find numbers that are written out and that no history, and no JSON, can hold."""
        return _endless(params)

    async def run(self, ctx: Context) -> object:
        """Return the values."""
        return dict(self.values)


def _endless(value: object, pointer: tuple[str | int, ...] = ()) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _endless(item, (*pointer, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _endless(item, (*pointer, index))
    elif isinstance(value, float) and not math.isfinite(value):
        name = ".".join(map(str, pointer))
        hint = "write it as text, or leave it away"
        yield Problem(pointer, TemplateError(f'"{name}" is {value}, which is no number in JSON', hint=hint))


NODE = Set
