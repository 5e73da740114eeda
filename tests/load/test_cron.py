"""Cron fields become sets of numbers, and what can never fire is refused."""

from __future__ import annotations

import pytest

from runner.load.cron import parse_cron


def test_every_field_is_read() -> None:
    cron = parse_cron("*/20 8-18/5 1,15 jan-MAR mon,5-7")

    assert cron.minutes == {0, 20, 40}
    assert cron.hours == {8, 13, 18}
    assert cron.days == {1, 15}
    assert cron.months == {1, 2, 3}
    assert cron.weekdays == {1, 5, 6, 0}
    assert (cron.any_day, cron.any_weekday) == (False, False)


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [
        ("0 0 * * 0", {0}),
        ("0 0 * * 7", {0}),
        ("0 0 * * sat-sun", {6, 0}),
        ("0 0 * * 5-7", {5, 6, 0}),
        ("0 0 * * 4/2", {4, 6}),
    ],
)
def test_sunday_is_0_and_7(text: str, weekdays: set[int]) -> None:
    assert parse_cron(text).weekdays == weekdays


@pytest.mark.parametrize(
    "text", ["*/59 * * * *", "0 */23 * * *", "0 0 */30 * *", "0 0 1 */11 *", "0 0 * * */6"]
)
def test_the_largest_step_meets_two_numbers(text: str) -> None:
    cron = parse_cron(text)

    assert 2 in {len(each) for each in (cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays)}


def test_a_step_of_a_whole_round_is_once_a_round() -> None:
    cron = parse_cron("*/60 */24 */31 */12 */7")

    assert (cron.minutes, cron.hours, cron.days, cron.months) == ({0}, {0}, {1}, {1})
    assert len(cron.weekdays) == 1


def test_a_number_with_a_step_goes_on_to_the_end() -> None:
    assert parse_cron("50/3 * * * *").minutes == {50, 53, 56, 59}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("* * * * * *", "6 fields"),
        ("@daily", "1 field,"),
        ("60 * * * *", '"60" is not a minute from 0 to 59'),
        ("* 24 * * *", '"24" is not a hour from 0 to 23'),
        ("* * 0 * *", '"0" is not a day of month'),
        ("* * * 13 *", '"13" is not a month'),
        ("* * * * 8", '"8" is not a day of week'),
        ("* * * foo *", '"foo" is not a month'),
        ("mon * * * *", '"mon" is not a minute'),
        ("5-1 * * * *", "runs backwards"),
        ("*/0 * * * *", "steps by 0"),
        ("*/61 * * * *", "steps by 61 for the minute, 60 at most"),
        ("0 */25 * * *", "steps by 25 for the hour, 24 at most"),
        ("0 0 1/32 * *", "steps by 32 for the day of month, 31 at most"),
        ("0 0 1 */13 *", "steps by 13 for the month, 12 at most"),
        ("0 0 * * 0-7/8", "steps by 8 for the day of week, 7 at most"),
        ("1,,2 * * * *", '"" is not a minute'),
        ("-1 * * * *", "is not a minute"),
        ("1- * * * *", "is not a minute"),
        ("*-5 * * * *", "is not a minute"),
        ("1.5 * * * *", "is not a minute"),
        ("١ * * * *", "is not a minute"),
        ("0 0 31 4,6 *", "never fires"),
        ("0 0 30 2 *", "never fires"),
        ("99999999999 * * * *", "is not a minute"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", "\\(")):
        parse_cron(text)


def test_a_day_that_only_leap_years_have_fires() -> None:
    assert parse_cron("0 0 29 2 *").days == {29}


def test_a_day_that_never_comes_fires_when_a_weekday_does() -> None:
    assert parse_cron("0 0 31 2 1").weekdays == {1}
