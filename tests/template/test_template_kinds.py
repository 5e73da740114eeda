"""What each kind of field makes of values, and how values are reached: SPEC section 4, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from runner.errors import TemplateError
from runner.model import Fixed, Given
from runner.template import Kind, Templates, Where


class Status(StrEnum):
    DONE = "done"


TEXT = [
    ("<< trigger.body.items >>", ["a", "b"]),
    ("<<trigger.body.n>>", 3),
    ("<< trigger.body.none >>", None),
    ("<< nodes.fetch.output.body >>", b"\xff\x00"),
    ("<< trigger.body.n + 0.5 >>", 3.5),
    ("<< trigger.body.n > 2 >>", True),
    ("<< trigger.body.rows | map(attribute='city') >>", ["Rome", "Oslo", "Rome"]),
    ("<# why #><< trigger.body.n >>", 3),
    ("n=<< trigger.body.n >>", "n=3"),
    ("<< trigger.body.n >> ", "3 "),
    ("<< trigger.body.n >><< trigger.body.n >>", "33"),
    ("<% if true %><< trigger.body.n >><% endif %>", "3"),
    ("<< trigger.body.keys >>", 7),
    ("<< trigger.body['keys'] >>", 7),
    ("<< trigger.body.nested.deep.er >>", "found"),
    ("<< trigger.body.nested['deep'].er >>", "found"),
    ("<< trigger.body.items.0 >>", "a"),
    ("<< trigger.body.items[-1] >>", "b"),
    ("<< trigger.body.items[1:] >>", ["b"]),
    ("<< trigger.headers['x-id'] >>", "7"),
    ("<< trigger.body.nested.items() >>", [("deep", {"er": "found"})]),
    ("<< trigger.body.get('name')|length >>", 16),
    ("<< trigger.body.get('nope', 'x') >>", "x"),
    ("<< trigger.body | items | length >>", 8),
    ("<< trigger.body.name.upper() >>", "ANN O'NEIL <ANN>"),
    ("<< ' a b '.strip().split() >>", ["a", "b"]),
    ("<< 'a-b'.replace('-', '+') >>", "a+b"),
    ("<< trigger.body.nope | default('x') >>", "x"),
    ("<< trigger.body.nope is defined >>", False),
    ("<< trigger.body.name is defined >>", True),
    ("<< trigger.body.none or 'x' >>", "x"),
    ("<< 'yes' if trigger.body.n == 3 else 'no' >>", "yes"),
    ("<< trigger.time.year >>", 2026),
    ("<< trigger.time | date('%d.%m.%Y %H:%M', 'Europe/Berlin') >>", "31.01.2026 09:05"),
    ("<< trigger.time.strftime('%Y') >>", "2026"),
    ("<< trigger.time.isoformat() >>", "2026-01-31T08:05:00+00:00"),
    ("<< '2026-02-03' | date('%d %b') >>", "03 Feb"),
    ("<< 0 | date('%Y') >>", "1970"),
    ("<< {'a': 'é<'} | tojson >>", '{"a": "é<"}'),
    ("<< {'a': [1]} | json >>", '{"a": [1]}'),
    ("<< trigger.body.items | join(', ') >>", "a, b"),
    ("<< trigger.body.rows | sum(attribute='n') >>", 6),
    ("<< trigger.body.rows | sort(attribute='city,n', reverse=true) | map(attribute='n') >>", [3, 2, 1]),
    ("<< trigger.body.rows | selectattr('city', 'eq', 'Oslo') | map(attribute='n') | first >>", 1),
    ("<< trigger.body.rows | rejectattr('n', 'gt', 1) | list | length >>", 1),
    ("<% for g in trigger.body.rows | groupby('city') %><<g.grouper>>:<<g.list|length>> <% endfor %>", "Oslo:1 Rome:2 "),
    ("<% for city, rows in trigger.body.rows | groupby('city') %><<city>><<rows|length>><% endfor %>", "Oslo1Rome2"),
    ("<< [3,1,2] | sort >>", [1, 2, 3]),
    ("<< [1,2,2] | unique | list >>", [1, 2]),
    ("<< [1,2,3] | batch(2) >>", [[1, 2], [3]]),
    ("<< [1,2,3] | batch(2, 0) >>", [[1, 2], [3, 0]]),
    ("<< [1,2,3] | slice(2) >>", [[1, 2], [3]]),
    ("<< [1,2,3] | max >>", 3),
    ("<< ['b','A'] | min >>", "A"),
    ("<< 'abc' | reverse >>", "cba"),
    ("<< 'hello world' | title >>", "Hello World"),
    ("<< 'hello world' | capitalize >>", "Hello world"),
    ("<< 'a' | center(5) >>", "  a  "),
    ("<< 'a\\nb' | indent(2) >>", "a\n  b"),
    ("<< 'aaa bbb ccc' | wordwrap(7) >>", "aaa bbb\nccc"),
    ("<< 'abcdefgh' | wordwrap(3) >>", "abc\ndef\ngh"),
    ("<< 'a long sentence here' | truncate(10) >>", "a long..."),
    ("<< 'short' | truncate(10) >>", "short"),
    ("<< '<p>a &amp; <b>b</b></p><!-- <x> -->' | striptags >>", "a & b"),
    ("<< 'a b&c/d' | urlencode >>", "a%20b%26c%2Fd"),
    ("<< {'a': 1, 'b': 'x y'} | urlencode >>", "a=1&b=x%20y"),
    ("<< 'one two' | wordcount >>", 2),
    ("<< 42.555 | round(1) >>", 42.6),
    ("<< 7 | round(method='floor') | int >>", 7),
    ("<< '12' | int + 1 >>", 13),
    ("<< 'x' | int(5) >>", 5),
    ("<< '1.5' | float >>", 1.5),
    ("<< 13000 | filesizeformat >>", "13.0 kB"),
    ("<< '%s: %05.2f' | format('a', 1.5) >>", "a: 01.50"),
    ("<< '%(a)s' % {'a': 1} >>", "1"),
    ("<< '{} {b:>3}'.format(1, b=2) >>", "1   2"),
    ("<< '{0.city} {0[n]}'.format(trigger.body.rows[0]) >>", "Rome 2"),
    ("<< '-' * 5 >>", "-----"),
    ("<< 1 ~ 'a' ~ none >>", "1aNone"),
    ("<< [1] + [2] >>", [1, 2]),
    ("<< 7 // 2 + 7 % 2 + 2 ** 3 - -1 >>", 13),
    ("<< 1 < 2 < 3 >>", True),
    ("<< 'a' in trigger.body.items and 'name' in trigger.body >>", True),
    ("<< 'z' not in 'abc' >>", True),
    ("<< range(3) >>", [0, 1, 2]),
    ("<< dict(a=1).a >>", 1),
    ("<% set ns = namespace(n=0) %><% for r in trigger.body.rows %><% set ns.n = ns.n + r.n %><% endfor %><< ns.n >>", "6"),
    ("<% for k, v in {'a': 1, 'b': 2}.items() %><<k>><<v>><% endfor %>", "a1b2"),
    ("<% for x in [] %>x<% else %>none<% endfor %>", "none"),
    ("<% for x in [1,2,3] if x != 2 %><<loop.index>>/<<loop.length>>:<<x>> <% endfor %>", "1/2:1 2/2:3 "),
    ("<% for x in 'ab' %><< loop.cycle('odd','even') >><% endfor %>", "oddeven"),
    ("<% for x in [[1,[2]]] recursive %><< x if x is number else loop(x) >><% endfor %>", "12"),
    ("<% macro m(a, b='y') %><<a>><<b>><% endmacro %><< m('x') >><< m(b='1', a='2') >>", "xy21"),
    ("<% macro m() %>[<< caller('c') >>]<% endmacro %><% call(x) m() %><<x>>!<% endcall %>", "[c!]"),
    ("<% filter upper %>abc<< 'd' >><% endfilter %>", "ABCD"),
    ("<% set x | upper %>abc<% endset %><< x >>", "ABC"),
    ("<% with a = 1, b = 2 %><< a + b >><% endwith %>", "3"),
    ("<< flow.name >>/<< run.id >>", "welcome/r1"),
    ("<< item.email >>", "x@y.org"),
    ("a<< 'b' if false >>c", "ac"),
    ("<< 'x' | safe >>", "x"),
    ("<< '<' | e >>", "&lt;"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TEXT)
def test_text(render: Any, text: str, expected: object) -> None:
    found = render(text)

    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.HTML])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<< trigger.body.none >>\n", "\n"),
        (" << none >>", " "),
        ("\n<< trigger.body.none >>", "\n"),
        ("a<< trigger.body.none >>", "aNone"),
        ("<< none >><< none >>", "NoneNone"),
        ("<< 'x' if false else none >>\n", "\n"),
        ("<< 0 >>\n", "0\n"),
    ],
)
def test_null_alone_in_a_field_is_nothing(render: Any, kind: Kind, text: str, expected: str) -> None:
    assert render(text, kind) == expected


def test_null_alone_in_html_is_nothing(render: Any) -> None:
    assert render("<< trigger.body.none >>", Kind.HTML) == ""


HTML = [
    ("<<trigger.body.name>>", "Ann O&#39;Neil &lt;ann&gt;"),
    ("<p><<trigger.body.name>></p>", "<p>Ann O&#39;Neil &lt;ann&gt;</p>"),
    ("<<trigger.body.name | safe>>", "Ann O'Neil <ann>"),
    ("<<trigger.body.name | e>>", "Ann O&#39;Neil &lt;ann&gt;"),
    ("<< trigger.body.name | upper >>", "ANN O&#39;NEIL &lt;ANN&gt;"),
    ("<< trigger.body.n >>", "3"),
    ("<< trigger.body.items >>", "[&#39;a&#39;, &#39;b&#39;]"),
    ("<% macro b(x) %><b><<x>></b><% endmacro %><< b(trigger.body.name) >>", "<b>Ann O&#39;Neil &lt;ann&gt;</b>"),
    ("<% set x %><i><< '<' >></i><% endset %><< x >>", "<i>&lt;</i>"),
    ("<< ['<', '>'] | join('<br>') >>", "&lt;&lt;br&gt;&gt;"),
    ("<< ['<', '>'] | join('<br>' | safe) >>", "&lt;<br>&gt;"),
    ("<< '<b>' | safe ~ '<' >>", "<b>&lt;"),
    ("<< '<b>%s</b>' | safe | format('<') >>", "<b>&lt;</b>"),
    ("<< ('<b>{}</b>' | safe).format('<') >>", "<b>&lt;</b>"),
    ("<< ('<b>' | safe) + '<' >>", "<b>&lt;"),
    ("<< 'a\\nb' | e | replace('\\n', '<br>' | safe) >>", "a<br>b"),
    ("<< 'a\\n<' | replace('\\n', '<br>') >>", "a&lt;br&gt;&lt;"),
    ("<script>x = << {'a': '</script>'} | tojson >></script>", '<script>x = {"a": "\\u003c/script\\u003e"}</script>'),
    ("<a<< {'href': 'x\"y', 'id': none} | xmlattr >>>", '<a href="x&#34;y">'),
    ("<< 'see http://a.b/c?d=1&e=2.' | urlize >>", 'see <a href="http://a.b/c?d=1&amp;e=2" rel="noopener">http://a.b/c?d=1&amp;e=2</a>.'),
    ("<< '<script>http://a.b' | urlize >>", '&lt;script&gt;<a href="http://a.b" rel="noopener">http://a.b</a>'),
    ("<% filter upper %><i><< 'a' >></i><% endfilter %>", "<I>A</I>"),
    ("<% filter striptags %><< '<b>' >><% endfilter %>", "&lt;b&gt;"),
    ("<< '<b>x</b>' | safe | striptags >>", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), HTML)
def test_html(render: Any, text: str, expected: str) -> None:
    found = render(text, Kind.HTML)

    assert (type(found), found) == (str, expected)


URLS = [
    ("<< trigger.body.url >>", "https://x.org/a?b=c"),
    ("https://x.org/<< trigger.body.v >>", "https://x.org/a%2Fb%3Fc%26d%3De%23f%20%25%40%3A"),
    ("https://x.org/?q=<< trigger.body.v >>&r=1", "https://x.org/?q=a%2Fb%3Fc%26d%3De%23f%20%25%40%3A&r=1"),
    ("https://x.org/<< trigger.body.id >>/é", "https://x.org/7/é"),
    ("https://<< trigger.body.sub >>.x.org/", "https://acme.x.org/"),
    ("https://x.org:<< trigger.body.id >>/", "https://x.org:7/"),
    ("https://api.<< trigger.body.host >>/", "https://api.crm.test/"),
    ("https://<< trigger.body.host >>/x", "https://crm.test/x"),
    ("<< vars.base >>/c/<< trigger.body.id >>", "https://crm.test/v1/c/7"),
    ("<< trigger.body.url | safe >>&x=<< trigger.body.id >>", "https://x.org/a?b=c&x=7"),
    (
        "https://x.org/?q=<< trigger.body.v | urlencode >>",
        "https://x.org/?q=a%2Fb%3Fc%26d%3De%23f%20%25%40%3A",
    ),
    ("https://x.org/?<< {'a': 'b&c'} | urlencode >>", "https://x.org/?a=b%26c"),
    ("mailto:<< trigger.body.mail >>?subject=x", "mailto:a%40b.c?subject=x"),
    ("https://x.org/<% if true %>a/<< trigger.body.id >><% endif %>", "https://x.org/a/7"),
    ("https://x.org/<% macro m(a) %>m/<<a>><% endmacro %><< m('x/y') >>", "https://x.org/m/x%2Fy"),
    ("https://x.org/<% set m %>m/<<'a b'>><% endset %><< m >>", "https://x.org/m/a%20b"),
    ("https://x.org/a/../b/<< trigger.body.id >>", "https://x.org/a/../b/7"),
    ("https://x.org/?q=<< '..' >>", "https://x.org/?q=.."),
]
URL_SCOPE = {
    "trigger": {
        "body": {
            "url": "https://x.org/a?b=c",
            "v": "a/b?c&d=e#f %@:",
            "id": 7,
            "sub": "acme",
            "host": "crm.test",
            "mail": "a@b.c",
            "none": None,
        }
    },
    "vars": {"base": "https://crm.test/v1"},
}


@pytest.mark.parametrize(("text", "expected"), URLS)
def test_url(render: Any, text: str, expected: str) -> None:
    assert render(text, Kind.URL, URL_SCOPE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<< trigger.body.url >>/x",
        "<< 'http' >>://x.org/",
        "https://x.org<< '.evil.test' >>",
        "https://x.org<< '@evil.test' >>/",
        "https://x.org<< ':80' >>/",
        "https://x.o<< 'rg.evil' >>/",
        "https://<< 'evil.test/' >>.x.org/",
        "https://<< 'a b' >>.x.org/",
        "https://x.org/<< '..' >>/secret",
        "https://x.org/<< '.' >>",
        "https://x.org/.<< '.' >>/secret",
        "https://x.org/%2e<< '.' >>/secret",
        "https://x.org/<< trigger.body.none >>",
        "https://x.org/<< [1] >>",
        "https://x.org/<< '\\ud800' | default >>",
    ],
)
def test_a_value_cannot_change_where_a_url_leads(render: Any, text: str) -> None:
    from runner.diagnostic import Invalid

    with pytest.raises((TemplateError, Invalid)):
        render(text, Kind.URL, URL_SCOPE)


ADDRESSES: list[tuple[str, tuple[Fixed | Given, ...]]] = [
    ("ops@example.com", (Fixed("ops@example.com"),)),
    ("<< v >>", (Given("Doe, J <x@y>"),)),
    ("<< xs >>", (Given(["a@b.c", "d@e.f"]),)),
    ("<< s | addresses >>", (Given("a@b.c, d@e.f", expand=True),)),
    ("<< xs | addresses >>", (Given(["a@b.c", "d@e.f"], expand=True),)),
    ("<< v >> <<< m >>>", (Given("Doe, J <x@y>"), Fixed(" <"), Given("a@b.c"), Fixed(">"))),
    ("a@b.c, << m >>", (Fixed("a@b.c, "), Given("a@b.c"))),
    ("<% if true %>x@y, <% endif %><< m >>", (Fixed("x@y, "), Given("a@b.c"))),
    ("<% for x in xs %><< x >><% if not loop.last %>, <% endif %><% endfor %>", (Given("a@b.c"), Fixed(", "), Given("d@e.f"))),
    ("<% set t %>X <<< m >>><% endset %><< t >>", (Fixed("X <"), Given("a@b.c"), Fixed(">"))),
    ("<% macro p(a) %>X <<< a >>><% endmacro %><< p(m) >>, << p(s) >>", (Fixed("X <"), Given("a@b.c"), Fixed(">, X <"), Given("a@b.c, d@e.f"), Fixed(">"))),
    ("<% macro w() %><< caller() >>;<% endmacro %><% call w() %><< m >><% endcall %>", (Given("a@b.c"), Fixed(";"))),
    ("<< m if false >>", ()),
    ("<< none >>", (Given(None),)),
    ("<< 1 >>", (Given(1),)),
    ("<< m ~ ', ' ~ m >>", (Given("a@b.c, a@b.c"),)),
    ("<< xs | join(', ') >>", (Given("a@b.c, d@e.f"),)),
    ("<< xs | join(', ') | addresses >>", (Given("a@b.c, d@e.f", expand=True),)),
    ("<< people >>", (Given([{"name": "A", "email": "a@b.c"}]),)),
]  # fmt: skip
ADDRESS_SCOPE = {
    "v": "Doe, J <x@y>",
    "m": "a@b.c",
    "s": "a@b.c, d@e.f",
    "xs": ["a@b.c", "d@e.f"],
    "people": [{"name": "A", "email": "a@b.c"}],
}


@pytest.mark.parametrize(("text", "expected"), ADDRESSES)
def test_address(render: Any, text: str, expected: object) -> None:
    assert render(text, Kind.ADDRESS, ADDRESS_SCOPE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<% set t %><< m >><% endset %><< t | upper >>",
        "<% set t %><< m >><% endset %><< t ~ ',x@y' >>",
        "<% set t %><< m >><% endset %><< t.split() >>",
        "<% set t %><< m >><% endset %><< [t] >>",
        "<% set t %><< m >><% endset %><< t | addresses >>",
        "<% set t %><< m >><% endset %><< t | safe >>",
        "<% set t %><< m >><% endset %><< t | replace('a', 'b') >>",
        "<% filter upper %><< m >><% endfilter %>",
        "<< m | addresses | upper >>",
    ],
)
def test_text_and_values_of_an_address_field_never_mix(render: Any, text: str) -> None:
    from runner.diagnostic import Invalid

    with pytest.raises((TemplateError, Invalid)):
        render(text, Kind.ADDRESS, ADDRESS_SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<< nodes.fetch.status == 'succeeded' >>", True),
        ("nodes.fetch.status == 'failed'", False),
        ("  << trigger.body.items >>\n", ["a", "b"]),
        ("trigger.body.n > 2 and not false", True),
    ],
)
def test_expression(render: Any, text: str, expected: object) -> None:
    assert render(text, Kind.EXPRESSION) == expected


@pytest.mark.parametrize("text", ["<< a >> x", "<< a >><< b >>", "<% if a %>x<% endif %>", "", "  ", "a b"])
def test_an_expression_field_is_one_expression(render: Any, text: str) -> None:
    from runner.diagnostic import Invalid

    with pytest.raises(Invalid):
        render(text, Kind.EXPRESSION, {"a": 1, "b": 2})


UNKNOWN = [
    ("hi\n<< trigger.body.nmae >>", 2, 17, "nmae", 'did you mean "name"?'),
    ("<< triger.body >>", 1, 4, "triger", 'did you mean "trigger"?'),
    ("<< trigger.body['nmae'] >>", 1, 18, "nmae", '"name"'),
    ("<< nodes.fetsh.output >>", 1, 10, "fetsh", '"fetch"'),
    ("<< var.brand >>", 1, 4, "var", '"vars"'),
    ("<< trigger.body.itms | length >>", 1, 17, "itms", '"items"'),
    ("<% if trigger.body.nn %>x<% endif %>", 1, 20, "nn", '"none"'),
    ("<% for x in trigger.body.row %>x<% endfor %>", 1, 26, "row", '"rows"'),
    ("a << trigger.body.nested.deep.err >>", 1, 31, "err", '"er"'),
    ("<< trigger.body.nope ~ 'x' >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope + 1 >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope == 1 >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope in [1] >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope.deeper >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope() >>", 1, 17, "nope", ""),
    ("<< not trigger.body.nope >>", 1, 21, "nope", ""),
    ("<< -trigger.body.nope >>", 1, 18, "nope", ""),
    ("<< [trigger.body.nope] >>", 1, 18, "nope", ""),
    ("<< {'a': trigger.body.nope} >>", 1, 23, "nope", ""),
    ("<< trigger.body.items[trigger.body.nope] >>", 1, 36, "nope", ""),
    ("<< trigger.body.name.first >>", 1, 22, "first", ""),
    ("<< trigger.body.nope | upper >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope | tojson >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope | list >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope | int >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope | addresses >>", 1, 17, "nope", ""),
    ("<< trigger.body.nope | date >>", 1, 17, "nope", ""),
    ("<< secrets >>", 1, 4, "secrets", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "name", "near"), UNKNOWN)
@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.HTML, Kind.ADDRESS])
def test_an_unknown_name_is_an_error_with_field_file_line_and_nearest_name(
    render: Any, kind: Kind, text: str, line: int, column: int, name: str, near: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text, kind)

    assert name in caught.value.message
    assert near in caught.value.message
    assert f"field smtp.subject, flows/a.yaml:{line}:{column})" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "<< 1/0 >>",
        "<< 'a' + 1 >>",
        "<< 1 < 'a' >>",
        "<< [1, 'a'] | sort >>",
        "<< 'a'.foo() >>",
        "<< trigger.body.items() >>",
        "<< 'a'() >>",
        "<< [1] | first | first >>",
        "<< none | length >>",
        "<< 'a' | round >>",
        "<< {[]: 1} >>",
        "<< b'x' >>" if False else "<< 'abc'.encode('zip') >>",
        "x<< nodes.fetch.output.body >>",
        "<< trigger.body.items[1:2:0] >>",
        "<% macro m(a) %><% endmacro %><< m(b=1) >>",
        "<< 'x' | upper(1, 2, 3) >>",
    ],
)
def test_a_mistake_with_values_is_a_template_error_with_its_place(render: Any, text: str) -> None:
    with pytest.raises(TemplateError, match=r"field smtp\.subject, flows/a\.yaml:1:\d+") as caught:
        render(text)

    assert caught.value.code == "ETEMPLATE"
    assert "Traceback" not in caught.value.message
    assert "Error" not in caught.value.message


def test_a_key_that_anyone_sent_cannot_break_a_line_of_the_log(render: Any) -> None:
    with pytest.raises(TemplateError) as caught:
        render("<< b.name >>", scope={"b": {"nam\ne": 1, "x" * 5000: 2}})

    assert "\n" not in caught.value.message + str(caught.value.hint)
    assert len(caught.value.message + str(caught.value.hint)) < 500


def test_errors_do_not_hold_values(render: Any) -> None:
    with pytest.raises(TemplateError) as caught:
        render("x<< v + 1 >>", scope={"v": "hunter2"})

    assert "hunter2" not in caught.value.message + str(caught.value.hint)


def test_other_mappings_and_texts_work_like_plain_ones(render: Any) -> None:
    body: Mapping[str, Any] = MappingProxyType({"items": 1, "s": Status.DONE, "l": (1, 2)})

    assert render(
        "<< b.items >>/<< b.s >>/<< b.l >>/<< b.s == 'done' >>/<< b.get('x', 2) >>", scope={"b": body}
    ) == ("1/done/(1, 2)/True/2")
    assert render("<< b.s >>", scope={"b": body}) == "done"


def test_a_render_leaves_nothing_for_the_next(where: Where) -> None:
    template = Templates(None).compile(
        "<% set ns = namespace(n=0) %><% set ns.n = ns.n + x %><< ns.n >><% set x = 5 %>", Kind.TEXT, where
    )

    assert [template.render({"x": 1}), template.render({"x": 2})] == ["1", "2"]


def test_values_are_not_changed_by_a_render(render: Any) -> None:
    scope = {"b": {"xs": [3, 1, 2], "m": {"a": 1}}}
    for text in (
        "<< b.xs.append(1) >>",
        "<< b.m.update({'b': 1}) >>",
        "<< b.xs | sort >>",
        "<< b.xs + [4] >>",
    ):
        try:
            render(text, scope=scope)
        except TemplateError:
            pass

    assert scope == {"b": {"xs": [3, 1, 2], "m": {"a": 1}}}


def test_templates_render_in_many_threads_at_once(where: Where) -> None:
    from concurrent.futures import ThreadPoolExecutor

    template = Templates(None).compile("<% for i in range(50) %><< x >><% endfor %>", Kind.TEXT, where)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: template.render({"x": number % 10}), range(200)))

    assert found == [str(number % 10) * 50 for number in range(200)]


def test_a_time_keeps_its_type(render: Any) -> None:
    assert isinstance(render("<< trigger.time >>"), datetime)
