"""A read document: its value, and the place of everything in it."""

from __future__ import annotations

from typing import Any

from runner.diagnostic import Diagnostic, Position
from runner.source.place import Place
from runner.source.text import Text

Pointer = tuple[str | int, ...]
"""The way to a value: keys of mappings and indexes of lists."""


class Document:
    """One YAML file: ``value`` is made of dict, list, str, int, float, bool and None, keys are text.

    ``warnings`` are about what is well-formed and probably not meant.
    """

    __slots__ = ("_root", "_text", "path", "value", "warnings")

    def __init__(self, text: Text, value: Any, root: Place, warnings: tuple[Diagnostic, ...] = ()) -> None:
        self._text = text
        self.warnings = warnings
        self._root = root
        self.path = text.path
        self.value = value

    def at(self, pointer: Pointer, *, key: bool = False) -> Position:
        """Where the value at ``pointer`` stands, or with ``key`` its key.

        Inside an alias or a merged mapping that is where the author wrote the value. What is not there gets
        the place of the nearest thing around it that is.
        """
        return self._text.position(self._index(pointer, key=key))

    def locate(self, pointer: Pointer, line: int, column: int) -> Position:
        """Where line ``line`` and column ``column`` (from 1) of the text at ``pointer`` stand in the file.

        Exact for plain, quoted and block scalars on one line or many; the place of the value itself when
        there is no text at ``pointer``.
        """
        from runner.source.locate import locate

        place = self._find(pointer)
        value = self._value(pointer)
        if place is None or place.children is not None or not isinstance(value, str):
            return self.at(pointer)
        return self._text.position(locate(self._text.content, place, value, line, column))

    def finding(
        self, pointer: Pointer, message: str, code: str = "schema", *, key: bool = False, hint: str = ""
    ) -> Diagnostic:
        """An error at ``pointer``."""
        place = self.at(pointer, key=key)
        return Diagnostic(self.path, place.line, place.column, message, code, hint=hint)

    def written(self, pointer: Pointer) -> str:
        """The scalar at ``pointer`` as the author wrote it, quotes and all; empty when there is none."""
        place = self._find(pointer)
        if place is None or place.children is not None:
            return ""
        return self._text.content[place.start : place.end]

    def _find(self, pointer: Pointer) -> Place | None:
        place: Place | None = self._root
        for step in pointer:
            if place is None or place.children is None:
                return None
            place = place.children.get(step)
        return place

    def _value(self, pointer: Pointer) -> Any:
        value = self.value
        for step in pointer:
            value = value[step]
        return value

    def _index(self, pointer: Pointer, *, key: bool) -> int:
        place = self._root
        last = len(pointer) - 1
        for depth, step in enumerate(pointer):
            if (
                key
                and depth == last
                and place.keys is not None
                and isinstance(step, str)
                and step in place.keys
            ):
                return place.keys[step]
            child = (place.children or {}).get(step)
            if child is None:
                return place.start
            # An absent or empty value has no place of its own: its key says more.
            if child.children is None and child.start == child.end and place.keys and isinstance(step, str):
                return place.keys.get(step, child.start)
            place = child
        return place.start
