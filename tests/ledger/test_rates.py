"""A credential's rates, kept by several processes on one PostgreSQL, as the server sees it: every window of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from budgeted import arrivals
from test_grant import fullest

from runner.credential import Rate

pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        pytest.param(Rate(14, 1.0), 8.0, id="14 a second"),
        pytest.param(Rate(100, 1.0), 6.0, id="100 a second"),
        pytest.param(Rate(30, 10.0), 13.0, id="30 in ten seconds"),
    ],
)
def test_no_window_at_the_server_holds_more_than_the_rate_allows(
    tmp_path: Path, database_url: str, rate: Rate, seconds: float, processes: int
) -> None:
    moments = arrivals(database_url, tmp_path, [rate], processes, seconds)

    assert fullest(moments, rate.seconds) <= rate.count
    # How much of it is used depends on what else the machine does: see bench/ledger.py.
    assert len(moments) >= min(rate.count, 20) * max(1.0, seconds / rate.seconds / 3)


def test_a_server_that_takes_its_time_changes_nothing(tmp_path: Path, database_url: str) -> None:
    moments = arrivals(database_url, tmp_path, [Rate(14, 1.0)], 2, 8.0, answer="after 0.15: 250 ok")

    assert fullest(moments, 1.0) <= 14
    assert len(moments) >= 40


def test_two_rates_hold_together(tmp_path: Path, database_url: str) -> None:
    moments = arrivals(database_url, tmp_path, [Rate(10, 1.0), Rate(25, 5.0)], 2, 9.0)

    assert fullest(moments, 1.0) <= 10
    assert fullest(moments, 5.0) <= 25
    assert len(moments) >= 30


def test_what_a_killed_process_had_comes_back_and_no_window_holds_too_many(
    tmp_path: Path, database_url: str
) -> None:
    moments = arrivals(database_url, tmp_path, [Rate(14, 1.0)], 2, 15.0, kill=4.0)

    assert fullest(moments, 1.0) <= 14
    assert sum(moment > 12 for moment in moments) >= 14
