"""Five cron fields as sets of numbers: minute, hour, day of month, month, day of week."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    "month": {name: number for number, name in enumerate(_MONTHS, 1)},
    "day of week": {name: number for number, name in enumerate(_DAYS)},
}
_LONGEST_MONTH = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
_PART = re.compile(r"(?P<first>\*|[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?(?:/(?P<step>\d{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cron:
    """When a schedule fires. Sunday is 0.

    ``any_day`` and ``any_weekday`` tell whether the field was ``*``: when neither was, a day that fits one of
    the two fits (POSIX crontab).
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool


def parse_cron(text: str) -> Cron:
    """The schedule that ``text`` means; ValueError that says which field is wrong, or that it never fires."""
    fields = text.lower().split()
    if len(fields) != len(_FIELDS):
        count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        raise ValueError(
            f'"{text}" has {count}, expected five: minute, hour, day of month, month, day of week'
        )
    sets = [_field(field, *bounds) for field, bounds in zip(fields, _FIELDS, strict=True)]
    cron = Cron(
        minutes=sets[0],
        hours=sets[1],
        days=sets[2],
        months=sets[3],
        weekdays=frozenset(day % 7 for day in sets[4]),
        any_day=fields[2].startswith("*"),
        any_weekday=fields[4].startswith("*"),
    )
    if cron.any_weekday and not any(min(cron.days) <= _LONGEST_MONTH[month] for month in cron.months):
        raise ValueError(f'"{text}" never fires: no such month has such a day')
    return cron


def _field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f'"{part}" is not a {name} from {low} to {high}')
        step = 1 if match["step"] is None else int(match["step"])
        if step == 0:
            raise ValueError(f'"{part}" steps by 0 for the {name}')
        # One round is meant by whoever writes it (``0 */24 * * *`` is daily); more than that is a mistake. Sunday is
        # 0 and 7, so that a week has one day less than its field has numbers.
        most = high - low + 1 - (name == "day of week")
        if step > most:
            raise ValueError(f'"{part}" steps by {step} for the {name}, {most} at most')
        if match["first"] == "*":
            if match["last"] is not None:
                raise ValueError(f'"{part}" is not a {name} from {low} to {high}')
            first, last = low, high
        else:
            first = _number(match["first"], name, low, high)
            last = first
            if match["last"] is not None:
                last = _number(match["last"], name, low, high)
            elif match["step"] is not None:
                last = high
        if name == "day of week" and last < first and last == 0:
            last = 7
        if last < first:
            raise ValueError(f'"{part}" runs backwards for the {name}')
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str, low: int, high: int) -> int:
    number = _NAMES.get(name, {}).get(text)
    if number is None and text.isdigit() and len(text) <= 4:
        number = int(text)
    if number is None or not low <= number <= high:
        raise ValueError(f'"{text}" is not a {name} from {low} to {high}')
    return number
