"""Budgets on a real database: who waits, who is sent away, what is shared."""

from __future__ import annotations

import asyncio
import time

import pytest
from databases import BOTH
from test_grant import fullest
from test_ledger_database import database as database

from runner.credential import Rate
from runner.ledger.budgets import Budgets
from runner.ledger.database import Database
from runner.ledger.postponed import Postponed


@BOTH
async def test_a_rate_that_is_no_credentials_is_shared_by_its_key(database: Database) -> None:
    moments: list[float] = []
    both = [Budgets(database), Budgets(database)]

    async def worker(budgets: Budgets) -> None:
        for _ in range(6):
            await budgets.pass_through("batch-1", (Rate(10, 1.0),))
            moments.append(time.monotonic())

    await asyncio.gather(*(worker(budgets) for budgets in both for _ in range(2)))
    for budgets in both:
        await budgets.close()

    assert len(moments) == 24
    assert fullest(moments, 0.95) <= 10
    assert max(moments) - min(moments) > 1.4


async def test_a_passage_is_waited_for_unless_the_caller_is_impatient(database: Database) -> None:
    budgets = Budgets(database)
    rates = (Rate(1, 2.0),)
    await budgets.pass_through("k", rates)
    with pytest.raises(Postponed):
        await budgets.pass_through("k", rates, patience=0.1)
    begun = time.monotonic()
    await budgets.pass_through("k", rates)
    await budgets.pass_through("another", rates)
    await budgets.close()

    assert 1.0 < time.monotonic() - begun < 15.0
    assert budgets.remaining() == {}
