"""What is used up of rates, read without taking any: for whoever says how long messages will take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.credential import Rate
from runner.ledger.budgets import credential_key, passage_key
from runner.ledger.database import rows
from runner.ledger.grant import PARTS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from runner.credential import SmtpCredential


def spent(
    connection: Connection, credential: SmtpCredential, passage: str, own: Sequence[Rate]
) -> dict[Rate, list[tuple[float, int]]]:
    """The turns of the credential's rates, and of one's ``own``, that are used up now, and when they come back.

    ``passage`` is the key of the latter (``Budgets.claim_passage``). Messages under way are not counted.
    """
    found = _coming(connection, credential_key(credential), credential.rates)
    for rate, coming in _coming(connection, passage_key(passage), own).items():
        # Of two rates that are alike the one with less left decides.
        found[rate] = max(found.get(rate, []), coming, key=_number)
    return found


def _coming(connection: Connection, key: str, rates: Sequence[Rate]) -> dict[Rate, list[tuple[float, int]]]:
    if not rates:
        return {}
    parts = [dict(row) for row in rows(connection, "budgets.spent", credential=key)]
    found: dict[Rate, list[tuple[float, int]]] = {}
    for rate in rates:
        width = rate.seconds / PARTS
        for part in parts:
            back = (part["bucket"] + 1) * width + rate.seconds - part["now"]
            if part["seconds"] == rate.seconds and back > 0:
                found.setdefault(rate, []).append((back, part["used"]))
    return found


def _number(coming: Sequence[tuple[float, int]]) -> int:
    return sum(number for _, number in coming)
