"""Postfix's ``smtp-sink`` as a stranger's server: every fault that it knows, and the right state for each."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import corpus, missing_tool
from servers.client import ENVELOPE, MESSAGE, credential_for, guard

from runner.errors import FlowpostError
from runner.model import Outcome
from runner.smtp.pool import Sender

SINK = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin:/usr/lib/postfix/sbin")

# The project's own rows: argument list, what must come of it. The public corpus adds its own.
OWN: list[tuple[Sequence[str], str]] = [
    ([], "delivered_once"),
    (["-p"], "delivered_once"),
    (["-e"], "delivered_once"),
    (["-P"], "delivered_once"),
    (["-8", "-a", "-C", "-E", "-F", "-N"], "delivered_once"),
    (["-A", "0"], "permanent_failure"),
    (["-B", "552 5.3.4 too big", "-f", "DATA"], "permanent_failure"),
    (["-b", "452 4.3.1 full", "-r", "."], "temporary_failure_retry"),
    (["-f", "EHLO,HELO"], "permanent_failure"),
    (["-f", "MAIL"], "permanent_failure"),
    (["-f", "RCPT"], "permanent_failure"),
    (["-f", "DATA"], "permanent_failure"),
    (["-f", "."], "permanent_failure"),
    (["-r", "MAIL"], "temporary_failure_retry"),
    (["-r", "RCPT"], "temporary_failure_retry"),
    (["-r", "DATA"], "temporary_failure_retry"),
    (["-r", "."], "temporary_failure_retry"),
    (["-q", "MAIL"], "temporary_failure_retry"),
    (["-q", "RCPT"], "temporary_failure_retry"),
    (["-q", "CONNECT"], "temporary_failure_retry"),
    (["-q", "."], "unknown"),
    (["-q", "QUIT"], "delivered_once"),
    (["-Q", "CONNECT"], "temporary_failure_retry"),
    (["-Q", "DATA"], "temporary_failure_retry"),
    (["-w", "1"], "delivered_once"),
    (["-w", "20"], "temporary_failure_retry"),
    (["-W", ".:20"], "unknown"),
    (["-p", "-W", "MAIL:1"], "delivered_once"),
]
ROWS = [
    *OWN,
    *((case["argv"], str(case["expected"])) for case in corpus("smtp-protocol/smtp-sink-matrix.jsonl")),
]


@dataclass
class Sink:
    port: int
    tls: str = "none"
    ca_pem: str = ""


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[Sink]:
    if SINK is None:
        missing_tool("smtp-sink", "apt-get install postfix (the service need not run)")
    assert SINK is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [SINK, *user, *arguments, f"127.0.0.1:{port}", "64"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _await_port(process, port)
        yield Sink(port)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(200):
        if process.poll() is not None:
            _, told = process.communicate()
            pytest.fail(f"smtp-sink did not start: {told.decode()}")
        with socket.socket() as probe:
            # Bound and listening is enough; a connection would be one that a fault is spent on.
            if Path("/proc/net/tcp").exists():
                if f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text():
                    return
            elif probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("smtp-sink did not listen")


@pytest.mark.parametrize(("arguments", "expected"), ROWS, ids=[" ".join(row[0]) or "kind" for row in ROWS])
async def test_each_fault_ends_in_its_state(arguments: Sequence[str], expected: str) -> None:
    with running(arguments) as sink:
        async with Sender(guard()) as sender:
            # Long enough for "-w 5" and "-H 5", so that "by config" means delivered; short for 20 s.
            seconds = 2.0 if "20" in "".join(arguments) else 12.0
            try:
                result: object = await sender.send(
                    credential_for(sink, timeout_seconds=seconds, client_identifier="test.example"),
                    ENVELOPE,
                    MESSAGE,
                )
            except FlowpostError as exc:
                result = exc

    if expected in ("delivered_once", "delivered_or_timeout_by_config"):
        assert isinstance(result, Outcome)
        return
    assert isinstance(result, FlowpostError)
    assert (result.code == "EUNKNOWN") is (expected == "unknown")
    assert result.transient is (expected == "temporary_failure_retry")


async def test_200_concurrent_sends_arrive() -> None:
    with running([]) as sink:
        async with Sender(guard()) as sender:
            credential = credential_for(sink)
            results = await asyncio.gather(*(sender.send(credential, ENVELOPE, MESSAGE) for _ in range(200)))

    assert len(results) == 200
