"""Which of the runs that were under way at a process's death is the one that kills it.

All of them are suspects, and most are innocent. A run that ends a node is cleared. One that was there at two deaths
without having got on goes with few other suspects from then on, the next time behind all others; after two more
deaths nobody else is let in beside it. Two deaths with nobody beside it convict it. So one that kills its process has
six tries, and an innocent one would have to meet four chance deaths in its own turns, two of them while it is alone,
without ending one node in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from runner.engine.durable import Queue, Way
from runner.engine.values import dump
from runner.errors import FlowpostError
from runner.ledger.database import execute, first, rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

SUSPECT = 2
"""Deaths after which a run goes with few others."""
ALONE = 4
"""Deaths after which it goes with nobody beside it."""
PROOFS = 2
"""Deaths with nobody beside it that convict it."""
MOST = 20
"""Deaths that convict it anyway: where others take long, it never is alone."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is held against a run: deaths since it last got on, those of them while it was alone, and how far it had
    got (ended nodes and items).
    """

    deaths: int = 0
    alone: int = 0
    progress: int = 0


class Verdict(Enum):
    """What becomes of a run whose process died."""

    AGAIN = auto()
    IN_TURN = auto()
    ALONE = auto()
    GIVEN_UP = auto()


def judge(before: Record, progress: int, company: int) -> tuple[Record, Verdict]:
    """The run's new record and what follows. ``company``: how many runs the process carried, this one included."""
    held = before if before.progress == progress else Record(progress=progress)
    proof = held.deaths >= ALONE and company == 1
    record = Record(held.deaths + 1, held.alone + proof, progress)
    if record.alone >= PROOFS or record.deaths >= MOST:
        return record, Verdict.GIVEN_UP
    if record.deaths >= ALONE:
        return record, Verdict.ALONE
    return record, Verdict.IN_TURN if record.deaths >= SUSPECT else Verdict.AGAIN


def owners(connection: Connection) -> set[str]:
    """Every process that has runs under way."""
    return {row["owner"] for row in rows(connection, "deaths.owners")}


def bury(connection: Connection, dead: Iterable[str], queue: Queue) -> dict[Verdict, int]:
    """Judge what the ``dead`` processes were carrying; how many came to which verdict.

    Those who go on as before are left to DBOS, which still has their leg.
    """
    found = dict.fromkeys(Verdict, 0)
    for owner in dead:
        victims = rows(connection, "deaths.victims", owner=owner)
        for row in victims:
            found[_bury(connection, row["id"], row["leg"], len(victims), queue)] += 1
    execute(connection, "deaths.clear")
    return found


def _bury(connection: Connection, run_id: str, leg: int, company: int, queue: Queue) -> Verdict:
    row = first(connection, "deaths.record", run_id=run_id)
    assert row is not None
    before = Record() if row["deaths"] is None else Record(row["deaths"], row["alone"], row["progress"])
    record, verdict = judge(before, row["reached"], company)
    if verdict is Verdict.GIVEN_UP:
        error = FlowpostError(
            f"given up: the process died {record.deaths} times during this run",
            hint="see the log; flowpost runs retry begins it again",
        )
        # What it was sending is for a person to decide about, though no node says so.
        execute(connection, "deliveries.hold_run", run_id=run_id)
        execute(connection, "runs.fail_run", id=run_id, leg=leg, error=dump(error.as_dict()))
        return verdict
    values = {"deaths": record.deaths, "alone": record.alone, "progress": record.progress}
    execute(connection, "deaths.note", run_id=run_id, **values)
    if verdict is not Verdict.AGAIN:
        # A leg of another number: the one that DBOS has ends at once, having nothing to carry any more.
        following = first(connection, "deaths.next_leg", id=run_id)
        assert following is not None
        way = Way.ALONE if verdict is Verdict.ALONE else Way.IN_TURN
        queue.put(connection, run_id, following["leg"], way=way)
    return verdict
