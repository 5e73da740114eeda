"""The common answer, "valid", a hundred times sooner: jsonschema explains what this does not let pass.

A parity test keeps the two equal. It is for our own schemas only, whose patterns cannot backtrack: a user's
schema needs the bounds of ``runner.schema.body``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from runner.schema.catalog import load

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

METASCHEMA = "https://json-schema.org/draft/2020-12/schema"
"""JSON Schema 2020-12 itself, which the library carries: nothing is fetched."""


def is_plainly_valid(name: str, value: Any) -> bool:
    """Whether ``value`` is valid by the schema called ``name``, or METASCHEMA.

    False also when that cannot be said here (a number of 100 digits).
    """
    try:
        return _validator(name).is_valid(value)
    except (ValueError, TypeError, OverflowError):
        return False


@cache
def _validator(name: str) -> Draft202012Validator:
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator({"$ref": METASCHEMA} if name == METASCHEMA else load(name))
