"""Budgets on a real database: who waits, who is sent away, what is shared."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from databases import BOTH
from test_grant import fullest
from test_ledger_database import database as database
from test_ledger_database import leave

from runner.credential import Rate
from runner.ledger.budgets import Budgets
from runner.ledger.database import Database
from runner.ledger.line import Line
from runner.ledger.postponed import Postponed


@BOTH
async def test_a_rate_that_is_no_credentials_is_shared_by_its_key(database: Database) -> None:
    moments: list[float] = []
    both = [Budgets(database), Budgets(database)]

    async def worker(budgets: Budgets) -> None:
        for _ in range(6):
            moments.append(await leave(budgets.claim_passage("batch-1", (Rate(10, 1.0),))))

    await asyncio.gather(*(worker(budgets) for budgets in both for _ in range(2)))
    for budgets in both:
        await budgets.close()

    assert len(moments) == 24
    assert fullest(moments, 0.95) <= 10
    assert max(moments) - min(moments) > 1.4


async def test_a_passage_is_waited_for_unless_the_caller_is_impatient(database: Database) -> None:
    budgets = Budgets(database)
    rates = (Rate(1, 2.0),)
    await leave(budgets.claim_passage("k", rates))
    with pytest.raises(Postponed):
        await leave(budgets.claim_passage("k", rates, patience=0.1))
    begun = time.monotonic()
    await leave(budgets.claim_passage("k", rates))
    await leave(budgets.claim_passage("another", rates))
    await budgets.close()

    assert 1.0 < time.monotonic() - begun < 15.0
    assert budgets.remaining() == {}


@BOTH
async def test_a_turn_is_out_until_it_is_over_and_a_window_longer(database: Database) -> None:
    budgets, loop = Budgets(database), asyncio.get_running_loop()
    rates = (Rate(2, 1.0),)
    turns = [await budgets.claim_passage("k", rates) for _ in range(2)]
    third = asyncio.create_task(budgets.claim_passage("k", rates))
    await asyncio.sleep(1.5)
    waiting = not third.done()
    for turn in turns:
        assert turn is not None
        await turn.begin()
        turn.over()
    over = loop.time()
    last = await third
    assert last is not None
    await last.begin()
    took = loop.time() - over
    await budgets.close()

    assert waiting
    assert 0.95 < took < 5.0


async def test_a_turn_that_nobody_keeps_is_over(database: Database) -> None:
    budgets = Budgets(database)
    for _ in range(3):
        async with asyncio.timeout(10):
            await budgets.claim_passage("k", (Rate(1, 1.0),))
    await budgets.close()


async def test_a_caller_who_goes_away_leaves_the_turn_to_the_next(database: Database) -> None:
    budgets = Budgets(database)
    rates = (Rate(1, 2.0),)
    await leave(budgets.claim_passage("k", rates))
    gone = asyncio.create_task(leave(budgets.claim_passage("k", rates)))
    begun = time.monotonic()
    next_ = asyncio.create_task(leave(budgets.claim_passage("k", rates)))
    await asyncio.sleep(0.1)
    gone.cancel()
    await next_
    await budgets.close()

    assert time.monotonic() - begun < 3.9, "the second window, had the turn gone with who left"


async def test_a_process_that_is_gone_gives_its_turns_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had all of them under way when it died: nothing of it is told any more."""
    monkeypatch.setattr("runner.ledger.line.GONE", 1.5)
    rates = (Rate(3, 1.0),)
    dead, living = Budgets(database), Budgets(database)
    turns = [await dead.claim_passage("k", rates) for _ in range(3)]
    for line in dead._passages.values():
        assert line._task is not None
        line._task.cancel()
        monkeypatch.setattr(line, "_go_on", lambda: None)
    begun = time.monotonic()
    await leave(living.claim_passage("k", rates))
    took = time.monotonic() - begun
    await living.close()

    assert len(turns) == 3
    assert 1.9 < took < 10


async def test_who_waited_for_a_connection_counts_from_when_it_had_one(database: Database) -> None:
    """What an answer takes at least would else be unknown, and each turn come back later by as much."""
    line = Line(database, "k", (Rate(100, 1.0),), connections=1)
    turns = [await line.turn(5.0) for _ in range(4)]
    for turn in turns:
        await turn.begin()
    turns.pop(1).over()  # it gave up while it waited
    ends = [time.monotonic()]
    for turn in turns:
        await asyncio.sleep(0.2)
        ends.append(time.monotonic())
        turn.over()
    gave_up, first, *others = line._took
    await line.close()

    assert gave_up == 0.0
    assert first >= 0.2
    assert [round(took, 2) for took in others] == [
        pytest.approx(end - before, abs=0.05) for before, end in pairwise(ends[1:])
    ]
