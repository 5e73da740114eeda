"""``--key``: rows that would be the same one twice, found with sixteen octets of memory a row."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.rows import Row


class First(NamedTuple):
    """Where a key stands first."""

    key: str
    row: int
    line: int | None

    @property
    def error(self) -> UsageError:
        """What is wrong with a later row of that key."""
        place = "" if self.line is None else f" (line {self.line})"
        return UsageError(
            f'the key "{self.key}" stands in row {self.row} already{place}',
            hint="each row needs a key of its own: remove one of them, or choose another --key",
        )


class Keys:
    """Takes the key of every good row, and then says which came twice."""

    def __init__(self, key_of: Callable[[Row], str | None]) -> None:
        self._key_of = key_of
        self._hashes = array("Q")
        self._rows = array("Q")

    def add(self, row: Row) -> None:
        """Note the row's key; raises the error of a row that has none."""
        key = self._key_of(row)
        if key is not None:
            self._hashes.append(_hash(key))
            self._rows.append(row.number)

    def doubles(self, rows: Callable[[], Iterable[Row]]) -> dict[int, First]:
        """Every good row but the first of each key; ``rows`` reads them again, only when there are any."""
        ordered = array("Q", sorted(self._hashes))
        twice = {one for one, next_ in pairwise(ordered) if one == next_}
        if not twice:
            return {}
        good = {number for number, one in zip(self._rows, self._hashes, strict=True) if one in twice}
        found: dict[int, First] = {}
        firsts: dict[str, First] = {}
        for row in rows():
            if row.number not in good:
                continue
            key = self._key_of(row)
            assert key is not None
            first = firsts.setdefault(key, First(key, row.number, row.line))
            if first.row != row.number:
                found[row.number] = first
        return found


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
