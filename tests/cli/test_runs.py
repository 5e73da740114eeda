"""The history on the command line: found by flow, status and the beginning of an id; decided about by a person."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from databases import BOTH
from durable import Process, engine, event, finish, load
from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Workspace

from runner.cli.runs import STATUSES
from runner.engine import history
from runner.errors import ConfigurationError
from runner.ledger.database import Database

SUM = 'nodes:\n  - id: one\n    set: {n: "<<trigger.body.n>>"}\n'
MAIL = """
nodes:
  - id: before
    set: {a: 1}
  - id: mail
    smtp: {credential: marketing, to: bob@example.net, subject: s, body_format: text, body: hello}
    retry: {attempts: 1}
"""
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def scripted(script: dict[str, object]) -> ScriptedServer:
    return ScriptedServer(username="ann@example.com", password="correct horse", script=script)


def carry_out(workspace: Workspace, flow: str, *bodies: object) -> list[str]:
    """Accept an event a body and wait for the runs' ends."""

    async def work() -> list[str]:
        async with engine(workspace) as running:
            loaded = load(workspace, flow)
            ids = [(await running.accept(loaded, event(body), key=None)).run_id for body in bodies]
            for run_id in ids:
                await finish(running, run_id)
            return ids

    return asyncio.run(work())


def go_on(workspace: Workspace, run_id: str) -> str:
    """Start a service again and return the status that the run comes to."""

    async def work() -> str:
        async with engine(workspace) as running:
            return str((await finish(running, run_id)).status)

    return asyncio.run(work())


@pytest.fixture
def sums(workspace: Workspace) -> Workspace:
    workspace.flow("sum", SUM)
    return workspace


@pytest.fixture
def lost(workspace: Workspace) -> Iterator[tuple[Workspace, ScriptedServer, str]]:
    """A run whose message may or may not have been delivered."""
    with scripted({"DATA_END": ["drop"]}) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow("mail", MAIL)
        (run_id,) = carry_out(workspace, "mail", {})
        yield workspace, server, run_id


def test_the_statuses_are_those_of_the_history() -> None:
    assert history.STATUSES == STATUSES


def test_where_no_service_has_run_there_are_no_runs_and_no_database_is_made(sums: Workspace) -> None:
    answer = sums.call("runs", "list", "--format", "json")

    assert (answer.code, answer.json) == (0, {"runs": []})
    assert not (sums.root / ".flowpost").exists()


def test_the_list_is_a_table_of_the_newest_first(sums: Workspace) -> None:
    older, newer = carry_out(sums, "sum", {"n": 1}, {})

    answer = sums.call("runs", "list")

    head, *lines = answer.out.splitlines()
    assert answer.code == 0
    assert head.split() == ["RUN", "FLOW", "STATUS", "BEGUN", "BY", "ACCEPTED", "TOOK", "NOTE"]
    assert [line.split()[:4] for line in lines] == [
        [newer, "sum", "failed", "webhook"],
        [older, "sum", "succeeded", "webhook"],
    ]
    assert all(line.index("webhook") == head.index("BEGUN BY") for line in lines)


@BOTH
def test_the_list_is_filtered_by_flow_and_status_and_limited(sums: Workspace, database_url: str) -> None:
    sums.environ["FLOWPOST_DATABASE"] = database_url
    sums.flow("other", SUM)
    good, bad = carry_out(sums, "sum", {"n": 1}, {})
    (other,) = carry_out(sums, "other", {"n": 1})

    def listed(*arguments: str) -> list[str]:
        return [
            run["run_id"] for run in sums.call("runs", "list", "--format", "json", *arguments).json["runs"]
        ]

    assert listed() == [other, bad, good]
    assert listed("--flow", "sum") == [bad, good]
    assert listed("--status", "succeeded") == [other, good]
    assert listed("--flow", "sum", "--status", "failed") == [bad]
    assert listed("--limit", "1") == [other]
    assert listed("--limit", "1", "--before", other) == [bad]
    assert listed("--flow", "nobody") == []


def test_the_json_of_the_list_has_times_in_iso_and_the_names_of_run(sums: Workspace) -> None:
    (run_id,) = carry_out(sums, "sum", {"n": 1})

    (run,) = sums.call("runs", "list", "--format", "json").json["runs"]

    assert (run["run_id"], run["flow"], run["status"], run["unknown"]) == (run_id, "sum", "succeeded", False)
    assert all(ISO.fullmatch(run[name]) for name in ("accepted", "started", "ended"))
    assert "id" not in run


def test_show_tells_event_nodes_and_error(sums: Workspace) -> None:
    (run_id,) = carry_out(sums, "sum", {"m": "x\x1b[2J"})

    answer = sums.call("runs", "show", run_id)

    assert answer.code == 0
    assert re.search(rf"^run +{run_id}$", answer.out, re.MULTILINE)
    assert re.search(r"^status +failed$", answer.out, re.MULTILINE)
    assert re.search(r"^one +failed +1 .*\[ETEMPLATE\]$", answer.out, re.MULTILINE)
    assert "\x1b" not in answer.out


def test_show_as_json_has_the_nodes_as_run_has_them(sums: Workspace) -> None:
    (run_id,) = carry_out(sums, "sum", {"n": 7})

    shown = sums.call("runs", "show", run_id, "--format", "json").json

    assert shown["nodes"] == {
        "one": {"status": "succeeded", "attempts": 1, "output": {"n": 7}, "error": None}
    }
    assert shown["event"]["body"] == {"n": 7}
    assert (shown["run_id"], shown["deliveries"]) == (run_id, [])


@BOTH
def test_the_beginning_of_an_id_is_enough_when_it_is_unique(sums: Workspace, database_url: str) -> None:
    sums.environ["FLOWPOST_DATABASE"] = database_url
    ids = carry_out(sums, "sum", *({"n": n} for n in range(3)))

    for run_id in ids:
        for beginning in (run_id, run_id[:-8], run_id[:24].upper()):
            assert sums.call("runs", "show", beginning, "--format", "json").json["run_id"] == run_id


def test_the_beginning_of_two_ids_is_refused_with_the_newest(sums: Workspace) -> None:
    _, newest = carry_out(sums, "sum", {"n": 1}, {"n": 2})

    answer = sums.call("runs", "show", newest[:4])

    assert (answer.code, answer.out) == (2, "")
    assert "more than one run" in answer.err
    assert newest in answer.err


@pytest.mark.parametrize("verb", [["show"], ["retry"], ["cancel"], ["resolve", "--sent"]], ids=" ".join)
@pytest.mark.parametrize(
    "text", ["0190aaaa", "ffffffff-ffff-ffff-ffff-ffffffffffff", "welcome", "%", "", "0" * 99]
)
def test_a_run_that_is_not_there_is_a_mistake_with_a_hint(
    sums: Workspace, verb: list[str], text: str
) -> None:
    if text.startswith("f"):
        carry_out(sums, "sum", {"n": 1})

    answer = sums.call("runs", *verb, text)

    assert (answer.code, answer.out) == (2, "")
    assert "flowpost runs list" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--status", "done"],
        ["list", "--limit", "0"],
        ["show"],
        ["nothing"],
        ["show", "a", "--format", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_in_2(sums: Workspace, arguments: list[str]) -> None:
    assert sums.call("runs", *arguments).code == 2


def test_a_failed_run_is_tried_again_at_the_node_that_failed(workspace: Workspace) -> None:
    with scripted({"RCPT": ["550 5.1.1 nobody"]}) as server:
        workspace.settings(LOOPBACK)
        workspace.smtp("marketing", server)
        workspace.flow("mail", MAIL)
        (run_id,) = carry_out(workspace, "mail", {})

        answer = workspace.call("runs", "retry", run_id[:-4])

        assert (answer.code, answer.out) == (0, "")
        assert run_id in answer.err
        assert go_on(workspace, run_id) == "succeeded"
        assert len(server.messages) == 1


def test_a_run_that_succeeded_is_not_tried_again(sums: Workspace) -> None:
    (run_id,) = carry_out(sums, "sum", {"n": 1})

    answer = sums.call("runs", "retry", run_id)

    assert answer.code == 2
    assert "only one that failed" in answer.err


def test_a_run_that_waits_is_cancelled_once(workspace: Workspace) -> None:
    workspace.flow("sum", SUM)

    async def accept() -> str:
        async with engine(workspace) as running:
            running._durable.stop_dequeuing()
            return (await running.accept(load(workspace, "sum"), event({"n": 1}))).run_id

    run_id = asyncio.run(accept())

    answer = workspace.call("runs", "cancel", run_id, "--format", "json")
    again = workspace.call("runs", "cancel", run_id)

    assert (answer.code, answer.json) == (0, {"run_id": run_id, "status": "cancelled"})
    assert again.code == 2
    assert "has ended already" in again.err


def test_a_run_with_an_unknown_delivery_is_found_and_says_what_to_do(
    lost: tuple[Workspace, ScriptedServer, str],
) -> None:
    workspace, _, run_id = lost
    workspace.flow("sum", SUM)
    carry_out(workspace, "sum", {"n": 1})

    listed = workspace.call("runs", "list", "--unknown")
    shown = workspace.call("runs", "show", run_id)

    assert len(listed.out.splitlines()) == 2
    assert f"{run_id}  mail" in listed.out
    assert "delivery unknown" in listed.out
    assert "--sent or --resend" in listed.err
    assert re.search(r"^mail +marketing +unknown +1 .* bob@example\.net$", shown.out, re.MULTILINE)
    assert f"flowpost runs resolve {run_id}" in shown.err


def test_retry_does_not_decide_about_an_unknown_delivery(lost: tuple[Workspace, ScriptedServer, str]) -> None:
    workspace, _, run_id = lost

    answer = workspace.call("runs", "retry", run_id)

    assert answer.code == 2
    assert "runs resolve" in answer.err


@pytest.mark.parametrize(
    ("decision", "mailed_again"),
    [pytest.param("--sent", 0, id="sent"), pytest.param("--resend", 1, id="resend")],
)
def test_a_person_decides_about_an_unknown_delivery(
    lost: tuple[Workspace, ScriptedServer, str], decision: str, mailed_again: int
) -> None:
    workspace, server, run_id = lost
    mails = len(server.messages)

    answer = workspace.call("runs", "resolve", run_id, decision, "--format", "json")

    assert answer.code == 0
    assert (answer.json["run_id"], answer.json["messages"]) == (run_id, 1)
    assert go_on(workspace, run_id) == "succeeded"
    assert len(server.messages) - mails == mailed_again
    assert workspace.call("runs", "list", "--unknown", "--format", "json").json == {"runs": []}


@pytest.mark.parametrize("arguments", [[], ["--sent", "--resend"]], ids=["neither", "both"])
def test_resolve_wants_one_decision(sums: Workspace, arguments: list[str]) -> None:
    answer = sums.call("runs", "resolve", "0190aaaa", *arguments)

    assert answer.code == 2
    assert "either --sent or --resend" in answer.err


def test_a_running_service_is_asked_past_it(sums: Workspace) -> None:
    service = Process(sums, "sum", [])
    try:
        asyncio.run(_ready(service))
        assert sums.call("runs", "list", "--format", "json").json == {"runs": []}
    finally:
        service.stop()


async def _ready(service: Process) -> None:
    from durable import until

    await until(lambda: bool(service.told("ready")))


def test_a_database_that_cannot_be_reached_fails_the_command(sums: Workspace) -> None:
    sums.environ["FLOWPOST_DATABASE"] = "postgresql://flowpost:hunter2@127.0.0.1:1/none"

    answer = sums.call("runs", "list")

    assert answer.code == 1
    assert "the database does not answer [EUNAVAILABLE]" in answer.err
    assert "is PostgreSQL running at 127.0.0.1:1/none? (database in flowpost.yaml" in answer.err
    assert "hunter2" not in answer.err


@pytest.mark.parametrize(
    "url", ["postgresql://u:hunter2@127.0.0.1:abc/db", "postgresql://u:hun:ter2@h:p:q/db"]
)
def test_a_database_that_cannot_be_read_is_a_wrong_setting(url: str, sums: Workspace) -> None:
    sums.environ["FLOWPOST_DATABASE"] = url

    for command in (("runs", "list"), ("run", "sum"), ("serve",)):
        answer = sums.call(*command)

        assert (answer.code, "database: the URL cannot be read" in answer.err) == (2, True), answer.err
        assert "ter2" not in answer.err


@pytest.mark.parametrize("url", ["sqlite:///x.db?a=b", "sqlite:///:memory:", "sqlite:///"])
def test_a_sqlite_database_is_a_plain_file(url: str, sums: Workspace) -> None:
    """x.db and x.db?a=b are one file, and would have two locks."""
    sums.settings(f'database: "{url}"\n')
    assert sums.call("run", "sum").code == 2
    assert "database" in sums.call("validate").out
    with pytest.raises(ConfigurationError, match="database: a SQLite database is the name of a file"):
        Database(url, sums.root)


def test_a_file_that_is_no_database_is_named(sums: Workspace) -> None:
    sums.settings("database: sqlite:///notes.txt\n")
    sums.write("notes.txt", "not a database, and longer than its head would be\n" * 100)
    answer = sums.call("run", "sum")

    assert (answer.code, "not a SQLite database" in answer.err) == (1, True)
    assert f"the database is {sums.root / 'notes.txt'}" in answer.err
