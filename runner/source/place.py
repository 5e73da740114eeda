"""Where one value stands in its file, and what it weighs."""

from __future__ import annotations


class Place:
    """Where a value stands, ``[start, end)`` in characters, and what it weighs with everything inside it.

    ``style`` is ``|``, ``>``, ``'``, ``"``, ``{``, ``[`` or empty for plain scalars and block collections.
    ``keys`` tells where each key of a mapping stands.
    """

    __slots__ = ("characters", "children", "end", "height", "keys", "start", "style", "values")

    def __init__(
        self,
        start: int,
        end: int,
        style: str,
        children: dict[str | int, Place] | None,
        keys: dict[str, int] | None,
        values: int = 1,
        characters: int = 0,
    ) -> None:
        self.start = start
        self.end = end
        self.style = style
        self.children = children
        self.keys = keys
        self.values = values
        self.characters = characters
        self.height = 0 if children is None else 1

    @property
    def children_map(self) -> dict[str | int, Place]:
        """The places inside a collection; none inside a scalar."""
        return {} if self.children is None else self.children

    def add(self, name: str | int, child: Place) -> None:
        """Put ``child`` inside; of two with one name the first stays."""
        self.count(child)
        if self.children is not None:
            self.children.setdefault(name, child)

    def count(self, child: Place) -> None:
        """Carry the weight of ``child``."""
        self.values += child.values
        self.characters += child.characters
        self.height = max(self.height, child.height + 1)
