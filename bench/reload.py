"""From a save to the flow being live, and what a reload costs: the median must be at most 150 ms.

Saves as editors make them, over small and large workspaces, with the catalog following its files as under serve.
Prints milliseconds per way of saving, the cost of a reload that finds nothing, of one template that many flows use,
and of 500 files at once. Exit code 1 when a median of single saves is over the limit.

    .venv/bin/python bench/reload.py [SAVES] [FLOWS]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "watch"))

from following import Following, following
from saves import atomic, emacs, plain, vim

LIMIT = 150.0
SAVES: list[Callable[[Path, str], None]] = [plain, vim, emacs, atomic]


def flow(text: str) -> str:
    """A flow like those that people write: a webhook, a body schema, a request and a message."""
    return f"""name: NAME
triggers: [{{webhook: {{path: NAME, auth: none}}}}]
body: {{type: object, required: [email], properties: {{email: {{type: string}}, name: {{type: string}}}}}}
nodes:
  - id: a
    set: {{text: "{text}"}}
  - id: contact
    http: {{method: GET, url: "https://crm.example.com/c/<<trigger.body.email>>"}}
    on_error: continue
  - id: welcome
    when: << nodes.contact.status == "succeeded" >>
    smtp:
      credential: marketing
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      subject: Welcome <<trigger.body.name>>
      body_format: html
      html_body: "<h1>Hi <<trigger.body.name>></h1><% include 'foot.html' %>"
"""


def fill(root: Path, flows: int) -> None:
    (root / "templates").mkdir(parents=True)
    (root / "templates" / "foot.html").write_text("<p>Bye</p>")
    (root / "flows").mkdir()
    for number in range(flows):
        write(root, number, "0")


def write(root: Path, number: int, text: str, how: Callable[[Path, str], None] = plain) -> None:
    how(root / "flows" / f"f{number}.yaml", flow(text).replace("NAME", f"f{number}"))


async def live(here: Following, name: str, text: str, pause: float = 0.0005) -> None:
    """Wait until the flow says ``text``; looks every ``pause`` seconds."""
    while here.catalog.flows()[name].nodes[0].params["text"] != text:
        await asyncio.sleep(pause)


async def measure(root: Path, saves: int, flows: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    async with following(root) as here:
        for how in SAVES:
            for number in range(saves):
                text = f"{how.__name__}{number}"
                start = time.perf_counter()
                await asyncio.to_thread(write, root, number % flows, text, how)
                await live(here, f"f{number % flows}", text)
                times.setdefault(f"save to live, {how.__name__}", []).append(time.perf_counter() - start)
                await asyncio.sleep(0.05)
        await asyncio.sleep(2.5)  # what is young is read at each look
        for _ in range(saves):
            start = time.perf_counter()
            await asyncio.to_thread(here.catalog.reload, ())
            times.setdefault("reload that finds nothing", []).append(time.perf_counter() - start)
        here.changes.clear()
        start = time.perf_counter()
        await asyncio.to_thread(plain, root / "templates" / "foot.html", "<p>Ciao</p>")
        while not here.changes:
            await asyncio.sleep(0.005)  # looking often takes the loading thread's time
        times[f"a template of {len(here.changes[0].changed)} flows"] = [time.perf_counter() - start]
        await asyncio.sleep(1)
        here.changes.clear()
        start = time.perf_counter()
        for number in range(flows):
            await asyncio.to_thread(write, root, number, "all")
        for number in range(flows):
            await live(here, f"f{number}", "all", 0.005)
        times[f"{flows} files at once, {len(here.changes)} swap(s)"] = [time.perf_counter() - start]
    return times


def main(arguments: list[str]) -> int:
    saves = int(arguments[0]) if arguments else 30
    sizes = [int(arguments[1])] if len(arguments) > 1 else [10, 500]
    slow = False
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for flows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "acme"
            fill(root, flows)
            times = asyncio.run(measure(root, saves, flows))
        print(f"\n{flows} flows, {'milliseconds':>29}  median     p95     max")
        for name, seconds in times.items():
            ordered = sorted(1000 * second for second in seconds)
            median, p95 = statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))]
            bad = name.startswith("save") and median > LIMIT
            slow = slow or bad
            over = f"  over {LIMIT:g}" if bad else ""
            print(f"  {name:<40} {median:8.1f} {p95:7.1f} {ordered[-1]:7.1f}{over}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
