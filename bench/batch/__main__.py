"""``flowpost batch`` beside Nodemailer's pool and @upyo/smtp: whole processes, side by side, start-up included.

    python bench/batch                          every variant
    python bench/batch --only plain,tls --rounds 5 --rows 5000
    python bench/batch --check                  are the messages alike? 50 rows of each sender, parsed and compared
    python bench/batch --peers                  the peers alone
    python bench/batch --only million           a million rows: memory, time a row, time to the first mail

All read the same CSV, fill the same templates (Jinja2 here, nunjucks there) and mail over ten connections: an HTML part
of 4 KB with a text alternative, a third of the names not ASCII. The senders of a round run one after the other,
in an order that turns from round to round; a ratio is the median of the rounds' own ratios, with the least and the
most in brackets. CPU is the sender's, its children's included; "server us" is what the receiving process spent
meanwhile, so that a server that is the bottleneck shows. Every round is checked by the server's own count. Needs
node and npm (packages go to ~/.cache/flowpost-bench), Debian's postfix for smtp-sink and smtp-source, and a PostgreSQL.
Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent.parent))

import material
from check import check
from contenders import Contender, Flowpost, Peer, Target, install
from measure import Failed, Result, run
from million import million
from servers import Postgres, postgres, prove_wire
from tables import table
from variants import VARIANTS, WIRE, Variant, Way

WARM_UP = 50
"""Rows of a round before the first, that fills caches and does not count."""


@dataclass
class Bench:
    """One variant, set up: its server, its database, its rows."""

    variant: Variant
    folder: Path
    way: Way
    base: Postgres | None

    def rows(self, count: int) -> Path:
        path = self.folder / f"{count}.csv"
        return path if path.exists() else material.write_rows(path, count)

    def once(self, contender: Contender, rows: int) -> Result:
        """One round of one contender. Raises ``Failed``, also where the server counted other than that."""
        end, ours = self.way.end, isinstance(contender, Flowpost)
        target = Target(
            self.way.near.port, rows, self.rows(rows), self.folder / "templates", self.folder, end.ca_pem
        )
        if self.base is not None and ours:
            target = replace(target, database=self.base.fresh())
        commands = contender.commands(target)
        served, stored = end.cpu(), self.base.cpu() if self.base else 0.0
        try:
            result = run(commands, rows)
        finally:
            for left in self.folder.glob("workspace-*"):
                shutil.rmtree(left)
            took = end.counted()
        if took != rows and (ours or isinstance(contender, Peer)):
            raise Failed(f"{contender.name}: the server counted {took} messages of {rows}")
        database_cpu = (self.base.cpu() if self.base else 0.0) - stored
        return replace(result, server_cpu=end.cpu() - served, database_cpu=database_cpu)


def measure(variant: Variant, rounds: int, rows: int, senders: Collection[str]) -> bool:
    """Run a variant, print its table and its goals; whether all were met that these senders can show."""
    rows = max(WARM_UP, int(rows * variant.rows))
    contenders = [c for c in variant.contenders if c.name in senders]
    flowpost = any(isinstance(c, Flowpost) for c in contenders)
    found: dict[str, list[Result]] = {contender.name: [] for contender in contenders}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowpost-bench-")))
        material.write_templates(folder / "templates")
        base = stack.enter_context(postgres()) if variant.database == "postgres" and flowpost else None
        bench = Bench(variant, folder, stack.enter_context(variant.server()), base)
        standing = list(contenders)
        for number in range(rounds + 1):
            for contender in [
                *contenders[number % len(contenders) :],
                *contenders[: number % len(contenders)],
            ]:
                if contender not in standing:
                    continue
                try:
                    result = bench.once(contender, rows if number else WARM_UP)
                except Failed as failed:
                    print(failed, file=sys.stderr)
                    standing.remove(contender)
                    found[contender.name] = []
                    continue
                if number:
                    found[contender.name].append(result)
    print(f"\n{table(f'{variant.title}, {rows} rows', found, [b for b in variant.bases if b in found])}")
    verdicts = [goal.check(found) for goal in variant.goals if {goal.who, goal.whom} <= set(found)]
    for _, line in verdicts:
        print(line)
    sys.stdout.flush()
    return all(met for met, _ in verdicts)


def main() -> int:
    names = [*(variant.name for variant in VARIANTS), "million"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--only", default=",".join(names), metavar=",".join(names))
    parser.add_argument("--check", action="store_true", help="compare the messages in place of the speed")
    everyone = list(dict.fromkeys(c.name for variant in VARIANTS for c in variant.contenders))
    parser.add_argument("--senders", help=f"some of: {', '.join(everyone)}")
    parser.add_argument("--peers", action="store_true", help="without flowpost")
    parser.add_argument(
        "--round-trip", type=int, default=50, help="ms of the long wire; the goals are for 50"
    )
    parser.add_argument("--million", type=int, default=1_000_000, help="rows of the variant of that name")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := set(wanted) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(names)}")
    senders = arguments.senders.split(",") if arguments.senders else everyone
    if unknown := set(senders) - set(everyone):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(everyone)}")
    if arguments.peers:
        senders = [name for name in senders if "flowpost" not in name]
    print(install())
    if arguments.check:
        return 0 if check(peers=arguments.peers) else 1
    started, met = time.monotonic(), True
    if {"far", "chunking"} & set(wanted):
        WIRE.way = arguments.round_trip // 2
        print(f"the long wire: {prove_wire(WIRE.way)}")
    for variant in VARIANTS:
        if variant.name in wanted:
            met &= measure(variant, arguments.rounds, arguments.rows, senders)
    if "million" in wanted and "flowpost" in senders:
        met &= million(arguments.million)
    print(f"\n{time.monotonic() - started:.0f} s; {'every goal met' if met else 'a goal was missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
