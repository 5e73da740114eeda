"""No template takes a second or 100 MB: each ends in ETEMPLATE, or is refused when it is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bombs import BOMBS
from corpus_cases import SSTI

from runner.diagnostic import Invalid
from runner.errors import TemplateError
from runner.template import Kind

HERE = Path(__file__).parent


def explode(cases: dict[str, tuple[str, str]]) -> list[list[Any]]:
    done = subprocess.run(
        [sys.executable, str(HERE / "bombs.py")],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=110,
        cwd=HERE.parent.parent,
        env={"PYTHONPATH": str(HERE.parent.parent)},
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]

    assert len(rows) == len(cases), f"stopped before {list(cases)[len(rows)]}: {done.stderr[-2000:]}"
    return rows


@pytest.mark.parametrize("kind", ["text", "html", "url", "address"])
def test_every_bomb_ends_in_an_error_within_a_second_and_100_mb(kind: str) -> None:
    rows = explode({name: (kind, text) for name, text in BOMBS.items()})

    assert [row for row in rows if row[2] is None] == []
    assert [row for row in rows if "too much memory" in row[3]] == [], "stopped by the limit of the process"
    assert [row for row in rows if row[4] > 1.0] == []


def test_a_bomb_in_an_expression_field_ends_in_an_error() -> None:
    bare = {
        name: text[2:-2] for name, text in BOMBS.items() if text.startswith("<<") and text.count("<<") == 1
    }
    rows = explode({name: ("expression", text) for name, text in bare.items()})

    assert len(bare) > 60
    assert [row for row in rows if row[2] is None or row[4] > 1.0 or "too much memory" in row[3]] == []


@pytest.mark.skipif(not SSTI, reason="../shared/corpora is not here")
@pytest.mark.parametrize("kind", ["text", "html", "url", "address"])
def test_every_bomb_of_the_corpus_ends_in_an_error_or_is_no_bomb_any_more(kind: str) -> None:
    cases = {}
    for case in SSTI:
        if case["kind"] == "dos":
            angle = case["template_angle"] or str(case["template"]).replace("{%", "<%").replace("%}", "%>")
            cases[str(case["id"])] = (kind, str(angle))
    rows = explode(cases)

    assert len(cases) >= 12
    assert [row for row in rows if row[2] is None] == []
    assert [row for row in rows if row[4] > 1.0 or "too much memory" in row[3]] == []


def test_the_runner_lives_on_after_a_bomb(render: Any) -> None:
    for _ in range(3):
        with pytest.raises(TemplateError):
            render("<% for i in range(10**9) %>x<% endfor %>")

    assert render("hi <<trigger.body.n>>") == "hi 3"


def test_a_large_but_honest_digest_renders(render: Any) -> None:
    rows = [
        {"name": f"Name {number}", "mail": f"n{number}@example.com", "n": number} for number in range(5000)
    ]
    text = "<% for row in rows %><tr><td><<loop.index>></td><td><<row.name>></td><td><<row.mail|upper>></td></tr><% endfor %>"

    assert render(text, Kind.HTML, {"rows": rows}).count("<tr>") == 5000


def test_output_stops_at_the_fields_cap_while_rendering(render: Any) -> None:
    with pytest.raises(TemplateError, match="more than 998 characters"):
        render("x<< 'a' * 999 >>", limit=998)


def test_a_lone_text_stops_at_the_fields_cap(render: Any) -> None:
    with pytest.raises(TemplateError, match="more than 10 characters"):
        render("<< trigger.body.name >>", limit=10)


def test_nothing_is_evaluated_while_compiling(where: Any) -> None:
    from runner.template import Templates

    for expression in (
        "2**(2**30)",
        "'a'*10**10",
        "'a'|center(10**9)",
        "[1]*10**9",
        "'%1000000000d'|format(1)",
    ):
        Templates(None).compile(f"x << {expression} >>", Kind.TEXT, where)


def test_a_text_of_more_than_a_mebibyte_is_refused(where: Any) -> None:
    from runner.template import Templates

    with pytest.raises(Invalid, match="more than 1048576"):
        Templates(None).compile("x" * 1_100_000, Kind.TEXT, where)
