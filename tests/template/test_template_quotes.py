"""Values in attributes without quotes: found by one pass over the author's text."""

from __future__ import annotations

import pytest

from runner.template import Kind, Templates, Where, unquoted

LOOSE = [
    ("<p title=<<trigger.body.v>>>", [10]),
    ("<p title= <<trigger.body.v>>>", [11]),
    ("<p\ttitle=a<<trigger.body.v>>b>", [11]),
    ('<p a="1"b=<<trigger.body.v>>>', [11]),
    ("<a href=/u/<<trigger.body.v>>?w=<<trigger.body.w>>>", [12, 33]),
    ("<% for i in trigger.body.x %><td width=<<i>>><% endfor %>", [40]),
    ("<td width=<< trigger.body.x if trigger.body.x else 1 >>>", [11]),
    ("<!-- a=<<run.id>> --><p a=<<trigger.body.v>>>", [27]),
    ("<style>p{}</style><p a=<<trigger.body.v>>>", [24]),
]
QUOTED = [
    "<p title=\"<<trigger.body.v>>\" name='<<trigger.body.v>>'>x = <<trigger.body.v>></p>",
    "<p>a < b = <<trigger.body.v>> > c",
    "<!-- <p a=<<trigger.body.v>> -->",
    "<script>if (a<b) x=<<trigger.body.v>></script>",
    "<td width=<<600>> height=<<trigger.body.v | int>>>",
    "<p <<trigger.body.v>>>",
    "<<<trigger.body.v>>>",
]


@pytest.mark.parametrize(("text", "columns"), LOOSE)
def test_a_value_without_quotes_is_warned_of_at_its_place(
    where: Where, text: str, columns: list[int]
) -> None:
    found = list(unquoted(Templates(None).compile(text, Kind.HTML, where)))

    assert [finding.column for finding in found] == columns
    assert {finding.severity for finding in found} == {"warning"}


@pytest.mark.parametrize("text", QUOTED)
def test_a_value_in_quotes_or_outside_of_tags_is_left_alone(where: Where, text: str) -> None:
    assert list(unquoted(Templates(None).compile(text, Kind.HTML, where))) == []


def test_a_text_that_is_not_html_is_left_alone(where: Where) -> None:
    assert list(unquoted(Templates(None).compile(LOOSE[0][0], Kind.TEXT, where))) == []
