"""The rows of a batch in the ledger, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import BOTH

from runner.ledger.batches import Ours, Record, RowState, open_batch
from runner.ledger.database import Database
from runner.ledger.direct import open_database
from runner.model import Rejection

HOSTILE = 'no\0 "such" user: \u2028 ü \\u0041 \'); --'
RECORDS = {
    "an intent": Record(1, RowState.SENDING, 1),
    "sent": Record(
        1, RowState.SENT, 2, {"ann@example.com": None, 'ü"@example.com': None}, "250 2.0.0 queued"
    ),
    "one refused": Record(
        1, RowState.PENDING, 1, {"a@x.org": None, "b@x.org": Rejection("b@x.org", 450, None, HOSTILE)}
    ),
    "failed": Record(
        1, RowState.FAILED, 3, None, None, {"message": HOSTILE, "smtp_code": None, "n": [1, {}]}
    ),
    "nobody asked": Record(1, RowState.PENDING, 0, {}, ""),
}


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Iterator[Database]:
    database = open_database(database_url, tmp_path)
    database.migrate()
    yield database
    database.close()


def begun(database: Database) -> Ours:
    known = database.write(
        lambda connection: open_batch(connection, "b", flow="f", digest="d", data="x", facts={}, chunk=20)
    )
    ours = Ours(known.serial, 20, "me", dialect=database.dialect, last=None)
    database.write(ours.claim)
    return ours


@BOTH
@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_what_is_noted_of_a_row_is_read_again(opened: Database, record: Record) -> None:
    ours = begun(opened)
    opened.write(lambda connection: ours.turn(connection, [record], []))

    assert opened.write(lambda connection: ours.records(connection, 1, 20)) == {1: record}


@BOTH
def test_a_later_word_leaves_nothing_of_an_earlier_one(opened: Database) -> None:
    ours = begun(opened)
    later = Record(1, RowState.SENDING, 4)
    opened.write(lambda connection: ours.turn(connection, [RECORDS["one refused"]], []))
    opened.write(lambda connection: ours.turn(connection, [later], []))

    assert opened.write(lambda connection: ours.records(connection, 1, 20)) == {1: later}


@BOTH
def test_a_nul_in_a_servers_answer_is_left_out(opened: Database) -> None:
    ours = begun(opened)
    opened.write(lambda connection: ours.turn(connection, [Record(1, RowState.SENT, 1, {}, "250 o\0k")], []))

    assert opened.write(lambda connection: ours.records(connection, 1, 20))[1].response == "250 ok"


def test_both_ways_to_sqlite_read_what_the_other_wrote(tmp_path: Path) -> None:
    direct, pooled = open_database("sqlite:///a.db", tmp_path), Database("sqlite:///a.db", tmp_path)
    direct.migrate()
    ours = begun(direct)
    record = RECORDS["one refused"]
    pooled.write(lambda connection: ours.turn(connection, [record], []))

    assert direct.write(lambda connection: ours.records(connection, 1, 20)) == {1: record}
    direct.close()
    pooled.close()


@BOTH
def test_what_was_decided_about_unknown_rows_is_done_when_they_are_claimed_and_when_they_are_reopened(
    opened: Database,
) -> None:
    def decide(connection: object, number: int) -> RowState:
        return {1: RowState.SENT, 2: RowState.PENDING}.get(number, RowState.UNKNOWN)

    first = begun(opened)
    left = [Record(number, RowState.SENDING, 3) for number in (1, 2, 3)]
    opened.write(lambda connection: first.turn(connection, left, []))
    opened.write(first.release)
    ours = Ours(first.serial, 20, "you", dialect=opened.dialect, last=None, decide=decide)
    opened.write(lambda connection: ours.reopen(connection, []))
    claim = opened.write(ours.claim)

    assert claim is not None
    assert claim.known == {
        1: Record(1, RowState.SENT, 3, None, "resolved as sent"),
        2: Record(2, RowState.PENDING, 0),
        3: Record(3, RowState.UNKNOWN, 3),
    }
    done = [Record(number, RowState.UNKNOWN, 1) for number in range(1, 21)]
    opened.write(lambda connection: ours.turn(connection, done, [0]))
    assert opened.write(ours.open_chunks) == 0
    opened.write(lambda connection: ours.reopen(connection, []))
    assert opened.write(ours.tally) == {RowState.SENT: 1, RowState.PENDING: 1, RowState.UNKNOWN: 18}
    assert opened.write(ours.open_chunks) == 1


@BOTH
def test_of_what_a_dead_process_was_sending_the_notes_know_better(opened: Database) -> None:
    def fate(owner: str | None, number: int) -> RowState:
        assert owner == "me"
        return {1: RowState.SENT, 2: RowState.PENDING}.get(number, RowState.UNKNOWN)

    first = begun(opened)
    left = [Record(number, RowState.SENDING, 1) for number in (1, 2, 3)]
    opened.write(lambda connection: first.turn(connection, left, []))
    ours = Ours(first.serial, 20, "you", dialect=opened.dialect, last=None, fate=fate)
    opened.write(lambda connection: ours.reopen(connection, []))

    known = opened.write(lambda connection: ours.records(connection, 1, 20))
    if opened.dialect == "sqlite":
        assert [known[number].state for number in (1, 2, 3)] == [
            RowState.SENT,
            RowState.PENDING,
            RowState.UNKNOWN,
        ]
    else:
        # Whoever has them may live, on another machine.
        assert {record.state for record in known.values()} == {RowState.SENDING}
