"""Our sandbox against plain Jinja2's, on one message: subject, text body and HTML body.

``python bench/template.py``: µs for each and the ratio, best of many rounds, the two taking turns.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.diagnostic import Position
from runner.template import Kind, Templates, Where

SUBJECT = "Welcome to <<vars.brand>>, <<trigger.body.name>>!"
TEXT = """Hi <<trigger.body.name>>,

<% if trigger.body.trial %>your trial ends on <<trigger.body.ends>>.<% endif %>
<% for line in trigger.body.lines %>- <<line.title>>: <<line.price>>
<% endfor %>
Yours, <<vars.brand | upper>>
"""
HTML = """<h1>Hi <<trigger.body.name>></h1><p>Your trial ends on <b><<trigger.body.ends>></b>.</p>
<table><% for line in trigger.body.lines %><tr><td><<line.title>></td><td><<line.price>></td></tr><% endfor %></table>
<p><a href="https://example.com/c/<<trigger.body.id>>">account</a> of <<trigger.body.email>></p><p><<vars.brand>></p>
"""
SCOPE = {
    "trigger": {
        "body": {
            "name": "Ann & Bob",
            "email": "ann@example.com",
            "id": 4711,
            "trial": True,
            "ends": "2026-01-31",
            "lines": [{"title": f"Item {number}", "price": "9.90"} for number in range(5)],
        }
    },
    "vars": {"brand": "Acme"},
}
CASES = [("subject", SUBJECT, Kind.TEXT), ("text", TEXT, Kind.TEXT), ("html", HTML, Kind.HTML)]
TURNS, ROUNDS = 2000, 15


def main() -> None:
    delimiters = {
        "variable_start_string": "<<",
        "variable_end_string": ">>",
        "block_start_string": "<%",
        "block_end_string": "%>",
        "comment_start_string": "<#",
        "comment_end_string": "#>",
    }
    ours, theirs = [], []
    for _, text, kind in CASES:
        ours.append(Templates(None).compile(text, kind, Where("bench", "body", Position)))
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined,
            autoescape=kind is Kind.HTML,
            keep_trailing_newline=True,
            **delimiters,
        )
        theirs.append(environment.from_string(text))
    best: dict[str, list[float]] = {}
    for (name, _, _), our, their in zip(CASES, ours, theirs, strict=True):
        assert our.render(SCOPE) == their.render(SCOPE)
        best[name] = [1e9, 1e9]
    for _ in range(ROUNDS):
        for (name, _, _), *pair in zip(CASES, ours, theirs, strict=True):
            for side, template in enumerate(pair):
                started = time.perf_counter()
                for _ in range(TURNS):
                    template.render(SCOPE)
                best[name][side] = min(best[name][side], (time.perf_counter() - started) / TURNS * 1e6)
    best["message"] = [sum(found[side] for found in best.values()) for side in (0, 1)]
    for name, (our_time, their_time) in best.items():
        print(f"{name:8} {our_time:7.2f} µs  plain {their_time:7.2f} µs  ratio {our_time / their_time:.2f}")


if __name__ == "__main__":
    main()
