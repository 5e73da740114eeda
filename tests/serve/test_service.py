"""The service from outside: a process, its endpoint, its signals, its log and its exit code."""

from __future__ import annotations

import base64
import os
import resource
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from served import Served, prepare, serving, settings, smtp_server, subject, until, welcome
from servers.scripted import ScriptedServer
from workspace import LOOPBACK, Workspace

WITHOUT_POWERS = (
    sys.executable,
    "-c",
    # Root reads and writes what it likes, but for this one capability (CAP_DAC_OVERRIDE), gone for good.
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])",
)


@dataclass
class Place:
    """A running service, its workspace and the mail server that it sends through."""

    workspace: Workspace
    server: ScriptedServer
    service: Served

    def subjects(self) -> list[str]:
        return [subject(mail) for mail in self.server.messages]

    def sent(self, text: str, seconds: float = 15.0) -> None:
        until(lambda: text in self.subjects(), seconds, f"{text!r} was not mailed")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One service for the tests that leave it as it was."""
    nothing: Any = None
    workspace = Workspace(tmp_path_factory.mktemp("place") / "acme", nothing, nothing)
    with smtp_server() as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            yield Place(workspace, server, service)


def port_of(service: Served) -> int:
    return int(service.url.rpartition(":")[2])


# -- events --------------------------------------------------------------------------------------------


def test_a_webhook_becomes_a_mail(place: Place) -> None:
    answer = place.service.mail("one")

    assert answer.status_code == 202
    place.sent("Event one")


def test_the_same_idempotency_key_returns_the_first_run_and_mails_once(place: Place) -> None:
    answers = [place.service.mail("key", **{"idempotency-key": "k-1"}) for _ in range(3)]
    place.service.mail("key", prefer="wait=15", **{"idempotency-key": "k-1"})

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert place.subjects().count("Event key") == 1


def test_the_same_idempotency_key_with_another_body_is_a_conflict(place: Place) -> None:
    place.service.mail("body", **{"idempotency-key": "k-2"})
    answer = place.service.mail("another body", **{"idempotency-key": "k-2"})

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"


def test_prefer_wait_answers_with_the_result(place: Place) -> None:
    answer = place.service.mail("waited", prefer="wait=15")

    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"
    assert answer.json()["nodes"]["mail"]["output"]["accepted"] == ["bob@example.net"]


def test_no_202_before_the_event_is_on_disk(place: Place) -> None:
    answers: list[httpx.Response] = []
    with closing(sqlite3.connect(place.workspace.root / ".flowpost" / "state.db", timeout=10)) as other:
        other.execute("BEGIN IMMEDIATE")
        asking = threading.Thread(target=lambda: answers.append(place.service.mail("disk")))
        asking.start()
        asking.join(1.0)
        early = list(answers)
        other.rollback()
    asking.join(20)

    assert early == []
    assert answers[0].status_code == 202
    place.sent("Event disk")


def test_an_event_that_was_acknowledged_survives_kill_9_at_once(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            answer = service.mail("survivor")
            service.kill()
        with serving(workspace) as service:
            until(lambda: server.messages)

    assert answer.status_code == 202
    assert [subject(mail) for mail in server.messages] == ["Event survivor"]


# -- reload --------------------------------------------------------------------------------------------


def hooked(word: str, path: str) -> str:
    """The flow ``welcome`` under another name, at another path."""
    text = welcome(word).replace("name: welcome", f"name: {path}")
    return text.replace("path: welcome", f"path: {path}")


def test_a_new_flow_is_live_within_a_second(place: Place) -> None:
    place.workspace.flow("fresh", hooked("Fresh", "fresh"))
    until(lambda: place.service.post({"n": 1, "to": "a@example.net"}, "fresh").status_code == 202, 1.0)
    place.sent("Fresh 1")


def test_a_saved_change_is_live_within_a_second(place: Place) -> None:
    place.workspace.flow("saved", hooked("Before", "saved"))
    until(lambda: place.service.post({"n": 1, "to": "a@example.net"}, "saved").status_code == 202)
    place.sent("Before 1")
    place.workspace.flow("saved", hooked("After", "saved"))
    time.sleep(1.0)
    place.service.post({"n": 2, "to": "a@example.net"}, "saved")

    place.sent("After 2")
    assert "Before 2" not in place.subjects()


def test_a_broken_flow_keeps_its_last_good_version_and_readyz_shows_the_finding(place: Place) -> None:
    place.workspace.flow("broken", hooked("Good", "broken"))
    place.service.client.post("/-/reload")
    path = place.workspace.flow("broken", hooked("Bad", "broken").replace("smtp:", "smpt:"))
    until(lambda: "broken" in place.service.get("/readyz")["stale"])
    shown = place.service.client.get("/readyz")
    counted = place.service.metric("flowpost_config_last_reload_successful")
    place.service.post({"n": 1, "to": "a@example.net"}, "broken")
    place.sent("Good 1")
    path.unlink()
    place.service.client.post("/-/reload")

    assert shown.status_code == 200
    assert shown.json()["findings"][0]["path"] == "flows/broken.yaml"
    assert shown.json()["findings"][0]["line"] == 7
    assert counted == 0.0
    assert place.service.get("/readyz")["findings"] == []
    assert place.service.post({}, "broken").status_code == 404


def test_a_fifo_in_the_flows_folder_is_a_finding_and_holds_nothing_up(place: Place) -> None:
    fifo = place.workspace.root / "flows" / "pipe.yaml"
    os.mkfifo(fifo)
    try:
        answer = place.service.client.post("/-/reload", timeout=5)
    finally:
        fifo.unlink()
        place.service.client.post("/-/reload")

    assert answer.status_code in (200, 422)
    assert place.service.mail("beside a pipe").status_code == 202


def test_sighup_reloads(place: Place) -> None:
    name = "flowpost_config_last_reload_success_timestamp_seconds"
    before = place.service.metric(name)
    place.service.signal(signal.SIGHUP)

    until(lambda: place.service.metric(name) > before > 0)


def test_post_reload_answers_when_it_is_done(place: Place) -> None:
    place.workspace.flow("asked", hooked("Asked", "asked"))
    answer = place.service.client.post("/-/reload")

    assert answer.status_code == 200
    assert place.service.post({"n": 1, "to": "a@example.net"}, "asked").status_code == 202


def test_a_rotated_password_is_used_for_the_next_mail(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            service.mail("old", prefer="wait=15")
            server.password = "battery staple"
            login = {"type": "password", "username": "ann@example.com", "password": "battery staple"}
            workspace.smtp("ops", server, auth=login)
            answer = service.mail("new", prefer="wait=15")

    assert answer.json()["status"] == "succeeded"
    assert [mail.connection for mail in server.messages] == [0, 1]


def test_network_allow_and_delivery_change_while_it_runs(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        workspace.settings("http: {port: 0}\n")
        with serving(workspace) as service:
            blocked = service.mail("blocked", prefer="wait=15").json()["nodes"]["mail"]["error"]
            workspace.settings(settings())
            service.client.post("/-/reload")
            allowed = service.mail("allowed", prefer="wait=15").json()
            workspace.settings(settings("delivery: {mode: redirect, to: qa@example.org}\n"))
            service.client.post("/-/reload")
            service.mail("redirected", prefer="wait=15")

    assert blocked["code"] == "EBLOCKED"
    assert allowed["status"] == "succeeded"
    assert [mail.recipients for mail in server.messages][:2] == [["bob@example.net"], ["qa@example.org"]]


def test_a_setting_that_needs_a_restart_is_said_in_the_log(place: Place) -> None:
    place.workspace.settings(LOOPBACK + "http: {port: 1234}\n")
    until(lambda: "take effect at the next start" in place.service.log)
    place.workspace.settings(settings())

    assert place.service.mail("same port").status_code == 202


# -- the log -------------------------------------------------------------------------------------------


def test_the_log_names_run_flow_and_node_and_never_the_password(workspace: Workspace) -> None:
    with smtp_server(script={"AUTH": "535 5.7.8 no: {line}"}, mechanisms="PLAIN") as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            run_id = service.mail("echo", prefer="wait=15").json()["run_id"]
            service.stop()
            lines = [line for line in service.lines if line["logger"] != "flowpost.catalog"]
            text = service.log

    (failed,) = [line for line in lines if line["message"].startswith("node failed")]
    (ended,) = [line for line in lines if line["message"].startswith("run ")]
    assert (failed["run"], failed["flow"], failed["node"]) == (run_id, "welcome", "mail")
    assert (ended["run"], ended["flow"]) == (run_id, "welcome")
    assert "correct horse" not in text
    assert base64.b64encode(b"\0ann@example.com\0correct horse").decode() not in text


# -- the end -------------------------------------------------------------------------------------------


def test_sigterm_lets_the_message_under_way_end_and_takes_no_more(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": ["after 1.5: 250 ok"]}) as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            service.mail("last")
            until(lambda: server.received)
            service.signal(signal.SIGTERM)
            until(lambda: "stopping" in service.log)
            try:
                late = service.mail("late").status_code
            except httpx.TransportError:
                late = 503
            code = service.process.wait(20)
            ended = [line["message"] for line in service.lines if line["message"].startswith("run ")]

    assert late == 503
    assert ended == ["run succeeded"]
    assert code == 0
    assert [subject(mail) for mail in server.received] == ["Event last"]


def test_a_second_sigterm_does_not_wait_for_a_server_that_hangs(workspace: Workspace) -> None:
    with smtp_server(script={"DATA_END": "hang"}) as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            service.mail("stuck")
            until(lambda: server.received)
            service.signal(signal.SIGTERM)
            until(lambda: "stopping" in service.log)
            begun = time.monotonic()
            service.signal(signal.SIGTERM)
            code = service.process.wait(25)
            took = time.monotonic() - begun

    assert code == 0
    assert took < 15  # the drain's own patience is 30 s


def test_a_body_that_is_still_on_its_way_is_told_of_the_drain(workspace: Workspace) -> None:
    """uvicorn would cut the request short: 500 in plain text, and a traceback in the log."""
    workspace.settings(settings())
    workspace.flow("welcome", welcome())
    head = b"POST /hooks/welcome HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    with serving(workspace) as service, socket.create_connection(("127.0.0.1", port_of(service))) as caller:
        caller.settimeout(20)
        caller.sendall(head)
        service.client.get("/healthz").raise_for_status()
        service.signal(signal.SIGTERM)
        answer = b"".join(iter(lambda: caller.recv(65536), b""))
        code = service.process.wait(20)
        log = service.log

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"application/problem+json" in answer
    assert b"the service is stopping" in answer
    assert (code, "Traceback" in log, "Cancel" in log) == (0, False, False), log


# -- what stops it from starting -----------------------------------------------------------------------


def refused(workspace: Workspace, **options: Any) -> tuple[int, str]:
    service = Served(workspace, **options)
    try:
        return service.refuses_to_start(), service.log
    finally:
        service.end()


def test_a_port_that_is_taken_is_exit_2_with_its_address(workspace: Workspace) -> None:
    workspace.flow("welcome", welcome())
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        code, text = refused(workspace, FLOWPOST_HTTP_PORT=str(port))

    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in text
    assert "Traceback" not in text


def test_wrong_settings_are_exit_2_with_findings(workspace: Workspace) -> None:
    workspace.settings("http:\n  prot: 1\n")
    code, text = refused(workspace)

    assert code == 2
    assert "flowpost.yaml:2:3: error:" in text
    assert "Traceback" not in text


def test_a_database_that_does_not_answer_is_a_clear_error(workspace: Workspace) -> None:
    workspace.settings(settings())
    url = "postgresql://flowpost:hidden-word@127.0.0.1:1/flowpost"
    code, text = refused(workspace, FLOWPOST_DATABASE=url)

    assert code in (1, 2)
    assert "database" in text
    assert "hidden-word" not in text
    assert "Traceback" not in text
    assert "unexpected" not in text


def test_a_folder_that_cannot_be_written_is_a_clear_error(workspace: Workspace) -> None:
    workspace.settings(settings())
    folder = workspace.root / ".flowpost"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        code, text = refused(workspace, prefix=WITHOUT_POWERS)
    finally:
        folder.chmod(0o755)

    assert code in (1, 2)
    assert f"{folder}/state.db" in text
    assert "Permission denied" in text
    assert "Traceback" not in text


def test_a_second_process_on_one_sqlite_file_is_refused(place: Place) -> None:
    code, text = refused(place.workspace)

    assert code == 2
    assert "Traceback" not in text
    assert "postgresql" in text.lower()


# -- a disk that is full -------------------------------------------------------------------------------


def test_a_full_disk_is_503_and_it_goes_on_when_there_is_room(workspace: Workspace) -> None:
    with smtp_server() as server:
        prepare(workspace, server)
        with serving(workspace) as service:
            service.mail("before", prefer="wait=15")
            pid, unlimited = service.process.pid, resource.RLIM_INFINITY
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (8192, unlimited))
            full = service.mail("full").status_code
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            after = service.mail("after", prefer="wait=15")

    assert full == 503
    assert after.status_code == 200
    assert [subject(mail) for mail in server.messages] == ["Event before", "Event after"]
