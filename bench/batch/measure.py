"""One contender, one round: whole processes from start to end, their CPU (children included), peak memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A process to run to its end."""

    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path | None = None


@dataclass(frozen=True)
class Result:
    """What one round of one contender took; ``server_cpu`` is what the receiving process took meanwhile."""

    rows: int
    seconds: float
    cpu: float
    peak_mib: float
    server_cpu: float = 0.0
    database_cpu: float = 0.0

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu / self.rows * 1e6

    @property
    def server_us(self) -> float:
        return self.server_cpu / self.rows * 1e6

    @property
    def database_us(self) -> float:
        return self.database_cpu / self.rows * 1e6


class Failed(Exception):
    """A contender did not do its work; the text holds the end of what it said."""


def run(commands: Sequence[Command], rows: int) -> Result:
    """Run side by side, from the first start to the last end. Raises ``Failed`` where one exits with anything but 0."""
    with tempfile.TemporaryDirectory(prefix="flowpost-bench-out-") as folder:
        started = time.perf_counter()
        running = []
        for number, command in enumerate(commands):
            with (Path(folder) / str(number)).open("wb") as out:
                running.append(
                    subprocess.Popen(
                        command.argv,
                        env=dict(command.environ),
                        cwd=command.cwd,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=subprocess.STDOUT,
                    )
                )
        cpu, peak, codes = 0.0, 0.0, []
        for process in running:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            codes.append(process.returncode)
            cpu += usage.ru_utime + usage.ru_stime
            peak = max(peak, usage.ru_maxrss / 1024)
        seconds = time.perf_counter() - started
        for number, code in enumerate(codes):
            if code:
                said = (Path(folder) / str(number)).read_text("utf-8", "replace")[-2000:]
                raise Failed(f"{' '.join(commands[number].argv)}: exit {code}\n{said}")
    return Result(rows, seconds, cpu, peak)
