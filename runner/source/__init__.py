"""YAML files as plain values whose every place in the file is known.

``read`` is the one door: bytes in, a ``Document`` out, or ``Invalid`` with line and column. What it takes is
YAML 1.2's core schema (``NO``, ``on``, ``22:22``, ``1_000`` and dates are text) with anchors and merge keys,
and without tags, complex keys, duplicate keys and second documents. It is bounded: 1 MiB, 64 levels, 50,000
values with every alias counted as often as it is used.
"""

from __future__ import annotations

from runner.source.document import Document
from runner.source.limits import MAX_BYTES, MAX_DEPTH, MAX_VALUES

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "Document", "read"]


def read(data: bytes, path: str, *, allow_empty: bool = False) -> Document:
    """The document in ``data``; ``path`` is only what findings say.

    Raises Invalid: code ``duplicate`` for a key that is there twice, ``yaml`` for everything else that is not
    one well-formed, bounded document. A file of nothing but comments is refused too, for that is how a
    half-written file looks, unless ``allow_empty`` makes it an empty mapping.
    """
    from runner.source.compose import compose
    from runner.source.text import decode

    return compose(decode(data, path), allow_empty=allow_empty)
