"""When schedules fire, across zones and changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.cron import Cron, parse_cron
from runner.model import Flow, Trigger
from runner.triggers.schedule import due, last_tick, next_tick, schedules_of, ticks

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fired(cron: str, zone: str, after: str, until: str) -> list[str]:
    found = ticks(parse_cron(cron), ZoneInfo(zone), at(after), at(until))
    return [f"{tick:%d %H:%M}" for tick in found]


def one_schedule(**params: object):  # type: ignore[no-untyped-def]
    flow = Flow(
        name="digest",
        path="f",
        digest="d",
        nodes=(),
        triggers=(Trigger("webhook", {}), Trigger("schedule", params)),
    )
    (schedule,) = schedules_of(flow)
    return schedule


@pytest.mark.parametrize(
    ("cron", "zone", "after", "tick"),
    [
        ("0 8 * * 1-5", BERLIN, "2026-01-02T07:00", "2026-01-05T07:00"),  # a Friday at eight: next is Monday
        ("0 8 * * 1-5", BERLIN, "2026-07-03T05:59:59", "2026-07-03T06:00"),
        ("*/15 * * * *", "UTC", "2026-01-01T00:00", "2026-01-01T00:15"),
        ("*/15 * * * *", "Asia/Kathmandu", "2026-01-01T00:01", "2026-01-01T00:15"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00", "2104-02-29T00:00"),
        ("0 0 31 * *", "UTC", "2026-04-01T00:00", "2026-05-31T00:00"),
        ("0 0 13 * 5", "UTC", "2026-02-10T00:00", "2026-02-13T00:00"),
        ("0 0 13 * 5", "UTC", "2026-02-13T00:00", "2026-02-20T00:00"),
        ("59 23 31 12 *", "Pacific/Kiritimati", "2025-12-31T09:58", "2025-12-31T09:59"),
        ("0 12 * * sun", "Pacific/Auckland", "2026-09-26T00:00", "2026-09-26T23:00"),
    ],
)
def test_the_next_tick(cron: str, zone: str, after: str, tick: str) -> None:
    assert next_tick(parse_cron(cron), ZoneInfo(zone), at(after)) == at(tick)


# On 29 March 2026 Berlin's clocks go from 2:00 (1:00 UTC) to 3:00.
@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["29 01:30"]),
        ("0 2 * * *", ["29 01:00"]),
        ("0 2,3 * * *", ["29 01:00"]),
        ("*/20 2 * * *", ["29 01:00", "29 01:20", "29 01:40"]),
        ("*/30 2,3 * * *", ["29 01:00", "29 01:30"]),
        ("30 3 * * *", ["29 01:30"]),
        ("30 * * * *", ["29 00:30", "29 01:30", "29 02:30"]),
        ("30 */2 * * *", ["29 01:30", "29 02:30"]),
    ],
)
def test_a_skipped_hour_loses_no_tick_and_doubles_none(cron: str, expected: list[str]) -> None:
    assert fired(cron, BERLIN, "2026-03-29T00:00", "2026-03-29T02:59") == expected


# On 25 October 2026 Berlin's clocks go from 3:00 (1:00 UTC) back to 2:00.
@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["25 00:30"]),
        ("*/20 2 * * *", ["25 00:00", "25 00:20", "25 00:40"]),
        ("0 3 * * *", ["25 02:00"]),
        ("30 * * * *", ["25 00:30", "25 01:30", "25 02:30"]),
        ("30 0-4 * * *", ["25 00:30", "25 02:30"]),
    ],
)
def test_a_doubled_hour_fires_each_wall_time_once_and_an_hourly_schedule_each_hour(
    cron: str, expected: list[str]
) -> None:
    assert fired(cron, BERLIN, "2026-10-24T23:45", "2026-10-25T02:59") == expected


@pytest.mark.parametrize(
    "zone", [BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago"]
)
@pytest.mark.parametrize("cron", ["17 2 * * *", "30 0 * * *", "0 0 * * *", "45 1 * * *", "59 23 * * *"])
def test_a_daily_schedule_fires_once_on_each_day_of_a_year(cron: str, zone: str) -> None:
    found = list(ticks(parse_cron(cron), ZoneInfo(zone), at("2026-01-01T12:00"), at("2027-01-01T12:00")))

    assert len(found) == len(set(found)) == 365
    assert len({tick.astimezone(ZoneInfo(zone)).date() for tick in found}) == 365


@settings(deadline=None, max_examples=40)
@given(
    days=st.integers(0, 1100),
    minutes=st.integers(0, 1439),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
    cron=st.sampled_from(["*/7 * * * *", "30 2 * * *", "*/30 1-3 * * *", "0 0 1 * *", "5 */6 * * 0"]),
)
def test_ticks_go_up_and_looking_back_finds_what_looking_ahead_found(
    days: int, minutes: int, zone: str, cron: str
) -> None:
    after = at("2025-01-01") + timedelta(days=days, minutes=minutes)
    fields, place = parse_cron(cron), ZoneInfo(zone)
    first = next_tick(fields, place, after)
    assert first is not None
    second = next_tick(fields, place, first)
    assert second is not None

    assert after < first < second
    assert last_tick(fields, place, after, second - timedelta(seconds=1)) == first


def test_the_event_of_a_tick_is_the_same_on_every_machine() -> None:
    schedule = one_schedule(cron="0 8 * * *", timezone=BERLIN, body={"list": "leads"})

    event = schedule.event(at("2026-07-01T06:00"))
    assert (event.type, event.body, event.time.isoformat()) == (
        "schedule",
        {"list": "leads"},
        "2026-07-01T08:00:00+02:00",
    )
    assert schedule.key(at("2026-07-01T06:00")) == "schedule:digest:1:2026-07-01T06:00Z"


@pytest.mark.parametrize(
    ("catch_up", "after", "now", "expected"),
    [
        ("once", "2026-01-01T08:00", "2026-01-01T08:59", []),
        ("once", "2026-01-01T08:00", "2026-01-01T09:00", ["01 09:00"]),
        ("once", "2026-01-01T08:00", "2026-01-01T12:30", ["01 12:00"]),
        ("once", "2026-01-01T08:00", "2026-01-01T12:01", ["01 12:00"]),
        ("once", "2025-01-01T08:00", "2026-01-01T12:30", ["01 12:00"]),
        ("skip", "2026-01-01T08:00", "2026-01-01T12:30", []),
        ("skip", "2026-01-01T08:00", "2026-01-01T12:01", ["01 12:00"]),
        ("skip", "2026-01-01T08:00", "2026-01-01T09:00", ["01 09:00"]),
    ],
)
def test_what_was_missed_fires_as_catch_up_says(
    catch_up: str, after: str, now: str, expected: list[str]
) -> None:
    schedule = one_schedule(cron="0 * * * *", catch_up=catch_up)

    assert [f"{tick:%d %H:%M}" for tick in due(schedule, at(after), at(now))] == expected


def by_definition(cron: Cron, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """The two rules, minute by minute."""
    if len(cron.hours) == 24:
        minutes = [after.replace(second=0) + timedelta(minutes=number) for number in range(1, 700)]
        return [
            tick
            for tick in minutes
            if tick <= until and fits(cron, tick.astimezone(zone).replace(tzinfo=None))
        ]
    first = after.astimezone(zone).replace(tzinfo=None, second=0) - timedelta(hours=5)
    shown = [first + timedelta(minutes=number) for number in range(1300)]
    found = {wall.replace(tzinfo=zone, fold=0).astimezone(UTC) for wall in shown if fits(cron, wall)}
    return sorted(tick for tick in found if after < tick <= until)


def fits(cron: Cron, wall: datetime) -> bool:
    on_day = wall.day in cron.days and wall.month in cron.months and wall.isoweekday() % 7 in cron.weekdays
    return on_day and wall.hour in cron.hours and wall.minute in cron.minutes


CHANGES = [
    (BERLIN, "2026-03-29T01:00"),
    (BERLIN, "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Africa/Cairo", "2026-04-23T22:00"),
    ("America/Santiago", "2026-09-06T04:00"),
]


@settings(deadline=None, max_examples=40)
@given(
    change=st.sampled_from(CHANGES),
    seconds=st.integers(0, 6 * 3600),
    cron=st.sampled_from(
        [
            "*/7 * * * *",
            "30 2 * * *",
            "*/20 1-3 * * *",
            "0 0 * * *",
            "59 23 * * *",
            "15,45 0,2,3 * * 0",
        ]
    ),
)
def test_around_a_change_of_the_clock_the_ticks_are_those_of_the_two_rules(
    change: tuple[str, str], seconds: int, cron: str
) -> None:
    zone, fields = ZoneInfo(change[0]), parse_cron(cron)
    after = at(change[1]) - timedelta(seconds=seconds)
    until = after + timedelta(hours=7)

    assert list(ticks(fields, zone, after, until)) == by_definition(fields, zone, after, until)
