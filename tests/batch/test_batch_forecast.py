"""What is said before the first mail: how many messages through which credential, and how long its rates make it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from batching import NEWS, contacts, prepare, rows, smtp_server, write_csv
from servers.scripted import ScriptedServer
from workspace import Workspace

BATCH = ["batch", "news", "--data", "contacts.csv"]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with smtp_server() as running:
        yield running


def told(workspace: Workspace, *options: str) -> str:
    """The line about the messages; nothing is sent, since nobody says yes."""
    answer = workspace.call(*BATCH, *options)
    return next(line for line in answer.err.splitlines() if "through ops" in line).strip()


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_the_time_is_that_of_the_credentials_rates(
    workspace: Workspace, server: ScriptedServer, options: tuple[str, ...]
) -> None:
    prepare(workspace, server, rates=["2/s", "10/min"])
    contacts(workspace, 25)
    assert told(workspace, *options) == "25 messages through ops: 2 min 3 s at 10/min"
    assert told(workspace, *options, "--rate", "5/h") == "25 messages through ops: 4 h at 5/h"


def test_what_is_used_up_of_a_quota_counts(workspace: Workspace, server: ScriptedServer) -> None:
    prepare(workspace, server, rates=["10/day"])
    contacts(workspace, 6)
    assert workspace.call(*BATCH, "--yes").code == 0
    write_csv(workspace.root / "contacts.csv", rows(4, first=7))
    assert told(workspace) == "4 messages through ops: under a second"
    write_csv(workspace.root / "contacts.csv", rows(5, first=7))
    assert told(workspace) == "5 messages through ops: 1 day at 10/day, of which 6 are used"


def test_what_is_used_up_of_the_batchs_own_rate_counts(workspace: Workspace, server: ScriptedServer) -> None:
    prepare(workspace, server)
    contacts(workspace, 12)
    rate = ("--rate", "6/h")
    assert workspace.call(*BATCH, *rate, "--limit", "6", "--yes").code == 0
    # What is used up comes back in hundredths of the window.
    assert re.fullmatch(
        r"6 messages through ops: 1 h( 1 min)? at 6/h, of which 6 are used", told(workspace, *rate)
    )
    assert told(workspace) == "6 messages through ops: no rate is set"


def test_rows_that_had_nothing_to_send_are_not_taken_off_what_is_left(
    workspace: Workspace, server: ScriptedServer
) -> None:
    prepare(workspace, server)
    workspace.flow(
        "news", NEWS.replace("    smtp:", '    when: << trigger.body.name != "Person 2" >>\n    smtp:')
    )
    contacts(workspace, 6)
    assert workspace.call(*BATCH, "--limit", "3", "--yes").code == 0
    assert told(workspace) == "3 messages through ops: no rate is set"
