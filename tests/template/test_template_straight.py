"""The short way through a simple template gives and raises what the generated code does."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from corpus_cases import STRINGS
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.diagnostic import Invalid, Position
from runner.errors import TemplateError
from runner.template import Kind, Template, Templates, Where
from runner.template.values import Html

WHERE = Where("flows/a.yaml", "smtp.body", Position)
KINDS = [Kind.TEXT, Kind.HTML, Kind.ADDRESS, Kind.EXPRESSION]

pieces = st.sampled_from(
    [
        "Dear ", "<p>", "\n", " <", "&", "x" * 50,
        "<<trigger.body.a>>", "<< trigger.body.b >>", "<<trigger.body['a']>>", "<< trigger['body'].b >>",
        "<<vars.c>>", "<<a>>", "<<trigger.nope>>", "<<nope>>", "<<self>>", "<<range>>", "<<trigger.body.items>>",
        "<<trigger.body.a|upper>>", "<<trigger.body.0>>", "<<trigger.body.a.b>>", "<# why #>",
        "<% if trigger.body.a == 'yes' %>A<% endif %>",
        "<% if 'yes' != vars.c %><<a>><% elif trigger.body.b %>B<<vars.c>><% elif a == 1 %>1<% else %>C<% endif %>",
        "<% if a %><% if trigger.body.a %>both<% endif %>one<% endif %>",
        "<% if a == none %>-<% endif %>", "<% if trigger.nope %>x<% endif %>", "<% if a and vars.c %>y<% endif %>",
    ]
)  # fmt: skip
templates = st.lists(pieces, max_size=5).map("".join)
scalars = (
    st.sampled_from(["yes", "", "a & b", "<b>", 1, True, None, 0.5, 10**6000, "\ud800", "x" * 5000, Html("<i>"), b"y"])
    | st.text(max_size=8)
    | st.integers()
    | st.decimals(allow_nan=False)
)  # fmt: skip
values = (
    scalars | st.lists(st.text(max_size=3), max_size=2) | st.dictionaries(st.just("b"), scalars, max_size=1)
)
bodies = st.dictionaries(st.sampled_from(["a", "b", "items"]), values)
scopes = st.fixed_dictionaries(
    {
        "trigger": st.fixed_dictionaries({"body": bodies | bodies.map(MappingProxyType) | values}),
        "vars": st.fixed_dictionaries({"c": values}),
    },
    optional={"a": values, "self": scalars},
)


def compiled(text: str, kind: Kind, limit: int | None = None) -> Template:
    return Templates(None).compile(text, kind, WHERE, limit)


def outcome(template: Template, scope: Mapping[str, object]) -> Any:
    try:
        found = template.render(scope)
    except TemplateError as error:
        return error.message, error.hint
    return type(found), found


def both(text: str, kind: Kind, scope: Mapping[str, object], limit: int | None = None) -> tuple[Any, Any]:
    """What comes of the template as it is, and of one that has lost its short ways."""
    whole, long = compiled(text, kind, limit), compiled(text, kind, limit)
    outcome(long, scope)
    long._short = long._short_parts = None
    return outcome(whole, scope), outcome(long, scope)


@settings(max_examples=400, deadline=None)
@given(text=templates, kind=st.sampled_from(KINDS), scope=scopes, limit=st.sampled_from([None, 0, 20, 100]))
def test_both_ways_give_the_same_value_or_the_same_mistake(
    text: str, kind: Kind, scope: dict[str, object], limit: int | None
) -> None:
    try:
        short, long = both(text, kind, scope, limit)
    except Invalid:
        # what does not compile has no ways
        return

    assert short == long


@settings(max_examples=150, deadline=None)
@given(text=templates, kind=st.sampled_from([Kind.TEXT, Kind.HTML]), found=st.lists(scopes, max_size=4))
def test_a_template_filled_for_many_scopes_keeps_nothing_of_the_ones_before(
    text: str, kind: Kind, found: list[dict[str, object]]
) -> None:
    try:
        template = compiled(text, kind)
    except Invalid:
        return

    for scope in found:
        assert outcome(template, scope) == outcome(compiled(text, kind), scope)


@pytest.mark.parametrize("kind", KINDS)
def test_naughty_strings_come_out_the_same_on_both_ways(kind: Kind) -> None:
    text = "<<v>>" if kind is Kind.EXPRESSION else "Dear <<v>> <<<w.x>>> <<v>>"
    for value in STRINGS:
        short, long = both(text, kind, {"v": value, "w": {"x": value}})

        assert short == long


def short_of(template: Template, scope: dict[str, object]) -> Any:
    outcome(template, scope)
    return None if template._short is None else template._short(scope, template.limit)


SIMPLE = [
    ("<<v>> and <<w.x>>", Kind.TEXT, "a& and 3"),
    ("<p><<v>></p>", Kind.HTML, "<p>a&amp;</p>"),
    ("<<v>>", Kind.HTML, "a&amp;"),
    ("<<v>>", Kind.TEXT, "a&"),
    ("x<% if w.x == 3 %>y<% else %>z<% endif %>", Kind.TEXT, "xy"),
    ("<% if w.none %>y<<v>><% endif %>", Kind.TEXT, ""),
    ("n<<w.none>>", Kind.TEXT, "nNone"),
    ("<<w.x>>\n", Kind.HTML, "3\n"),
]


@pytest.mark.parametrize(("text", "kind", "expected"), SIMPLE)
def test_a_simple_template_takes_the_short_way(text: str, kind: Kind, expected: str) -> None:
    assert short_of(compiled(text, kind), {"v": "a&", "w": {"x": 3, "none": None}}) == expected


LONG = [
    ("<<v|upper>> <<v>>", "a"),
    ("<<v>> <<nope>>", "a"),
    ("<<v>> <<v>>", Html("a")),
    ("<<v>> <<v>>", Decimal(1)),
    ("<<v>> <<v>>", 10**6000),
    ("<<v>> <<v>>", "x" * 5000),
    ("<% for a in v %><<a>><% endfor %><<v>>", "a"),
    ("<% set v = 'b' %><<v>>", "a"),
    ("".join(f"<% if v == '{number}' %><% endif %>" for number in range(9)), "a"),
    ("<% if v %>" + "".join(f"<% elif v == '{number}' %>" for number in range(1200)) + "<% endif %>", "a"),
]


@pytest.mark.parametrize(("text", "value"), LONG, ids=range(len(LONG)))
def test_what_is_not_simple_takes_the_long_way(text: str, value: object) -> None:
    assert short_of(compiled(text, Kind.TEXT), {"v": value}) is None


def test_a_mapping_of_another_class_takes_the_long_way() -> None:
    assert short_of(compiled("<<v.a>> <<v.a>>", Kind.TEXT), {"v": MappingProxyType({"a": "b"})}) is None
