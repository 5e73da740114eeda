"""``schedule``: when cron fields fire in a time zone. Pure.

A tick is an instant. Where the clocks change there are two rules, as in cron(8):

- A schedule for every hour (``*`` in the hour field) counts hours that pass: it goes on through a doubled hour
  and makes up nothing for a skipped one.
- Every other schedule counts what a clock on the wall shows. A time that is shown twice fires the first time only. A
  time that is skipped fires once, as much later as the clocks were put forward (2:30 at 3:30); where that is
  a tick already, the two are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo

from runner.load.cron import Cron, parse_cron
from runner.model import Event, Flow

GRACE = timedelta(seconds=90)
"""A tick that is no older than this is on time; older ones were missed."""

_DAY = timedelta(days=1)
_SHIFT = timedelta(hours=3)  # no zone puts its clocks further at once today
# From 1896 to 1904 there was no 29 February; no pair of fields waits longer.
_HORIZON = 366 * 9


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule trigger of a flow. ``identity`` changes with what it says: an edited one is a new one."""

    flow: Flow
    index: int
    cron: Cron
    zone: tzinfo
    catch_up: bool
    body: object
    identity: str = field(compare=False)

    def key(self, tick: datetime) -> str:
        """The idempotency key of a tick: the same on every machine."""
        return f"schedule:{self.flow.name}:{self.index}:{tick.astimezone(UTC):%Y-%m-%dT%H:%MZ}"

    def event(self, tick: datetime) -> Event:
        """The event of a tick: its time is the tick's, however late it fires, so that all machines agree."""
        return Event(type="schedule", body=self.body, time=tick.astimezone(self.zone))


def schedules_of(flow: Flow) -> list[Schedule]:
    """The schedules that a flow's triggers name."""
    from zoneinfo import ZoneInfo

    found = []
    for index, trigger in enumerate(flow.triggers):
        if trigger.type == "schedule":
            cron, zone = str(trigger.params["cron"]), str(trigger.params.get("timezone", "UTC"))
            found.append(
                Schedule(
                    flow=flow,
                    index=index,
                    cron=parse_cron(cron),
                    zone=ZoneInfo(zone),
                    catch_up=trigger.params.get("catch_up", "once") == "once",
                    body=trigger.params.get("body", {}),
                    identity=f"{flow.name}:{index}:{' '.join(cron.split())}:{zone}",
                )
            )
    return found


def due(schedule: Schedule, after: datetime, now: datetime) -> list[datetime]:
    """The ticks to fire at ``now`` when all up to ``after`` are dealt with.

    Those on time fire each. Of older ones ``catch_up: once`` fires the last, unless one that is on time stands
    for all; ``skip`` fires none.
    """
    on_time = list(ticks(schedule.cron, schedule.zone, max(after, now - GRACE), now))
    if on_time or not schedule.catch_up:
        return on_time
    missed = last_tick(schedule.cron, schedule.zone, after, now - GRACE)
    return [] if missed is None else [missed]


def ticks(cron: Cron, zone: tzinfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """The ticks after ``after`` up to and with ``until``, in UTC."""
    tick = next_tick(cron, zone, after)
    while tick is not None and tick <= until:
        yield tick
        tick = next_tick(cron, zone, tick)


def next_tick(cron: Cron, zone: tzinfo, after: datetime) -> datetime | None:
    """The first tick later than ``after``, in UTC; None when none comes within nine years."""
    best: datetime | None = None
    last = datetime.max  # noqa: DTZ901  (what a clock shows)
    for shown, tick in _from(cron, zone, after.astimezone(zone).replace(tzinfo=None) - _margin(zone, after)):
        if shown > last:
            break
        if tick > after:
            # A time that is skipped fires behind later ones: look a little further before this is the first.
            last = min(last, shown + _margin(zone, tick))
            best = tick if best is None else min(best, tick)
    return best


def _margin(zone: tzinfo, around: datetime) -> timedelta:
    """How far the order of wall times may differ from that of instants: not at all but near a change."""
    before, behind = (around - _SHIFT).astimezone(zone), (around + _SHIFT).astimezone(zone)
    return _SHIFT if before.utcoffset() != behind.utcoffset() else timedelta()


def last_tick(cron: Cron, zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """The last tick later than ``after`` and not later than ``until``, in UTC."""
    day = until.astimezone(zone).date()
    first = after.astimezone(zone).date() - _DAY
    while day >= first:
        found = [tick for _, tick in _of_day(cron, zone, day) if after < tick <= until]
        if found:
            return max(found)
        day -= _DAY
    return None


def _from(cron: Cron, zone: tzinfo, start: datetime) -> Iterator[tuple[datetime, datetime]]:
    """What a clock on the wall shows when it fires, from ``start`` on, and the instant."""
    day = start.date()
    for _ in range(_HORIZON):
        yield from _of_day(cron, zone, day, start)
        day += _DAY


def _of_day(
    cron: Cron, zone: tzinfo, day: date, start: datetime | None = None
) -> Iterator[tuple[datetime, datetime]]:
    if not _fits(cron, day):
        return
    minutes = sorted(cron.minutes)
    for hour in sorted(cron.hours):
        if start is not None and (day, hour) < (start.date(), start.hour):
            continue
        for minute in minutes:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            shown = local.replace(tzinfo=None)
            if start is not None and shown < start.replace(second=0, microsecond=0):
                continue
            first = local.astimezone(UTC)
            if len(cron.hours) < 24:
                yield shown, first
            elif first.astimezone(zone).replace(tzinfo=None) == shown:  # else it is skipped: nothing shows it
                yield shown, first
                second = local.replace(fold=1).astimezone(UTC)
                if second != first:
                    yield shown, second


def _fits(cron: Cron, day: date) -> bool:
    if day.month not in cron.months:
        return False
    in_month, in_week = day.day in cron.days, day.isoweekday() % 7 in cron.weekdays
    return (in_month and in_week) if cron.any_day or cron.any_weekday else (in_month or in_week)
