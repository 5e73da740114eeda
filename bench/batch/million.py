"""A million rows: flat memory, an even time a row, and a quick start."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import material
from contenders import Flowpost, Target
from measure import Failed, Result, run
from servers import node_sink
from tables import align

LESS, MORE = 1_000, 10_000
TIMES = 5
"""How often a short run is made: the one in the middle counts."""
GOAL_MIB, GOAL_RATIO, GOAL_START = 150.0, 1.1, 2.0


def million(rows: int) -> bool:
    """Dry runs over 1,000, 10,000 and ``rows`` rows, and ten mails of the long file; whether the goals were met."""
    with tempfile.TemporaryDirectory(prefix="flowpost-bench-") as name, node_sink() as server:
        folder = Path(name)
        files = {
            count: material.write_rows(folder / f"{count}.csv", count) for count in (10, LESS, MORE, rows)
        }

        def target(count: int) -> Target:
            return Target(server.port, count, files[count], folder, folder)

        try:
            runs = {
                count: [
                    run(Flowpost(options=("--dry-run",)).commands(target(count)), count)
                    for _ in range(TIMES if count <= MORE else 1)
                ]
                for count in (10, LESS, MORE, rows)
            }
            found = {
                count: sorted(several, key=lambda one: one.seconds)[len(several) // 2]
                for count, several in runs.items()
            }
            first_word, first_mail = started(Flowpost(options=("--limit", "10")), target(rows), server)
        except Failed as failed:
            print(failed)
            return False
    start = found[10].seconds
    lines = [["--dry-run, rows", "seconds", "rows/s", "us a row without start-up", "peak MiB"]]
    lines += [
        [str(count), f"{r.seconds:.1f}", f"{r.rate:.0f}", f"{each(r, start):.1f}", f"{r.peak_mib:.0f}"]
        for count, r in found.items()
        if count > 10
    ]
    print("\n" + align(lines))
    more = found[rows].peak_mib - found[LESS].peak_mib
    ratio = each(found[rows], start) / each(found[MORE], start)
    word = f" (first word after {first_word:.2f} s)"
    verdicts = [
        (more <= GOAL_MIB, f"{more:.0f} <= {GOAL_MIB:.0f} MiB above a batch of {LESS} rows"),
        (ratio <= GOAL_RATIO, f"{ratio:.2f} <= {GOAL_RATIO} x the time a row at {MORE} rows"),
        (first_mail <= GOAL_START, f"first mail of --limit 10 after {first_mail:.2f} <= {GOAL_START} s{word}"),
    ]  # fmt: skip
    for met, line in verdicts:
        print(f"  {'met   ' if met else 'MISSED'}  {line}")
    return all(met for met, _ in verdicts)


def each(result: Result, start: float) -> float:
    return (result.seconds - start) / result.rows * 1e6


def started(flowpost: Flowpost, target: Target, server: object) -> tuple[float, float]:
    """Seconds to the first word on either stream, and to the first mail at the server."""
    (command,) = flowpost.commands(target)
    before, clock = time.time(), time.perf_counter()
    process = subprocess.Popen(
        command.argv, env=dict(command.environ), cwd=command.cwd, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.read1(1)  # type: ignore[attr-defined]
    word = time.perf_counter() - clock
    said += process.stdout.read()
    if process.wait():
        raise Failed(f"--limit 10: exit {process.returncode}\n{said.decode(errors='replace')[-2000:]}")
    took = server.counted()  # type: ignore[attr-defined]
    if took != 10:
        raise Failed(f"--limit 10: the server counted {took}")
    return word, server.first - before  # type: ignore[attr-defined]
