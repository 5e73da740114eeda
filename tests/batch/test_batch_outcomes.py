"""What servers answer, and what becomes of the row: refused, later, unknown, everybody waits, all stops."""

from __future__ import annotations

import time
from email import message_from_bytes
from pathlib import Path

import pytest
from batching import (
    NEWS,
    addresses,
    arrived,
    contacts,
    lines,
    prepare,
    smtp_server,
    statuses,
    to,
    with_a_second,
)
from servers.scripted import ScriptedServer
from workspace import Workspace

ONCE = ["batch", "news", "--data", "contacts.csv", "--yes", "--format", "json", "--report", "report.ndjson"]


@pytest.fixture(params=["alone", "second"], autouse=True)
def processes(request: pytest.FixtureRequest, workspace: Workspace) -> None:
    if request.param == "second":
        with_a_second(workspace)


def report(workspace: Workspace) -> Path:
    return workspace.root / "report.ndjson"


def ready(workspace: Workspace, server: ScriptedServer, number: int, **advanced: object) -> Workspace:
    prepare(workspace, server, **advanced)
    contacts(workspace, number)
    return workspace


def test_a_row_that_is_refused_for_good_fails_and_the_others_go_on(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": ["550 5.1.1 no such user"]}) as server:
        answer = ready(workspace, server, 5).call(*ONCE)
        assert answer.code == 1
        assert (answer.json["sent"], answer.json["failed"]) == (4, 1)
        failed = next(line for line in lines(report(workspace)) if line["status"] == "failed")
        assert failed["error"]["code"] == "EENVELOPE"
        assert failed["rejected"][0]["code"] == 550


def test_a_row_that_failed_is_tried_again_only_when_asked_to(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": ["550 5.1.1 no such user"]}) as server:
        first = ready(workspace, server, 5).call(*ONCE)
        assert "--retry-failed" in first.err
        again = workspace.call(*ONCE)
        assert (again.code, again.json["sent"], again.json["failed"]) == (1, 0, 1)
        assert sum(to(server).values()) == 4
        retried = workspace.call(*ONCE, "--retry-failed")
        assert (retried.code, retried.json["sent"], retried.json["already_sent"]) == (0, 1, 4)
        assert to(server) == dict.fromkeys(addresses(5), 1)


def test_a_row_that_is_greylisted_comes_later_and_holds_nobody_up(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": ["450 4.2.0 greylisted"]}) as server:
        answer = ready(workspace, server, 30, max_connections=2).call(*ONCE)
        assert answer.code == 0, answer.err
        assert to(server) == dict.fromkeys(addresses(30), 1)
        assert [line["attempts"] for line in lines(report(workspace))].count(2) == 1
        # It was the first to be asked about, and others arrived while it waited.
        late = next(line["row"] for line in lines(report(workspace)) if line["attempts"] == 2)
        assert server.received[0].recipients != [f"c{late}@example.net"]


def test_a_row_that_is_put_off_each_time_fails_at_last(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": "450 4.2.0 later"}) as server:
        answer = ready(workspace, server, 2).call(*ONCE)
        assert (answer.code, answer.json["failed"]) == (1, 2)
        assert {line["attempts"] for line in lines(report(workspace))} == {3}


def test_of_several_recipients_each_has_an_outcome_of_its_own(workspace: Workspace) -> None:
    with smtp_server(script={"RCPT": ["250 ok", "450 4.2.0 later", "550 5.1.1 never", "250 ok"]}) as server:
        prepare(workspace, server)
        workspace.flow(
            "news",
            NEWS.replace(
                "to: <<trigger.body.name>> <<<trigger.body.email>>>", "to: << trigger.body.to >>"
            ).replace("    name: {type: string}\n", "    name: {type: string}\n    to: {type: array}\n"),
        )
        row = '{"email": "x@example.net", "name": "X", "to": ["a@example.net", "b@example.net", "c@example.net"]}'
        workspace.write("contacts.ndjson", row + "\n")
        answer = workspace.call(
            "batch", "news", "--data", "contacts.ndjson", "--yes", "--report", "report.ndjson"
        )
        assert answer.code == 0, answer.err
        assert to(server) == {"a@example.net": 1, "b@example.net": 1}
        line = lines(report(workspace))[0]
        assert line["accepted"] == ["a@example.net", "b@example.net"]
        assert [each["address"] for each in line["rejected"]] == ["c@example.net"]
        assert line["attempts"] == 2


def test_a_row_whose_reply_was_lost_is_unknown_and_not_mailed_again_on_its_own(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["ok", "drop"]}) as server:
        answer = ready(workspace, server, 6, max_connections=1).call(*ONCE)
        assert (answer.code, answer.json["sent"], answer.json["unknown"]) == (1, 5, 1)
        assert "--resend-unknown" in answer.err
        assert "--unknown-sent all" in answer.err
        again = workspace.call(*ONCE)
        assert (again.code, again.json["unknown"], again.json["already_sent"]) == (1, 1, 5)
        assert arrived(server) == dict.fromkeys(addresses(6), 1)


def test_an_unknown_row_is_mailed_again_when_asked_to(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["ok", "drop"]}) as server:
        ready(workspace, server, 6, max_connections=1).call(*ONCE)
        answer = workspace.call(*ONCE, "--resend-unknown")
        assert (answer.code, answer.json["sent"], answer.json["already_sent"]) == (0, 1, 5)
        assert sum(arrived(server).values()) == 7


def test_unknown_rows_that_are_known_to_have_arrived_count_as_sent(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["ok", "drop", "ok", "drop", "ok", "drop"]}) as server:
        first = ready(workspace, server, 8, max_connections=1).call(*ONCE)
        assert (first.code, first.json["unknown"]) == (1, 3)
        unknown = [row for row, status in statuses(report(workspace)).items() if status == "unknown"]
        came = arrived(server)
        answer = workspace.call(*ONCE, "--unknown-sent", f"{unknown[0]},{unknown[2]}")
        assert (answer.code, answer.json["already_sent"], answer.json["unknown"]) == (1, 7, 1)
        assert arrived(server) == came
        assert workspace.call(*ONCE, "--unknown-sent", "all").code == 0
        assert workspace.call(*ONCE).json["already_sent"] == 8
        assert arrived(server) == came
        line = next(line for line in lines(report(workspace)) if line["row"] == unknown[1])
        assert (line["status"], line["response"], line["error"]) == ("already_sent", "resolved as sent", None)


def test_of_unknown_rows_some_may_have_arrived_and_the_others_are_mailed_again(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["ok", "drop", "ok", "drop"]}) as server:
        ready(workspace, server, 6, max_connections=1).call(*ONCE)
        unknown = [row for row, status in statuses(report(workspace)).items() if status == "unknown"]
        answer = workspace.call(*ONCE, "--unknown-sent", str(unknown[0]), "--resend-unknown")
        assert (answer.code, answer.json["sent"], answer.json["already_sent"]) == (0, 1, 5)
        assert arrived(server) == {**dict.fromkeys(addresses(6), 1), f"c{unknown[1]}@example.net": 2}
        assert "--resend-unknown" not in answer.err


@pytest.mark.parametrize("rows", ["0", "3-2", "a", "", "1,,2", "-1", "1-", "٣", "9" * 20])
def test_what_names_no_rows_is_a_mistake_of_the_command(workspace: Workspace, rows: str) -> None:
    with smtp_server() as server:
        answer = ready(workspace, server, 1).call(*ONCE, f"--unknown-sent={rows}")
        assert answer.code == 2
        assert "names no rows" in answer.err
        assert not server.received


def test_the_report_names_the_messages_of_unknown_rows_that_stood_before(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["ok", "drop"]}) as server:
        ready(workspace, server, 3, max_connections=1).call(*ONCE)
        workspace.call(*ONCE)
        line = next(line for line in lines(report(workspace)) if line["status"] == "unknown")
        mail = next(mail for mail in server.received if f"c{line['row']}@example.net" in mail.recipients)
        assert [str(message_from_bytes(mail.data)["Message-ID"])] == line["message_ids"]


def test_a_flow_may_say_that_unknown_messages_are_sent_again(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["ok", "drop"]}) as server:
        ready(workspace, server, 4, max_connections=1)
        workspace.flow("news", NEWS.replace("    retry:", "      on_unknown: resend\n    retry:"))
        answer = workspace.call(*ONCE)
        assert (answer.code, answer.json["sent"]) == (0, 4)
        assert sum(arrived(server).values()) == 5


def test_a_refused_login_stops_the_batch_at_once_and_no_row_is_lost(workspace: Workspace) -> None:
    with smtp_server(script={"AUTH": ["535 5.7.8 wrong password"]}) as server:
        answer = ready(workspace, server, 40).call(*ONCE)
        assert answer.code == 1
        assert "Authentication failed" in answer.err
        assert "go on with" in answer.err
        assert (answer.json["sent"], answer.json["failed"], answer.json["unknown"]) == (0, 0, 0)
        assert len([1 for each in server.connections if any("AUTH" in line for line in each.commands)]) == 1
        assert workspace.call(*ONCE).json["sent"] == 40
        assert to(server) == dict.fromkeys(addresses(40), 1)


def test_a_login_refused_in_the_middle_stops_it_with_what_was_sent_kept(workspace: Workspace) -> None:
    script = {"AUTH": ["ok", "535 5.7.8 wrong password"]}
    with smtp_server(script=script) as server:
        answer = ready(workspace, server, 12, max_connections=1, max_messages=5).call(*ONCE)
        assert (answer.code, answer.json["sent"]) == (1, 5)
        assert workspace.call(*ONCE).json == {**answer.json, **workspace.call(*ONCE).json} | {
            "sent": 7,
            "already_sent": 5,
            "seconds": pytest.approx(0, abs=60),
        }
        assert to(server) == dict.fromkeys(addresses(12), 1)


@pytest.mark.parametrize("code", ["421 4.3.2 too busy", "432 4.7.12 later", "454 4.7.0 throttled"])
def test_a_server_that_asks_for_less_slows_everybody_down(workspace: Workspace, code: str) -> None:
    with smtp_server(script={"MAIL": [code]}) as server:
        begun = time.monotonic()
        answer = ready(workspace, server, 10, max_connections=2).call(*ONCE)
        assert answer.code == 0, answer.err
        assert time.monotonic() - begun > 1.0
        assert to(server) == dict.fromkeys(addresses(10), 1)


def test_connections_that_break_before_the_message_cost_no_row(workspace: Workspace) -> None:
    with smtp_server(script={"MAIL": ["ok", "drop", "drop", "ok", "reset"]}) as server:
        answer = ready(workspace, server, 20, max_connections=2).call(*ONCE)
        assert answer.code == 0, answer.err
        assert to(server) == dict.fromkeys(addresses(20), 1)
        assert set(statuses(report(workspace)).values()) == {"sent"}


def test_a_server_that_is_not_there_stops_it_and_says_how_to_go_on(workspace: Workspace) -> None:
    with smtp_server() as server:
        ready(workspace, server, 3)
    answer = workspace.call(*ONCE)
    assert answer.code == 1
    assert "Cannot connect" in answer.err
    assert "go on with" in answer.err
    assert (answer.json["failed"], answer.json["unknown"]) == (0, 0)


def test_a_rate_of_the_command_is_kept(workspace: Workspace) -> None:
    with smtp_server() as server:
        ready(workspace, server, 21)
        begun = time.monotonic()
        answer = workspace.call(*ONCE, "--rate", "10/s")
        assert answer.code == 0, answer.err
        assert time.monotonic() - begun > 1.9
        assert "at 10/s" in answer.err


def test_a_rate_of_the_credential_is_kept(workspace: Workspace) -> None:
    with smtp_server() as server:
        ready(workspace, server, 21, rates=["10/s", "500/day"])
        begun = time.monotonic()
        assert workspace.call(*ONCE).code == 0
        assert time.monotonic() - begun > 1.9
