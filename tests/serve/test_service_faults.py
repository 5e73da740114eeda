"""What goes wrong around a running service, from outside: it says so, loses nothing, and goes on."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest
from databases import BOTH
from postgres import Postgres
from served import Served, identities, prepare, serving, settings, smtp_server, subject, until, welcome
from severed import Way
from workspace import Workspace


def codes(service: Served) -> tuple[int, int]:
    """The answers of ``/readyz`` and of a hook."""
    return service.client.get("/readyz").status_code, service.mail("asked").status_code


def test_a_credential_that_breaks_stays_in_its_last_good_version(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            service.mail("before", prefer="wait=15")
            file = workspace.root / "secrets" / "ops.yaml"
            file.write_text(file.read_text().replace("ENC[", "ENC[x", 1))
            answer = service.mail("after", prefer="wait=15").json()
            log = service.log

    assert answer["status"] == "succeeded"
    assert "its last good version stays in use" in log
    assert [subject(mail) for mail in server.messages] == ["Event before", "Event after"]


def test_a_credential_that_breaks_before_its_first_use_is_shown_and_its_last_good_version_used(
    workspace: Workspace,
) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            file = workspace.root / "secrets" / "ops.yaml"
            good = file.read_text()
            file.write_text(good.replace("ENC[", "ENC[x", 1))
            until(lambda: service.get("/readyz")["findings"])
            shown = service.get("/readyz")
            figure = service.metric("flowpost_config_last_reload_successful")
            reloaded = service.client.post("/-/reload").status_code
            answer = service.mail("after", prefer="wait=15").json()
            file.write_text(good)
            until(lambda: not service.get("/readyz")["findings"])
            log = service.log

    [finding] = shown["findings"]
    assert (shown["ready"], finding["path"], finding["code"]) == (True, "secrets/ops.yaml", "ESECRET")
    assert (figure, reloaded, answer["status"]) == (0.0, 422, "succeeded")
    assert "secrets/ops.yaml:" in log
    assert server.password not in log


def test_a_credential_that_is_not_there_is_shown_until_it_is(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        file = workspace.root / "secrets" / "ops.yaml"
        aside = file.rename(workspace.root / "ops.yaml")
        with serving(workspace) as service:
            shown = service.get("/readyz")["findings"]
            aside.rename(file)
            until(lambda: not service.get("/readyz")["findings"])
            answer = service.mail("sent", prefer="wait=15").json()

    [finding] = shown
    assert (finding["path"], finding["code"], finding["severity"]) == (
        "flows/welcome.yaml",
        "reference",
        "warning",
    )
    assert finding["message"] == 'there is no credential "ops" in secrets'
    assert welcome().splitlines()[finding["line"] - 1].strip() == "credential: ops"
    assert answer["status"] == "succeeded"


@pytest.mark.parametrize("bad", ["delivery: {mode: lvie}\n", "[", "http: {rate: fast}\n"])
def test_settings_that_break_later_are_shown_and_the_old_ones_stay(workspace: Workspace, bad: str) -> None:
    workspace.settings(settings("delivery: {mode: capture}\n"))
    workspace.flow("welcome", welcome())
    with serving(workspace) as service:
        workspace.settings(bad)
        reloaded = service.client.post("/-/reload")
        shown = service.get("/readyz")
        taken = service.mail("still taken").status_code
        workspace.settings(settings("delivery: {mode: capture}\n"))
        mended = service.client.post("/-/reload").status_code

    assert reloaded.status_code == 422
    assert (shown["ready"], shown["findings"][0]["path"]) == (True, "flowpost.yaml")
    assert (taken, mended) == (202, 200)


def test_a_flows_folder_that_is_deleted_and_made_again(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            shutil.rmtree(workspace.root / "flows")
            until(lambda: service.get("/readyz")["findings"], 10)
            gone = service.get("/readyz")
            served = service.mail("without a folder", prefer="wait=15").status_code
            workspace.flow("welcome", welcome("Again"))
            until(lambda: not service.get("/readyz")["findings"], 10)
            service.mail("made", prefer="wait=15")

    assert (gone["ready"], gone["stale"]) == (True, ["welcome"])
    assert served == 200
    assert [subject(mail) for mail in server.messages] == ["Event without a folder", "Again made"]


def test_a_secrets_folder_that_is_away_leaves_its_credentials_in_use(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        workspace.credential("hook", {"type": "webhook", "auth": {"type": "token", "token": "t" * 20}})
        workspace.flow("welcome", welcome().replace("auth: none", "auth: hook"))
        folder, aside = workspace.root / "secrets", workspace.root / "aside"
        proof = {"authorization": "Bearer " + "t" * 20, "prefer": "wait=15"}
        with serving(workspace) as service:
            folder.rename(aside)
            until(lambda: service.get("/readyz")["findings"], 10)
            gone, metrics = service.get("/readyz"), service.client.get("/metrics").text
            served = service.mail("without a folder", **proof)
            aside.rename(folder)
            until(lambda: not service.get("/readyz")["findings"], 10)

    assert (gone["ready"], gone["findings"][0]["path"]) == (True, "secrets")
    assert "flowpost_config_last_reload_successful 0.0" in metrics
    assert (served.status_code, served.json()["status"]) == (200, "succeeded")
    assert [subject(mail) for mail in server.messages] == ["Event without a folder"]


def test_a_device_in_the_flows_folder_is_a_finding_and_holds_nothing_up(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
    workspace.settings(settings("delivery: {mode: capture}\n"))
    (workspace.root / "flows" / "zero.yaml").symlink_to("/dev/zero")
    (workspace.root / "flows" / "tty.yaml").symlink_to("/dev/tty")
    with serving(workspace) as service:
        shown = service.get("/readyz")
        taken = service.mail("beside a device").status_code

    assert {finding["path"] for finding in shown["findings"]} == {"flows/zero.yaml", "flows/tty.yaml"}
    assert taken == 202


def test_500_flows_at_once_are_live_together(workspace: Workspace) -> None:
    workspace.settings(settings("delivery: {mode: capture}\n"))
    workspace.flow("welcome", welcome())
    with serving(workspace) as service:
        seen = set()
        for number in range(500):
            text = welcome().replace("welcome", f"flow-{number}")
            workspace.write(f"flows/many/flow-{number}.yaml", text)
        until(lambda: seen.add(n := service.get("/readyz")["flows"]) or n == 501, 60)  # type: ignore[func-returns-value]
        last = service.post({"n": 1, "to": "bob@example.net"}, "flow-499").status_code

    assert last == 202


def test_500_files_dropped_at_once_are_500_events(workspace: Workspace) -> None:
    workspace.settings(settings())
    workspace.flow(
        "inbox",
        "triggers:\n  - files: {path: inbox/*.json}\nnodes:\n  - id: one\n    set: {n: << trigger.body.n >>}\n",
    )
    (workspace.root / "inbox").mkdir()
    with serving(workspace) as service:
        for number in range(500):
            workspace.write(f"inbox/{number}.json", json.dumps({"n": number}))
        name = 'flowpost_runs_total{flow="inbox",status="succeeded"}'
        until(lambda: service.metric(name) >= 500, 100)
        ended = service.metric(name)

    assert ended == 500
    assert len(list((workspace.root / "inbox" / ".done").iterdir())) == 500


@BOTH
def test_sigterm_under_load_loses_nothing_and_sends_nothing_twice(
    workspace: Workspace, database_url: str
) -> None:
    taken: list[int] = []

    def send(service: Served, first: int) -> None:
        for number in range(first, first + 40):
            try:
                if service.mail(number).status_code == 202:
                    taken.append(number)
            except httpx.TransportError:
                return

    with smtp_server(script={"DATA_END": ["after 0.2: 250 ok"] * 60}) as server:
        prepare(workspace, server, database_url)
        with serving(workspace) as service:
            senders = [threading.Thread(target=send, args=(service, n * 100)) for n in range(4)]
            for sender in senders:
                sender.start()
            until(lambda: len(taken) > 30)
            service.signal(signal.SIGTERM)
            for sender in senders:
                sender.join()
            code = service.process.wait(60)
        with serving(workspace):
            until(lambda: len(identities(server)) >= len(taken), 60)

    mailed = Counter(int(subject(mail).removeprefix("Event ")) for mail in server.messages)
    assert code == 0
    assert set(taken) <= set(mailed)
    assert set(mailed.values()) == {1}


def test_a_database_that_is_cut_off_in_the_middle_is_503_until_it_is_back(
    workspace: Workspace, postgresql: Postgres, tmp_path: Path
) -> None:
    name = postgresql.fresh().rpartition("/")[2]
    with smtp_server() as server, Way(postgresql.port) as way:
        prepare(workspace, server, f"postgresql://flowpost@127.0.0.1:{way.port}/{name}")
        with serving(workspace) as service:
            service.mail("before", prefer="wait=15")
            way.cut()
            until(lambda: codes(service) == (503, 503), 30)
            health = service.client.get("/healthz").status_code
            problem = service.mail("while").headers
            way.mend()
            until(lambda: codes(service) == (200, 202), 60)
            service.mail("after")
            until(lambda: "Event after" in {subject(mail) for mail in server.messages}, 60)
            code = service.stop(60)

    assert health == 200
    assert (problem["content-type"], int(problem["retry-after"]) >= 1) == ("application/problem+json", True)
    assert code == 0
    assert set(identities(server).values()) == {1}
