"""Unknown names are found without rendering, at their exact place, with the nearest name that exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.template import ANY, Kind, Shape, Templates, Where, check_names, shape_of_schema

SCHEMA = {
    "type": "object",
    "required": ["email", "extra"],
    "properties": {
        "email": {"type": "string"},
        "name": {"type": "string"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "address": {"type": "object", "properties": {"city": {"type": "string"}}},
        "free": {"type": "object"},
        "open": {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        "typed": {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        "patterned": {"properties": {"a": {}}, "patternProperties": {"^x-": {}}},
        "sealed": {"properties": {"a": {}}, "additionalProperties": False},
        "either": {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
        "both": {"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}, {"required": ["a"]}]},
        "cond": {"properties": {"a": {}}, "if": {"properties": {"a": {}}}, "then": {"properties": {"c": {}}}},
        "tree": {"$ref": "#/$defs/tree"},
        "remote": {"$ref": "https://example.com/x.json"},
    },
    "$defs": {
        "item": {"properties": {"title": {"type": "string"}, "price": {"type": "number"}}},
        "tree": {"properties": {"value": {}, "next": {"$ref": "#/$defs/tree"}}},
    },
}
TRIGGER = Shape.of({"body": shape_of_schema(SCHEMA), "headers": ANY, "query": ANY, "type": ANY, "time": ANY})
RESULT = Shape.of({"status": ANY, "output": ANY, "error": ANY})
SHAPE = Shape.of(
    {
        "trigger": TRIGGER,
        "nodes": Shape.of({"fetch": RESULT}),
        "vars": Shape.of({"brand": ANY}),
        "flow": Shape.of({"name": ANY}),
        "run": Shape.of({"id": ANY}),
    }
)

GOOD = [
    "<< trigger.body.email >> << trigger.body.extra >>",
    "<< trigger.body['email'] >>",
    "<< trigger.headers['x-any'].y >>",
    "<< trigger.body.address.city.upper() >>",
    "<< trigger.body.free.anything.deep >>",
    "<< trigger.body.open.anything >>",
    "<< trigger.body.typed.anything >>",
    "<< trigger.body.patterned.anything >>",
    "<< trigger.body.either.a >><< trigger.body.either.b >>",
    "<< trigger.body.both.a >><< trigger.body.both.b >>",
    "<< trigger.body.cond.a >><< trigger.body.cond.c >>",
    "<< trigger.body.tree.next.next.next.next.next.next.value >>",
    "<< trigger.body.remote.x >>",
    "<% for i in trigger.body.items %><< i.title >><< loop.index >><% endfor %>",
    "<% for i in trigger.body.items | sort(attribute='price') %><< i.title >><% endfor %>",
    "<< trigger.body.items[0].title >>",
    "<< (trigger.body.items | first).price >>",
    "<< trigger.body.items | map(attribute='whatever') | list >>",
    "<% for k, v in trigger.body.address.items() %><< k >><< v.x >><% endfor %>",
    "<< trigger.body.nope is defined >>",
    "<< trigger.body.nope | default('x') >>",
    "<< nope is defined >>",
    "<% set x = trigger.body %><< x.email >>",
    "<% set x %>a<% endset %><< x >>",
    "<% if trigger.body.name %><% set x = 1 %><% else %><% set x = 2 %><% endif %><< x >>",
    "<% macro m(a, b=1) %><< a.b >><< b >><< varargs >><< kwargs >><% endmacro %><< m(1) >>",
    "<% macro m() %><< caller() >><% endmacro %><% call(u) m() %><< u.x >><% endcall %>",
    "<% with a = trigger.body.name %><< a >><% endwith %>",
    "<% set ns = namespace(a=1) %><< ns.a >><< ns.b >>",
    "<% block b %><< super() >><% endblock %>",
    "<< range(3) >><< dict(a=1).a >>",
    "<< trigger.body.address.get('zip') >>",
    "<< vars.brand ~ flow.name ~ run.id >>",
    "<< nodes.fetch.output.a.b[0].c >>",
]


@pytest.mark.parametrize("text", GOOD)
def test_names_that_exist_are_left_alone(where: Where, text: str) -> None:
    assert check_names(Templates(None).compile(text, Kind.TEXT, where), SHAPE) == []


BAD = [
    ("<< trigger.body.emial >>", 1, 17, "emial", "email"),
    ("a\n<< trigger.body. nmae >>", 2, 18, "nmae", "name"),
    ("<< trigger.body['emial'] >>", 1, 18, "emial", "email"),
    ("<< triger.body >>", 1, 4, "triger", "trigger"),
    ("<< nodes.fetsh.output >>", 1, 10, "fetsh", "fetch"),
    ("<< nodes.fetch.outptu >>", 1, 16, "outptu", "output"),
    ("<< vars.brnd >>", 1, 9, "brnd", "brand"),
    ("<< secrets.x >>", 1, 4, "secrets", ""),
    ("<< trigger.body.sealed.b >>", 1, 24, "b", ""),
    ("<< trigger.body.either.c >>", 1, 24, "c", ""),
    ("<< trigger.body.both.c >>", 1, 22, "c", ""),
    ("<< trigger.body.email.first >>", 1, 23, "first", ""),
    ("<< trigger.body.address.ctiy.x >>", 1, 25, "ctiy", "city"),
    ("<< trigger.body.tree.next.valeu >>", 1, 27, "valeu", "value"),
    ("<% for i in trigger.body.items %><< i.titel >><% endfor %>", 1, 39, "titel", "title"),
    ("<< trigger.body.items[0].titel >>", 1, 26, "titel", "title"),
    ("<< (trigger.body.items | last).titel >>", 1, 32, "titel", "title"),
    ("<% for i in trigger.body.itms %><% endfor %>", 1, 26, "itms", "items"),
    ("<% for i in [1] %><% endfor %><< i >>", 1, 34, "i", ""),
    ("<< x >><% set x = 1 %>", 1, 4, "x", ""),
    ("<% set x = trigger.body %><< x.emial >>", 1, 32, "emial", "email"),
    ("<% with a = 1 %><% endwith %><< a >>", 1, 33, "a", ""),
    ("<% macro m(a) %><< aa >><% endmacro %>", 1, 20, "aa", "a"),
    ("<< 'x' if trigger.body.emial else 'y' >>", 1, 24, "emial", "email"),
    ("<< trigger.body.emial.x is defined >>", 1, 17, "emial", "email"),
    ("<< trigger.body.emial.x | default(1) >>", 1, 17, "emial", "email"),
    ("<< 'x' | default(trigger.body.emial) >>", 1, 31, "emial", "email"),
    ("<< dict(a=trigger.body.emial) >>", 1, 24, "emial", "email"),
    ("<< [1, {'a': trigger.body.emial}] >>", 1, 27, "emial", "email"),
    ("<< trigger.body.emial() >>", 1, 17, "emial", "email"),
    ("<% filter replace('a', nope) %><% endfilter %>", 1, 24, "nope", ""),
    ("<% if nope %><% elif nope2 %><% endif %>", 1, 7, "nope", ""),
    ("<< trigger.bdoy >>", 1, 12, "bdoy", "body"),
]


@pytest.mark.parametrize(("text", "line", "column", "name", "near"), BAD)
def test_an_unknown_name_is_found(
    where: Where, text: str, line: int, column: int, name: str, near: str
) -> None:
    found = check_names(Templates(None).compile(text, Kind.TEXT, where), SHAPE)[0]

    assert (found.path, found.line, found.column, found.code) == ("flows/a.yaml", line, column, "ETEMPLATE")
    assert f'unknown name "{name}"' in found.message
    assert (f'did you mean "{near}"?' == found.hint) if near else True


def test_names_are_checked_after_a_render_as_before(where: Where) -> None:
    template = Templates(None).compile(
        "<% for i in trigger.body.items %><< i.titel | default('') >><< i.pirce | default('') >><% endfor %><< x.y >>",
        Kind.TEXT,
        where,
    )
    before = check_names(template, SHAPE)
    template.render({"trigger": {"body": {"items": [{}]}}, "x": {"y": 1}})

    assert check_names(template, SHAPE) == before != []


def test_an_open_scope_has_any_name(where: Where) -> None:
    template = Templates(None).compile("<< a.b.c >>", Kind.TEXT, where)

    assert check_names(template, ANY) == []
    assert check_names(template, Shape.of({}, closed=False)) == []


def test_all_unknown_names_are_found_in_order(where: Where) -> None:
    template = Templates(None).compile("<< b >> << a >>\n<< c.d >>", Kind.TEXT, where)

    assert [(one.line, one.column) for one in check_names(template, SHAPE)] == [(1, 4), (1, 12), (2, 4)]


def test_names_in_included_files_are_found_there(tmp_path: Path, where: Where) -> None:
    (tmp_path / "part.html").write_text("<p>\n  << trigger.body.emial >></p>")
    (tmp_path / "macros.html").write_text("<% macro m(x) %><< x.y >><< trigger.body >><% endmacro %>")
    (tmp_path / "base.html").write_text("<< vars.brnd >><% block b %><% endblock %>")
    text = "<% extends 'base.html' %><% from 'macros.html' import m %><% block b %><% include 'part.html' %><< m(1) >><% endblock %>"
    template = Templates(tmp_path, label="templates").compile(text, Kind.HTML, where)
    found = {(one.path, one.line, one.column) for one in check_names(template, SHAPE)}

    assert found == {
        ("templates/part.html", 2, 19),
        ("templates/base.html", 1, 9),
        ("templates/macros.html", 1, 29),
    }


@pytest.mark.parametrize(
    "schema",
    [True, {}, {"type": "object"}, {"$ref": "#/nowhere"}, {"$ref": "#"}, 5, None, {"properties": 5}, {"anyOf": [True, {"properties": {"a": {}}}]}, {"oneOf": [{"type": "object", "additionalProperties": True}, {"properties": {"a": {}}}]}],
)  # fmt: skip
def test_a_schema_that_says_nothing_is_open(where: Where, schema: Any) -> None:
    template = Templates(None).compile("<< b.anything >>", Kind.TEXT, where)

    assert check_names(template, Shape.of({"b": shape_of_schema(schema)})) == []


def test_a_schema_that_refers_to_itself_in_many_ways_ends() -> None:
    schema: dict[str, Any] = {"$defs": {}}
    for number in range(30):
        schema["$defs"][f"d{number}"] = {
            "properties": {f"p{other}": {"$ref": f"#/$defs/d{other}"} for other in range(30)}
        }
    schema["$ref"] = "#/$defs/d0"

    assert shape_of_schema(schema).closed
