"""The comment on a pull request: bounded, folded, and safe whatever the values hold."""

from __future__ import annotations

import re

import pytest

from runner.model import Delivery
from runner.plan.compare import Change, Part
from runner.plan.face import Face
from runner.plan.markdown import MAX_CHARACTERS, as_markdown, code
from runner.plan.result import Against, Changed, First, NodePlan, Place, Plan


def plan(*lines: str, count: int = 1, to: str = "ann@example.com") -> Plan:
    made = Plan(flow="welcome", path="flows/welcome.yaml", data="rows.csv", delivery=Delivery())
    made.against = Against("origin/main", "1234567", changed=count)
    made.against.changes = [
        Changed("greet", Place(number, number), (to,), Change((Part("text", lines),)))
        for number in range(1, count + 1)
    ]
    return made


def blocks(markdown: str) -> list[tuple[str, list[str]]]:
    """The fenced blocks as CommonMark 4.5 reads them: (info string, lines)."""
    found: list[tuple[str, list[str]]] = []
    fence = ""
    for line in markdown.split("\n"):
        if not fence:
            opening = re.fullmatch(r"(`{3,})([^`]*)", line)
            if opening:
                fence = opening[1]
                found.append((opening[2], []))
        elif re.fullmatch(r" {0,3}" + fence + r"`*\s*", line):
            fence = ""
        else:
            found[-1][1].append(line)
    assert fence == "", "a block is never closed"
    return found


@pytest.mark.parametrize(
    "line", ["-```", "+````` x", " ```diff", "-</details>", "+" + "`" * 50, "-a\r```\n```"]
)
def test_no_line_ends_its_block(line: str) -> None:
    [(info, lines)] = blocks(as_markdown(plan(line, "+after")))

    assert info == "diff"
    assert lines[0] == "@@ text @@"
    assert lines[-1] == "+after"
    assert len(lines) == 3


def test_each_change_is_folded_and_every_fold_is_closed() -> None:
    text = as_markdown(plan("-a", "+b", count=3))

    assert text.count("<details") == text.count("</details>") == text.count("</summary>") == 3
    assert text.count("<details open>") == 1


@pytest.mark.parametrize("lines", [("-" + "x" * 500, "+" + "`" * 3000), ("-é" * 200,)])
def test_it_is_never_longer_than_a_comment(lines: tuple[str, ...]) -> None:
    text = as_markdown(plan(*(lines * 50), count=200))

    assert len(text) <= MAX_CHARACTERS
    assert "The rest does not fit into a comment" in text
    assert text.count("<details") == text.count("</details>") > 0
    blocks(text)


def test_values_mention_nobody_and_link_nothing() -> None:
    made = plan("-a", to="<b>@octocat</b>")
    made.bad.add(
        Place(1, 2), "schema", "hello @octocat <script> https://evil.example #12 ![x](y) `code` | cell"
    )

    text = as_markdown(made)

    outside = re.sub(r"<code>.*?</code>", "", text)
    assert not re.search(r"@octocat|https://|#12|<script>|(?<!\\)`code", outside)
    assert "&lt;b&gt;@octocat&lt;/b&gt;" in text


@pytest.mark.parametrize(
    ("text", "span"),
    [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a|b", "`a\\|b`"), ("a\nb", "`a b`")],
)
def test_a_code_span_holds_any_text(text: str, span: str) -> None:
    assert code(text) == span


def test_the_first_message_is_there_to_unfold() -> None:
    made = plan()
    face = Face(("To: Ann <ann@example.com>", "Subject: ```"), "Hello\n```\n@octocat", None)
    made.nodes["greet"] = NodePlan("greet", "main", 1, 1, First(Place(1, 2), face, ("ann@example.com",), ()))

    text = as_markdown(made)

    assert ("text", ["To: Ann <ann@example.com>", "Subject: ```", "", "Hello", "```", "@octocat"]) in blocks(
        text
    )
