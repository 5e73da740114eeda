"""The driver of schedules under clocks that jump, restarts, many machines and a database that is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from databases import BOTH

from runner.errors import Unavailable
from runner.ledger.database import Database, rows
from runner.ledger.direct import open_database
from runner.ledger.schedules import DatabaseMarks
from runner.ledger.writer import Writer
from runner.model import Accepted, Event, Flow, Trigger
from runner.triggers.clockwork import Clockwork

START = datetime(2026, 1, 5, 10, 0, 30, tzinfo=UTC)


OPENED: list[Database] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def flow_with(*schedules: Mapping[str, object], name: str = "digest") -> Flow:
    triggers = tuple(Trigger("schedule", params) for params in schedules)
    return Flow(name=name, path=f"flows/{name}.yaml", digest=name, nodes=(), triggers=triggers)


class Keeper:
    """An acceptor that keeps the first event of each key."""

    def __init__(self) -> None:
        self.kept: dict[str, Event] = {}
        self.asked: Counter[str] = Counter()
        self.away = False

    async def accept(self, flow: Flow, event: Event, key: str | None) -> Accepted:
        if self.away:
            raise Unavailable("away")
        assert key is not None
        self.asked[key] += 1
        repeated = key in self.kept
        self.kept.setdefault(key, event)
        return Accepted(key, repeated)

    @property
    def times(self) -> list[str]:
        return [f"{event.time:%H:%M}" for event in self.kept.values()]


class Machine:
    """A service with a clock of its own that a test turns."""

    def __init__(
        self,
        folder: Path,
        keeper: Keeper,
        *flows: Flow,
        now: datetime = START,
        url: str = "sqlite:///state.db",
    ) -> None:
        self.now = now
        self.flows = {flow.name: flow for flow in flows}
        self.database = open_database(url, folder)
        self.database.migrate()
        OPENED.append(self.database)
        marks = DatabaseMarks(self.database, Writer(self.database))
        self.clockwork = Clockwork(lambda: self.flows, keeper.accept, marks, clock=lambda: self.now)

    async def pass_time(self, minutes: float, step: float = 20) -> None:
        """Let time go by, with a look every ``step`` seconds."""
        until = self.now + timedelta(minutes=minutes)
        while self.now < until:
            self.now = min(until, self.now + timedelta(seconds=step))
            await self.clockwork.turn()


async def test_each_tick_fires_once_and_a_new_schedule_catches_up_nothing(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(tmp_path, keeper, flow_with({"cron": "*/10 * * * *"}))
    await machine.clockwork.turn()
    await machine.pass_time(31)

    assert keeper.times == ["10:10", "10:20", "10:30"]
    assert set(keeper.asked.values()) == {1}


@pytest.mark.parametrize(("catch_up", "times"), [("once", ["10:10", "15:10"]), ("skip", ["10:10"])])
async def test_a_restart_catches_up_as_asked(tmp_path: Path, catch_up: str, times: list[str]) -> None:
    keeper = Keeper()
    flow = flow_with({"cron": "10 * * * *", "catch_up": catch_up})
    before = Machine(tmp_path, keeper, flow)
    await before.clockwork.turn()
    await before.pass_time(15)
    after = Machine(tmp_path, keeper, flow, now=START + timedelta(hours=5, minutes=20))
    await after.clockwork.turn()
    await after.clockwork.turn()

    assert keeper.times == times


async def test_a_restart_after_a_time_that_missed_nothing_fires_nothing(tmp_path: Path) -> None:
    keeper = Keeper()
    flow = flow_with({"cron": "0 12 * * *"})
    await Machine(tmp_path, keeper, flow).clockwork.turn()
    await Machine(tmp_path, keeper, flow, now=START + timedelta(hours=1)).clockwork.turn()

    assert keeper.kept == {}


async def test_an_edited_schedule_is_a_new_one(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(tmp_path, keeper, flow_with({"cron": "0 12 * * *"}))
    await machine.clockwork.turn()
    machine.now += timedelta(hours=1)
    machine.flows = {"digest": flow_with({"cron": "30 10 * * *"})}
    await machine.clockwork.turn()

    assert keeper.kept == {}


async def test_a_clock_that_jumps_an_hour_ahead_and_back_fires_each_tick_once(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(tmp_path, keeper, flow_with({"cron": "*/10 * * * *"}))
    await machine.clockwork.turn()
    await machine.pass_time(15)
    machine.now += timedelta(hours=1)
    await machine.clockwork.turn()
    machine.now -= timedelta(hours=1)
    await machine.pass_time(70)

    assert Counter(keeper.times) == Counter(
        ["10:10", "10:20", "10:30", "10:40", "10:50", "11:00", "11:10", "11:20"]
    )


async def test_a_clock_that_jumps_an_hour_back_goes_on_at_once(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(tmp_path, keeper, flow_with({"cron": "*/10 * * * *"}))
    await machine.clockwork.turn()
    await machine.pass_time(15)
    machine.now -= timedelta(hours=1)
    await machine.pass_time(75)

    assert sorted(keeper.times) == ["09:20", "09:30", "09:40", "09:50", "10:00", "10:10", "10:20", "10:30"]


async def test_a_clock_that_was_a_year_ahead_stops_nothing(tmp_path: Path) -> None:
    keeper = Keeper()
    flow = flow_with({"cron": "0 * * * *"})
    await Machine(tmp_path, keeper, flow, now=START + timedelta(days=365)).clockwork.turn()
    machine = Machine(tmp_path, keeper, flow)
    await machine.clockwork.turn()
    await machine.pass_time(60)

    assert keeper.times == ["11:00"]


async def test_two_machines_ask_for_the_same_tick(tmp_path: Path) -> None:
    keeper = Keeper()
    flow = flow_with({"cron": "*/10 * * * *", "body": {"a": 1}})
    machines = [Machine(tmp_path / name, keeper, flow) for name in ("a", "b")]
    for machine in machines:
        await machine.clockwork.turn()
    machines[1].now += timedelta(seconds=7)
    await asyncio.gather(*(machine.pass_time(25) for machine in machines))

    assert keeper.times == ["10:10", "10:20"]
    assert set(keeper.asked.values()) == {2}


async def test_a_database_that_is_away_delays_a_tick_and_does_not_lose_it(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(tmp_path, keeper, flow_with({"cron": "*/10 * * * *"}))
    await machine.clockwork.turn()
    keeper.away = True
    await machine.pass_time(13)
    keeper.away = False
    await machine.pass_time(1)

    assert keeper.times == ["10:10"]


async def test_two_schedules_of_one_flow_at_one_time_are_two_events(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(
        tmp_path, keeper, flow_with({"cron": "10 * * * *"}, {"cron": "10 * * * *", "body": [1]})
    )
    await machine.clockwork.turn()
    await machine.pass_time(10)

    assert [event.body for event in keeper.kept.values()] == [{}, [1]]


async def test_marks_that_cannot_be_written_stop_no_schedule_and_are_written_later(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(tmp_path, keeper, flow_with({"cron": "*/10 * * * *"}))
    await machine.clockwork.turn()
    file, aside = tmp_path / "state.db", tmp_path / "aside.db"
    machine.database.close()
    file.rename(aside)
    file.mkdir()
    await machine.pass_time(10)
    file.rmdir()
    aside.rename(file)
    await machine.pass_time(10)
    after = Machine(tmp_path, keeper, flow_with({"cron": "*/10 * * * *"}), now=machine.now)
    await after.clockwork.turn()

    assert keeper.times == ["10:10", "10:20"]
    assert set(keeper.asked.values()) == {1}


@BOTH
async def test_a_machine_with_an_empty_disk_catches_up_what_all_have_missed(
    tmp_path: Path, database_url: str
) -> None:
    keeper = Keeper()
    url = database_url.replace(".flowpost/", "")
    flow = flow_with({"cron": "10 * * * *"})
    for _ in range(2):
        machine = Machine(tmp_path, keeper, flow, url=url)
        await machine.clockwork.turn()
        await machine.pass_time(15)
    late = START + timedelta(hours=5, minutes=20)
    new = Machine(tmp_path if url.startswith("sqlite") else tmp_path / "new", keeper, flow, now=late, url=url)
    await new.clockwork.turn()

    assert keeper.times == ["10:10", "15:10"]


@BOTH
async def test_the_slower_of_two_machines_does_not_put_a_mark_back(tmp_path: Path, database_url: str) -> None:
    keeper = Keeper()
    url = database_url.replace(".flowpost/", "")
    quick, slow = (Machine(tmp_path, keeper, flow_with({"cron": "10 * * * *"}), url=url) for _ in range(2))
    await slow.clockwork.turn()
    await quick.clockwork.turn()
    await quick.pass_time(75)
    slow.now += timedelta(minutes=10)
    await slow.clockwork.turn()
    with_marks = await quick.database.read(lambda connection: rows(connection, "schedules.marks"))

    assert [datetime.fromtimestamp(row["done"], UTC).hour for row in with_marks] == [11]


async def test_a_schedule_that_was_taken_out_is_new_when_it_comes_again(tmp_path: Path) -> None:
    keeper = Keeper()
    flow = flow_with({"cron": "10 * * * *"})
    machine = Machine(tmp_path, keeper, flow)
    await machine.clockwork.turn()
    machine.flows = {}
    await machine.clockwork.turn()
    after = Machine(tmp_path, keeper, flow, now=START + timedelta(hours=5))
    await after.clockwork.turn()

    assert keeper.kept == {}


async def test_a_schedule_that_is_broken_at_a_start_catches_up_when_it_is_mended(tmp_path: Path) -> None:
    keeper = Keeper()
    flow = flow_with({"cron": "10 * * * *"})
    await Machine(tmp_path, keeper, flow).clockwork.turn()
    broken = Machine(tmp_path, keeper, flow_with({"cron": "0 0 * * *"}, name="other"))
    await broken.clockwork.turn()
    mended = Machine(tmp_path, keeper, flow, now=START + timedelta(hours=5))
    await mended.clockwork.turn()

    assert keeper.times == ["14:10"]


async def test_it_runs_until_it_is_cancelled(tmp_path: Path) -> None:
    keeper = Keeper()
    machine = Machine(tmp_path, keeper, flow_with({"cron": "* * * * *"}))
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        machine.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)
        if len(keeper.kept) == 3:
            raise asyncio.CancelledError

    machine.clockwork._sleep = sleep
    with pytest.raises(asyncio.CancelledError):
        await machine.clockwork.run()

    assert keeper.times == ["10:01", "10:02", "10:03"]
    assert max(pauses) <= 1.0


async def test_a_tick_whose_body_breaks_the_body_schema_fails_and_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper()
    flow = replace(
        flow_with(
            {"cron": "10 * * * *", "body": {"list": "leads"}},
            {"cron": "20 * * * *", "body": {"email": "a@example.com"}},
        ),
        body={"type": "object", "required": ["email"]},
    )
    machine = Machine(tmp_path, keeper, flow)
    await machine.clockwork.turn()
    await machine.pass_time(25)

    assert keeper.times == ["10:20"]
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told.startswith("the tick schedule:digest:0:2026-01-05T10:10Z has failed: the body does not match")
    assert told.endswith('/email: "email" is missing')
