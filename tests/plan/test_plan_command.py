"""``flowpost plan``: who gets what, how many, through which credential, how long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gitspace import LOGIN, SERVER
from workspace import Workspace

from runner.credential import Rate
from runner.ledger.grant import interval

FLOW = """
body:
  type: object
  required: [email, name]
  properties:
    email: {type: string, format: email}
    name: {type: string}
    number: {type: integer}
nodes:
  - id: greet
    when: << trigger.body.number is not defined or trigger.body.number != 13 >>
    smtp:
      credential: main
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      bcc: archive@example.com
      subject: Hi <<trigger.body.name>>
      body_format: text
      body: "You are number <<trigger.body.number | default(0)>>."
"""


@pytest.fixture
def space(workspace: Workspace) -> Workspace:
    workspace.flow("welcome", FLOW)
    workspace.credential(
        "main",
        {
            "server": SERVER,
            "auth": LOGIN,
            "advanced": {"rates": ["10/s", "500/day"]},
            "sender": {"default_from": "Acme <post@acme.com>"},
        },
    )
    return workspace


def rows(space: Workspace, *lines: str, header: str = "email,name,number") -> str:
    space.write("rows.csv", "\n".join([header, *lines]) + "\n")
    return "rows.csv"


def many(space: Workspace, count: int) -> str:
    return rows(space, *(f"p{number}@example.com,P {number},{number}" for number in range(1, count + 1)))


def test_messages_are_counted_and_priced_by_credential(space: Workspace) -> None:
    answer = space.call("plan", "welcome", "--data", many(space, 30), "--format", "json")

    assert (answer.code, answer.err) == (0, "")
    plan = answer.json
    assert plan["rows"] == {"total": 30, "silent": 1, "bad": 0, "repeated": 0}
    [credential] = plan["credentials"]
    assert (credential["name"], credential["messages"], credential["recipients"]) == ("main", 29, 58)
    assert credential["rates"] == ["10/s", "500/day"]
    assert credential["seconds"] == pytest.approx(28 * interval([Rate(10, 1.0)]))


def test_the_text_tells_it_to_a_person(space: Workspace) -> None:
    answer = space.call("plan", "welcome", "--data", many(space, 30))

    lines = [line.rstrip() for line in answer.out.splitlines()]
    assert lines[1] == "29 messages for 30 rows of rows.csv; 1 row without a message"
    assert "  main              29          58  3 s at 10/s" in lines
    assert "  From:      Acme <post@acme.com>" in lines
    assert "  To:        P 1 <p1@example.com>" in lines
    assert "  Bcc:       archive@example.com" in lines
    assert "  │ You are number 1." in lines


def test_bad_rows_are_named_with_their_numbers_and_lines(space: Workspace) -> None:
    data = rows(space, "a@b.com,Ann,1", "nobody,Bob,2", "c@d.com,Cid,x", "d@e.com,Dan")

    answer = space.call("plan", "welcome", "--data", data)

    assert answer.code == 1
    assert "3 rows cannot be sent" in answer.out
    assert "row 2 (line 3): /email: is not an e-mail address" in answer.out
    assert "row 3 (line 4): /number: " in answer.out
    assert "row 4 (line 5): " in answer.out
    assert "1 message for 4 rows of rows.csv; 3 that cannot be sent" in answer.out


def test_a_reason_that_many_rows_have_is_told_once(space: Workspace) -> None:
    lines = [f"{'nobody' if number % 2 else 'a@b.com'},Ann,{number}" for number in range(100, 140)]

    answer = space.call("plan", "welcome", "--data", rows(space, *lines))

    assert "  rows 2, 4, 6, 8, 10, 12, 14, 16 and 12 more: /email: is not an e-mail address" in answer.out


def test_a_row_whose_rendering_fails_is_bad(space: Workspace) -> None:
    space.flow("welcome", FLOW.replace("subject: Hi", "subject: <<trigger.body.number + 'x'>>"))

    answer = space.call("plan", "welcome", "--data", rows(space, "a@b.com,Ann,1"), "--format", "json")

    assert answer.code == 1
    [bad] = answer.json["bad"]
    assert (bad["row"], bad["line"], bad["code"]) == (1, 2, "ETEMPLATE")
    assert bad["message"].startswith('node "greet": ')


def test_one_body_is_planned_too(space: Workspace) -> None:
    answer = space.call("plan", "welcome", "--body", '{"email": "a@b.com", "name": "Ann"}')

    assert answer.code == 0
    assert "1 message for one body" in answer.out
    assert "row" not in answer.out


def test_rows_from_standard_input(space: Workspace) -> None:
    done = space.process(
        "plan", "welcome", "--data", "-", "--format", "json", input='{"email": "a@b.com", "name": "x"}\n'
    )

    assert json.loads(done.stdout)["messages"] == 1


def test_data_and_body_exclude_each_other(space: Workspace) -> None:
    assert space.call("plan", "welcome", "--data", many(space, 1), "--body", "{}").code == 2


def test_rows_that_repeat_a_key_are_named_both(space: Workspace) -> None:
    data = rows(space, "a@b.com,Ann,1", "c@d.com,Bob,2", "a@b.com,Anne,3", "a@b.com,Anna,4")

    answer = space.call("plan", "welcome", "--data", data, "--key", "email")

    assert answer.code == 1
    assert "2 rows with a key that came before" in answer.out
    assert "  row 3 (line 4) repeats row 1 (line 2)" in answer.out
    assert "  row 4 (line 5) repeats row 1 (line 2)" in answer.out


def test_a_key_that_is_no_column_is_a_wrong_call(space: Workspace) -> None:
    answer = space.call("plan", "welcome", "--data", many(space, 2), "--key", "mail")

    assert answer.code == 2
    assert "its columns: email, name, number" in answer.err


def test_redirect_shows_whom_it_is_for_and_where_it_goes(space: Workspace) -> None:
    space.settings("delivery: {mode: redirect, to: qa@acme.com}\n")

    answer = space.call("plan", "welcome", "--data", many(space, 2))

    assert answer.code == 0
    assert "delivery mode redirect: all of it goes to qa@acme.com, whoever it is for" in answer.out
    assert "  To:        P 1 <p1@example.com>" in answer.out
    assert "  Goes to:   qa@acme.com" in answer.out


def test_the_allowlist_names_who_is_refused(space: Workspace) -> None:
    space.settings('delivery: {mode: allowlist, allow: ["*@acme.com", archive@example.com]}\n')
    data = rows(space, "ann@acme.com,Ann,1", "bob@example.com,Bob,2")

    answer = space.call("plan", "welcome", "--data", data, "--format", "json")

    assert answer.code == 1
    assert answer.json["messages"] == 1
    assert [(row["row"], row["code"], row["message"]) for row in answer.json["refused"]] == [
        (2, "EBLOCKED", 'node "greet": not in delivery.allow: bob@example.com')
    ]


def test_capture_says_that_nothing_leaves(space: Workspace) -> None:
    space.settings("delivery: {mode: capture}\n")

    answer = space.call("plan", "welcome", "--data", many(space, 2))

    assert answer.code == 0
    assert "delivery mode capture: nothing leaves this machine" in answer.out


def test_without_the_key_it_goes_on_and_says_what_is_not_known(space: Workspace) -> None:
    del space.environ["SOPS_AGE_KEY"]

    answer = space.call("plan", "welcome", "--data", many(space, 2))

    assert answer.code == 0
    assert "rates and default sender of main are not known here" in answer.out
    assert "From:      the default sender of main, not known here" in answer.out
    assert "not known" in answer.out.splitlines()[4]
    assert "stand-in" not in answer.out


def test_a_sender_that_the_flow_names_is_known_without_the_key(space: Workspace) -> None:
    del space.environ["SOPS_AGE_KEY"]
    space.flow("welcome", FLOW.replace("      bcc:", "      from: Shop <shop@acme.com>\n      bcc:"))

    answer = space.call("plan", "welcome", "--data", many(space, 1))

    assert "From:      Shop <shop@acme.com>" in answer.out


def test_a_credential_that_is_not_there_is_a_failure(space: Workspace) -> None:
    (space.root / "secrets" / "main.yaml").unlink()

    answer = space.call("plan", "welcome", "--data", many(space, 2))

    assert answer.code == 1
    assert 'error: there is no credential "main"' in answer.out


HTTP = """
nodes:
  - id: contact
    http: {method: GET, url: "http://127.0.0.1:9/<<trigger.body.id>>"}
  - id: greet
    smtp: {credential: main, to: <<nodes.contact.output.body.email>>, subject: Hi, body_format: text, body: x}
  - id: perhaps
    when: << nodes.contact.output.body.vip >>
    smtp: {credential: main, to: a@b.com, subject: Hi, body_format: text, body: x}
"""


def test_what_needs_an_answer_is_counted_and_not_shown(space: Workspace) -> None:
    space.flow("welcome", HTTP)

    answer = space.call("plan", "welcome", "--data", rows(space, "1", "2", header="id"), "--format", "json")

    assert answer.code == 0
    greet, perhaps = answer.json["nodes"]
    assert (greet["messages"], greet["unforeseen"], greet["first"]) == (2, 2, None)
    assert (perhaps["messages"], perhaps["perhaps"]) == (0, 2)
    [credential] = answer.json["credentials"]
    assert (credential["messages"], credential["unforeseen"], credential["rates"]) == (
        2,
        2,
        ["10/s", "500/day"],
    )


def test_what_needs_an_answer_says_so_to_a_person(space: Workspace) -> None:
    space.flow("welcome", HTTP)

    answer = space.call("plan", "welcome", "--data", rows(space, "1", "2", header="id"))

    assert answer.code == 0
    assert "2 messages, and perhaps 2 more for 2 rows of rows.csv" in answer.out
    assert (
        'note: 2 messages of node "greet" cannot be shown before the run: it needs what http node "contact" answers'
        in answer.out
    )
    assert 'whether node "perhaps" sends: it needs what http node "contact" answers' in answer.out


def test_neither_database_nor_connection_is_opened(space: Workspace) -> None:
    space.settings("database: postgresql://nobody@127.0.0.1:9/none\n")
    space.flow("welcome", FLOW + "      attachments: [{url: 'http://127.0.0.1:9/offer.pdf'}]\n")
    program = (
        "import socket, sys\n"
        "def refuse(*given): sys.exit('a connection')\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        "from runner.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "assert not {'sqlalchemy', 'dbos', 'aiosmtplib', 'httpx'} & set(sys.modules), sorted(sys.modules)\n"
        "sys.exit(code)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "plan", "welcome", "--data", many(space, 2)],
        cwd=space.root, env={**space.environ, "PATH": ""}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Attached:  offer.pdf (application/pdf" in done.stdout
    assert list(space.root.glob(".flowpost/*.db")) == []


@pytest.mark.parametrize(("name", "begins"), [("p.md", "### Plan of `welcome`"), ("p.json", "{\n"), ("p.txt", "welcome  flows/welcome.yaml\n")])  # fmt: skip
def test_a_file_gets_the_form_that_its_name_asks_for(space: Workspace, name: str, begins: str) -> None:
    answer = space.call("plan", "welcome", "--data", many(space, 2), "-o", name)

    assert (answer.code, answer.out, answer.err) == (0, "", f"wrote {name}\n")
    assert (space.root / name).read_text().startswith(begins)
    assert "\033" not in (space.root / name).read_text()


def test_a_file_that_cannot_be_written_is_a_wrong_call(space: Workspace) -> None:
    answer = space.call("plan", "welcome", "--data", many(space, 1), "-o", "nowhere/p.md")

    assert answer.code == 2
    assert "cannot write nowhere/p.md: No such file or directory" in answer.err


def test_values_cannot_drive_the_terminal(space: Workspace) -> None:
    space.write("rows.ndjson", json.dumps({"email": "a@b.com", "name": "Ann", "number": "\033[2J"}) + "\n")
    space.flow("welcome", FLOW.replace("{type: integer}", "{type: string}"))

    answer = space.call("plan", "welcome", "--data", "rows.ndjson")

    assert answer.code == 0
    assert "\033" not in answer.out


def test_memory_does_not_grow_with_the_rows(space: Workspace) -> None:
    """Every row bad, every row changed: what is kept is bounded by what is told."""
    from runner.plan.result import MAX_TOLD, BadRows, Place

    bad = BadRows()
    for number in range(5 * MAX_TOLD):
        bad.add(Place(number, number), "schema", f"reason {number}")

    assert (bad.count, len(bad.first)) == (5 * MAX_TOLD, MAX_TOLD)


def test_the_help_shows_an_example(space: Workspace) -> None:
    answer = space.call("plan", "--help")

    assert "flowpost plan welcome --data contacts.csv --against origin/main" in answer.out


def test_an_empty_file_is_a_wrong_call(space: Workspace) -> None:
    Path(space.root / "rows.csv").write_text("")

    assert space.call("plan", "welcome", "--data", "rows.csv").code == 2
