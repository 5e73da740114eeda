"""``--key``: rows that would be the same one twice, found with eight octets of memory a row."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from runner.errors import FlowpostError

if TYPE_CHECKING:
    from runner.rows import Row


class Double(NamedTuple):
    """A row whose key stood in an earlier one."""

    row: int
    line: int | None
    key: str
    first_row: int
    first_line: int | None


class Keys:
    """Takes the key of every row, and then says which came twice."""

    def __init__(self, key_of: Callable[[Row], str | None]) -> None:
        self._key_of = key_of
        self._hashes = array("Q")

    def add(self, row: Row) -> None:
        """Note the row's key; raises the error of a row that has none."""
        key = self._key_of(row)
        if key is not None:
            self._hashes.append(_hash(key))

    def doubles(self, rows: Callable[[], Iterable[Row]]) -> list[Double]:
        """Every row but the first of each key; ``rows`` reads them again, only when there are any."""
        ordered = array("Q", sorted(self._hashes))
        twice = {one for one, next_ in pairwise(ordered) if one == next_}
        if not twice:
            return []
        found: list[Double] = []
        firsts: dict[str, tuple[int, int | None]] = {}
        for row in rows():
            try:
                key = self._key_of(row)
            except FlowpostError:
                continue
            if key is None or _hash(key) not in twice:
                continue
            first = firsts.setdefault(key, (row.number, row.line))
            if first[0] != row.number:
                found.append(Double(row.number, row.line, key, *first))
        return found


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
