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
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent.parent))

import material
from check import check
from contenders import Flowpost, Peer, Target, install
from measure import Failed, Result, run
from million import million
from servers import postgres, prove_wire
from tables import table
from variants import VARIANTS, WAY, Variant


def measure(variant: Variant, rounds: int, rows: int, peers: bool) -> bool:
    """Run a variant, print its table and its goals; whether all were met."""
    rows = max(50, int(rows * variant.rows))
    contenders = [c for c in variant.contenders if not (peers and isinstance(c, Flowpost))]
    found: dict[str, list[Result]] = {contender.name: [] for contender in contenders}
    broken: set[str] = set()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowpost-bench-")))
        material.write_templates(folder / "templates")
        data = material.write_rows(folder / "rows.csv", rows)
        base = stack.enter_context(postgres()) if variant.database == "postgres" and not peers else None
        way = stack.enter_context(variant.server())
        for number in range(rounds):
            turned = contenders[number % len(contenders) :] + contenders[: number % len(contenders)]
            for contender in turned:
                if contender.name in broken:
                    continue
                target = Target(way.near.port, rows, data, folder / "templates", folder, way.end.ca_pem)
                if base is not None and isinstance(contender, Flowpost):
                    target = replace(target, database=base.fresh())
                commands = contender.commands(target)
                counts = isinstance(contender, Peer | Flowpost)
                before, stored = way.end.cpu(), base.cpu() if base else 0.0
                try:
                    result = run(commands, rows)
                    took = way.end.counted()
                    if counts and took != rows:
                        raise Failed(f"{contender.name}: the server counted {took} messages of {rows}")
                except Failed as failed:
                    print(failed, file=sys.stderr)
                    broken.add(contender.name)
                    found[contender.name] = []
                    continue
                finally:
                    for left in folder.glob("workspace-*"):
                        shutil.rmtree(left)
                server_cpu = way.end.cpu() - before
                database_cpu = (base.cpu() if base else 0.0) - stored
                found[contender.name].append(
                    replace(result, server_cpu=server_cpu, database_cpu=database_cpu)
                )
    print(f"\n{table(f'{variant.title}, {rows} rows', found, [b for b in variant.bases if b in found])}")
    verdicts = [] if peers else [goal.check(found) for goal in variant.goals]
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
    parser.add_argument("--peers", action="store_true", help="without flowpost")
    parser.add_argument("--million", type=int, default=1_000_000, help="rows of the variant of that name")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := set(wanted) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(names)}")
    print(install())
    if arguments.check:
        return 0 if check(peers=arguments.peers) else 1
    started, met = time.monotonic(), True
    if {"far", "chunking"} & set(wanted):
        print(f"the long wire: {prove_wire(WAY)}")
    for variant in VARIANTS:
        if variant.name in wanted:
            met &= measure(variant, arguments.rounds, arguments.rows, arguments.peers)
    if "million" in wanted and not arguments.peers:
        met &= million(arguments.million)
    print(f"\n{time.monotonic() - started:.0f} s; {'every goal met' if met else 'a goal was missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
