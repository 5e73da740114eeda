"""``set``: name values that several later nodes need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from runner.nodes.base import Context, NodeType


@dataclass(frozen=True, slots=True)
class Set(NodeType):
    """The output is the mapping of names to values."""

    values: Mapping[str, object]

    @classmethod
    def parse(cls, params: Mapping[str, object]) -> Self:
        """Take the rendered mapping as it is."""
        return cls(dict(params))

    async def run(self, ctx: Context) -> object:
        """Return the values."""
        return dict(self.values)


NODE = Set
