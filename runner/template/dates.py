"""Dates in a mail: ``| date`` and ``.strftime``."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Any

from jinja2.runtime import Undefined

from runner.template.budget import Refused
from runner.template.values import describe, to_text

_FORMAT = re.compile(r"(?:[^%\0]|%[-_^#]?[a-zA-Z%])*")
_MAX_FORMAT = 200


def strftime(moment: Any, form: Any) -> str:
    """``moment`` in a format of strftime; no widths, which the C library would honour to any length."""
    text = to_text(form)
    if len(text) > _MAX_FORMAT or _FORMAT.fullmatch(text) is None:
        raise Refused("the format of a date is not one", 'write it like "%d.%m.%Y %H:%M"')
    try:
        found: str = moment.strftime(text)
    except (ValueError, UnicodeError):
        raise Refused("the format of a date is not one", 'write it like "%d.%m.%Y %H:%M"') from None
    return found


def to_date(value: Any, form: Any = "%Y-%m-%d", zone: Any = None) -> str:
    """``value | date(format, zone)``: of a time, an ISO 8601 text or seconds since 1970."""
    moment = _moment(value)
    if zone is not None and isinstance(moment, datetime):
        moment = moment.astimezone(_zone(zone)) if moment.tzinfo else moment.replace(tzinfo=_zone(zone))
    return strftime(moment, form)


def _moment(value: Any) -> date | time:
    from datetime import UTC

    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, date | time):
        return value
    try:
        if isinstance(value, str) and len(value) <= 64:
            text = to_text(value).strip()
            return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    if value is None or isinstance(value, str | int | float):
        raise Refused("the value is not a date", "a date is written like 2026-01-31 or 2026-01-31T08:00:00Z")
    raise Refused(f"{describe(value)} is not a date")


def _zone(name: Any) -> Any:
    from zoneinfo import ZoneInfo

    text = to_text(name)
    try:
        if not re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", text):
            raise ValueError(text)
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise Refused(f'"{text[:60]}" is not a time zone', 'write it like "Europe/Berlin"') from None
