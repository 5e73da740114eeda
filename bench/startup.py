"""How long ``flowpost --help`` takes, beside a bare Python: a ratio holds on any machine, milliseconds don't.

Every figure is the median of runs that are interleaved, so that a busy moment hits all of them alike.
Exit code 1 when ``flowpost --help`` takes over 5 times as long as ``python -c pass``.

    .venv/bin/python bench/startup.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from runner.cli.verbs import VERBS

BARE = "python -c pass"
IMPORT = "import runner.cli.main"
HELP = "flowpost --help"
RATIO = 5.0
MILLISECONDS = 150.0
ROUNDS = 15


def programs() -> dict[str, list[str]]:
    """What is measured, by the name that the table shows."""
    flowpost = str(Path(sys.executable).with_name("flowpost"))
    measured = {
        BARE: [sys.executable, "-c", "pass"],
        IMPORT: [sys.executable, "-c", IMPORT],
        HELP: [flowpost, "--help"],
    }
    return measured | {f"flowpost {verb} --help": [flowpost, verb, "--help"] for verb in sorted(VERBS)}


def milliseconds(command: list[str]) -> float:
    """The time of one run, from its start to its end."""
    began = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"NO_COLOR": "1"},
    )
    return (time.perf_counter() - began) * 1000


def measure(rounds: int) -> dict[str, float]:
    """The median of each program in milliseconds; one round before the first warms the caches."""
    measured = programs()
    times: dict[str, list[float]] = {name: [] for name in measured}
    for number in range(rounds + 1):
        for name, command in measured.items():
            taken = milliseconds(command)
            if number:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def report(medians: Mapping[str, float]) -> str:
    """The table: milliseconds, and times a bare Python."""
    lines = [f"{'median':<28} {'ms':>8} {'x bare':>8}"]
    for name, taken in medians.items():
        slow = f"  over {MILLISECONDS:.0f} ms" if taken > MILLISECONDS else ""
        lines.append(f"{name:<28} {taken:>8.1f} {taken / medians[BARE]:>8.2f}{slow}")
    return "\n".join(lines)


def complaint(medians: Mapping[str, float]) -> str:
    """What is too slow; empty when nothing is."""
    ratio = medians[HELP] / medians[BARE]
    if ratio <= RATIO:
        return ""
    return f"{HELP} takes {ratio:.2f} times as long as {BARE}; at most {RATIO:.0f} times is wanted"


def main() -> int:
    """Print the table and judge it."""
    medians = measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    print(report(medians))
    if wrong := complaint(medians):
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
