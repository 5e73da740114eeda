"""The ledger on a real database, SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from databases import BOTH
from sqlalchemy import Connection
from test_grant import fullest

from runner.credential import Encryption, Rate, SmtpCredential
from runner.errors import (
    ConfigurationError,
    ConnectionFailed,
    DeliveryUnknown,
    EnvelopeError,
    FlowpostError,
    RateError,
    Unavailable,
)
from runner.ledger.budgets import Budgets
from runner.ledger.database import Database, execute, first, rows
from runner.ledger.deliveries import Deliveries, LedgerSender
from runner.ledger.line import Turn
from runner.ledger.postponed import Postponed
from runner.ledger.writer import Writer
from runner.model import Envelope, Outcome, Rejection

LETTER = Envelope("me@x.org", ("a@x.org", "b@x.org"))


def credential(*rates: Rate) -> SmtpCredential:
    return SmtpCredential(
        workspace="acme",
        name="ops",
        fingerprint="1",
        host="x.org",
        port=465,
        encryption=Encryption.TLS,
        rates=rates,
    )


class Carrier:
    """Answers as told, and remembers who was asked."""

    def __init__(self, *answers: Outcome | BaseException | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []
        self.look: Callable[[], object] = lambda: None
        self.seen: list[object] = []

    async def send(self, credential: SmtpCredential, envelope: Envelope, data: bytes) -> Outcome:
        self.asked.append(envelope.recipients)
        self.seen.append(self.look())
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer or Outcome(envelope.recipients, (), "250 ok")


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(database_url, tmp_path)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Writer]:
    writer = Writer(database)
    yield writer
    await writer.close()


def sender(
    writer: Writer, carrier: Carrier, *, owner: str = "one", resend: bool = False, known: bool = True
) -> LedgerSender:
    ledger = Deliveries(writer=writer, owner=owner)
    return ledger.sender(carrier, run_id="r", node="n", item=None, resend=resend, known=known)


def state(database: Database) -> str:
    found = database.write(lambda connection: first(connection, "deliveries.get", id="r/n"))
    assert found is not None
    return str(found["state"])


@BOTH
async def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()

    assert database.write(lambda connection: rows(connection, "runs.count_runs")) == []


@BOTH
async def test_the_intent_is_on_disk_before_the_message_leaves(database: Database, writer: Writer) -> None:
    carrier = Carrier()
    carrier.look = lambda: state(database)
    await sender(writer, carrier).send(credential(), LETTER, b"")

    assert carrier.seen == ["sending"]
    assert state(database) == "sent"


@BOTH
async def test_what_was_sent_is_not_sent_again_and_says_the_same(database: Database, writer: Writer) -> None:
    refused = Rejection("b@x.org", 550, "5.1.1", "gone")
    carrier = Carrier(Outcome(("a@x.org",), (refused,), "250 queued"))
    before = await sender(writer, carrier).send(credential(), LETTER, b"")
    again = await sender(writer, carrier, owner="two").send(credential(), LETTER, b"")

    assert again == before
    assert len(carrier.asked) == 1


@BOTH
async def test_a_message_cut_off_in_the_middle_is_unknown_and_held(
    database: Database, writer: Writer
) -> None:
    """The task is cancelled, as a process dies: the next one finds the intent and no outcome."""
    carrier = Carrier(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await sender(writer, carrier).send(credential(), LETTER, b"")
    for _ in range(2):
        with pytest.raises(DeliveryUnknown):
            await sender(writer, carrier, owner="two").send(credential(), LETTER, b"")

    assert state(database) == "unknown"
    assert len(carrier.asked) == 1


@BOTH
async def test_an_intent_without_an_outcome_is_unknown_though_nobody_noted_it(
    database: Database, writer: Writer
) -> None:
    await sender(writer, Carrier()).send(credential(), LETTER, b"")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET state = 'sending', recipients = '{}'")
    carrier = Carrier()
    with pytest.raises(DeliveryUnknown):
        await sender(writer, carrier, owner="two", known=False).send(credential(), LETTER, b"")
    with pytest.raises(DeliveryUnknown):
        await sender(writer, carrier, owner="two").send(credential(), LETTER, b"")

    assert state(database) == "unknown"
    assert carrier.asked == []


@BOTH
async def test_unknown_is_sent_again_where_the_flow_says_so(database: Database, writer: Writer) -> None:
    carrier = Carrier(DeliveryUnknown("lost"))
    with pytest.raises(DeliveryUnknown):
        await sender(writer, carrier).send(credential(), LETTER, b"")
    outcome = await sender(writer, carrier, resend=True).send(credential(), LETTER, b"")

    assert outcome.accepted == LETTER.recipients
    assert state(database) == "sent"


@BOTH
async def test_after_a_restart_only_the_deferred_recipient_is_asked_again(
    database: Database, writer: Writer
) -> None:
    busy = Rejection("b@x.org", 450, None, "busy")
    carrier = Carrier(Outcome(("a@x.org",), (busy,), "250 ok"))
    await sender(writer, carrier).send(credential(), LETTER, b"")
    outcome = await sender(writer, carrier, owner="two").send(credential(), LETTER, b"")

    assert carrier.asked == [LETTER.recipients, ("b@x.org",)]
    assert outcome.accepted == LETTER.recipients
    assert state(database) == "sent"


@BOTH
async def test_a_refusal_of_the_rest_after_a_restart_is_an_outcome_of_all(
    database: Database, writer: Writer
) -> None:
    busy = Rejection("b@x.org", 450, None, "busy")
    carrier = Carrier(Outcome(("a@x.org",), (busy,), "250 ok"), EnvelopeError("gone", smtp_code=550))
    await sender(writer, carrier).send(credential(), LETTER, b"")
    outcome = await sender(writer, carrier, owner="two").send(credential(), LETTER, b"")

    assert outcome.accepted == ("a@x.org",)
    assert outcome.rejected == (Rejection("b@x.org", 550, None, "gone"),)


@BOTH
@pytest.mark.parametrize(
    ("error", "left"),
    [
        (ConnectionFailed("no"), "pending"),
        (EnvelopeError("no", smtp_code=550), "failed"),
        (RuntimeError("bug"), "unknown"),
    ],
)
async def test_each_failure_leaves_the_state_that_it_earned(
    database: Database, writer: Writer, error: Exception, left: str
) -> None:
    with pytest.raises(type(error)):
        await sender(writer, Carrier(error)).send(credential(), LETTER, b"")

    assert state(database) == left


@BOTH
async def test_two_who_begin_at_once_send_once(database: Database, writer: Writer) -> None:
    slow = Carrier()
    other = Writer(database)
    asked = [
        sender(each, slow, owner=owner, known=False).send(credential(), LETTER, b"")
        for owner, each in (("one", writer), ("two", other))
    ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    await other.close()

    assert len(slow.asked) == 1
    assert sorted(type(result).__name__ for result in results) in (
        ["DeliveryUnknown", "Outcome"],
        ["Outcome", "Outcome"],
    )


@BOTH
async def test_a_process_that_others_may_think_dead_begins_nothing(
    database: Database, writer: Writer
) -> None:
    carrier = Carrier()
    ledger = Deliveries(writer=writer, owner="one", trusted=lambda: False)
    with pytest.raises(Postponed):
        await ledger.sender(carrier, run_id="r", node="n", item=1, resend=False, known=False).send(
            credential(), LETTER, b""
        )

    assert carrier.asked == []


@BOTH
async def test_one_bad_write_in_a_group_fails_alone(database: Database, writer: Writer) -> None:
    def good(connection: object) -> int:
        return execute(connection, "heartbeats.beat", owner=f"{connection!r}", node="n")  # type: ignore[arg-type]

    def bad(connection: object) -> int:
        good(connection)
        raise FlowpostError("no")

    results = await asyncio.gather(*map(writer.write, (good, bad, good)), return_exceptions=True)

    assert [type(result).__name__ for result in results] == ["int", "FlowpostError", "int"]


async def leave(claimed: Awaitable[Turn | None]) -> float:
    """A message that claims a turn, and whose answer comes at once: its moment."""
    turn = await claimed
    assert turn is not None
    await turn.begin()
    moment = time.monotonic()
    turn.over()
    return moment


@BOTH
async def test_a_pace_is_shared_and_kept_by_two_processes(database: Database) -> None:
    """Two processes' worth of budgets, each with its own view of the clock."""
    sent: list[float] = []
    rate = Rate(40, 1.0)
    ends = time.monotonic() + 3.0

    async def worker(budgets: Budgets) -> None:
        while time.monotonic() < ends:
            sent.append(await leave(budgets.claim(credential(rate))))

    both = [Budgets(database), Budgets(database)]
    await asyncio.gather(*(worker(budgets) for budgets in both for _ in range(20)))
    for budgets in both:
        await budgets.close()

    assert len(sent) >= 0.5 * 40 * 3
    assert (
        fullest(sent, 1.0) <= 41
    )  # one more where the loop of a busy machine was late by more than its share


@BOTH
async def test_a_quota_that_is_used_up_postpones(database: Database) -> None:
    budgets = Budgets(database)
    for _ in range(3):
        await leave(budgets.claim(credential(Rate(3, 3600.0))))
    with pytest.raises(Postponed) as later:
        await leave(budgets.claim(credential(Rate(3, 3600.0))))

    assert 3500 < later.value.seconds < 3700
    assert budgets.remaining() == {"ops": 0}


@BOTH
async def test_a_run_that_may_not_wait_hears_erate(database: Database) -> None:
    budgets = Budgets(database, may_wait=False)
    await leave(budgets.claim(credential(Rate(1, 3600.0))))
    with pytest.raises(RateError, match='"ops" is used up'):
        await leave(budgets.claim(credential(Rate(1, 3600.0))))


@BOTH
async def test_those_who_are_postponed_come_back_one_after_the_other(database: Database) -> None:
    budgets = Budgets(database)
    slow = credential(Rate(1, 1.0))
    results = await asyncio.gather(*(leave(budgets.claim(slow)) for _ in range(20)), return_exceptions=True)
    seconds = [result.seconds for result in results if isinstance(result, Postponed)]

    assert len(seconds) >= 12
    assert all(0.9 < later - sooner < 1.2 for sooner, later in itertools.pairwise(seconds))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable):
        Database("sqlite:///a/b.db", tmp_path).migrate()


async def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    database = Database("sqlite:///state.db", tmp_path)
    database.migrate()
    with database.engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def fill(connection: object) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")  # type: ignore[attr-defined]
        for number in range(1000):
            execute(connection, "heartbeats.beat", owner=f"{number}" * 100, node="n" * 1000)  # type: ignore[arg-type]

    writer = Writer(database)
    with pytest.raises(Unavailable, match="the disk is full"):
        await writer.write(fill)

    def lift(connection: object) -> int:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")  # type: ignore[attr-defined]
        return execute(connection, "heartbeats.beat", owner="a", node="n")  # type: ignore[arg-type]

    assert await writer.write(lift) == 1
    await writer.close()


def test_another_kind_of_database_is_a_finding_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither sqlite"):
        Database("mysql://x/y", tmp_path)


async def test_writes_of_one_commit_may_end_in_something_that_is_done_once(writer: Writer) -> None:
    done: list[list[int]] = []

    def work(connection: Connection, number: int) -> int:
        if number == 13:
            raise ValueError("this one is wrong")
        return number

    def together(connection: Connection, numbers: list[int]) -> None:
        done.append(numbers)

    numbers = [0, 1, 2, 13, 4]
    writes = [writer.write(partial(work, number=number), together) for number in numbers[:3]]
    first = await asyncio.gather(*writes, writer.write(lambda connection: None))
    shared = list(done)
    done.clear()
    second = await asyncio.gather(
        *(writer.write(partial(work, number=number), together) for number in numbers), return_exceptions=True
    )

    assert first == [0, 1, 2, None]
    assert shared == [[0, 1, 2]]
    assert [isinstance(each, ValueError) for each in second] == [False, False, False, True, False]
    assert sorted(done) == [[0], [1], [2], [4]]
