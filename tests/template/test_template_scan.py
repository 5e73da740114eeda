"""Delimiters: what is template and what is text, and where a mistake is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.diagnostic import Diagnostic, Invalid, Position
from runner.template import Kind, Templates, Where, is_template
from runner.template.scan import Mistake, scan

CASES = [
    ("<< 1 >>", 1),
    ("<<1>>", 1),
    ("<<- 1 ->>", 1),
    ("a <<- 1 ->> b", "a1b"),
    ("a <<+ 1 +>> b", "a 1 b"),
    ("<<<1>>>", "<1>"),
    ("<<< 1 >>>", "<1>"),
    ("<<<<1>>>>", "<<1>>"),
    ("<<1>>>", "1>"),
    ("<<<1>>", "<1"),
    ("<b><<1>></b>", "<b>1</b>"),
    ("<<1>><<2>>", "12"),
    ("<<1>><br>", "1<br>"),
    ("<i<<1>>>", "<i1>"),
    ("a < b > c", "a < b > c"),
    ("a <- b -> c", "a <- b -> c"),
    ("a >> b", "a >> b"),
    ("<<% if true %>1<% endif %>", "<1"),
    ("<<% if true %>1<% endif %>>", "<1>"),
    ("<<# comment #>x", "<x"),
    ("a<# << not %> this #>b", "ab"),
    ("a <#- c -#> b", "ab"),
    ("<% raw %><< x >> <% y %><% endraw %>", "<< x >> <% y %>"),
    ("a <%- raw -%> << x >> <%- endraw -%> b", "a<< x >>b"),
    ("<%- if true -%> x <%- endif -%>", "x"),
    ("<< 1 > 0 >>", True),
    ("<< 1>0 >>", True),
    ("<< 1 >= 1 >>", True),
    ("<< '>>' >>", ">>"),
    ("<< '<<' >>", "<<"),
    ('<< "a\\"b >> c" >>', 'a"b >> c'),
    ("<< '%>' ~ '#>' >>", "%>#>"),
    ("<< {'a': {'b': 1}}.a.b >>", 1),
    ("<< [1,2][1] >>", 2),
    ("<< 'a' 'b' >>", "ab"),
    ("<<\n1\n>>", 1),
    ("<< 1_000 >>", 1000),
    ("<< 0x1f >>", 31),
    ("<< 1.5e3 >>", 1500.0),
    ("<< 'tab\\tnew\\nline\\u00e9\\x41' >>", "tab\tnew\nlineéA"),
    ("<< '\\d' >>", "\\d"),
    ("line\n", "line\n"),
    ("<< 1 >>\n", "1\n"),
    ("a\r\nb<< 1 >>\r\n", "a\r\nb1\r\n"),
    ("{{ x }} {% y %}", "{{ x }} {% y %}"),
    ("", ""),
    ("<% set x = 1 %><< x >>", "1"),
    ("<< none >>", None),
    ("<< not true >>", False),
    ("<< (1, 2) >>", (1, 2)),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_angle_delimiters(render: Any, text: str, expected: object) -> None:
    found = render(text, scope={})

    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ 1 }}", 1),
        ("{{1}} x", "1 x"),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ {'a': {'b': 1}}['a']['b'] }}", 1),
        ("{% if true %}x{% endif %}", "x"),
        ("{# c #}x", "x"),
        ("{%- if true -%} x {%- endif -%}", "x"),
        ("<< x >>", "<< x >>"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("a{b}c", "a{b}c"),
    ],
)
def test_curly_delimiters(render: Any, text: str, expected: object) -> None:
    assert render(text, scope={}, delimiters="curly") == expected


MISTAKES = [
    ("cout << x", 1, 6, '"<<" is never closed', '<< "<<" >>'),
    ("a\nb << x", 2, 3, '"<<" is never closed', ">>"),
    ("price << $5 for all", 1, 7, '"<<" is never closed', ">>"),
    ("<< $ >>", 1, 4, 'unexpected character "$"', ""),
    ("<< 'abc >>", 1, 4, "never closed", ""),
    ("<% if x", 1, 1, '"<%" is never closed', "%>"),
    ("<# x", 1, 1, 'comment "<#" is never closed', "#>"),
    ("x\n  <% if 1 %>\nmore", 2, 6, '"<% if %>" is never closed', "endif"),
    ("<% for a in b %>x<% endif %>", 1, 21, '"endif" does not belong to "for"', "endfor"),
    ("<% endif %>", 1, 4, '"endif" closes nothing', ""),
    ("<% fo a in b %><% endfor %>", 1, 4, 'unknown statement "fo"', "for"),
    ("<% raw %> x", 1, 1, "raw", "endraw"),
    ("<< >>", 1, 4, "expected an expression", "<< name >>"),
    ("<< 1 + >>", 1, 8, "unexpected end of the expression", ""),
    ("<< a b >>", 1, 6, 'expected the end of the expression, found "b"', ""),
    ("<< (1 >>", 1, 7, 'expected ")"', ""),
    ("<< a | uper >>", 1, 8, 'unknown filter "uper"', "upper"),
    ("<< a is defind >>", 1, 6, 'unknown test "defind"', "defined"),
    ("<< self >>", 1, 4, 'unknown name "self"', ""),
    ("<% include x %>", 1, 4, "must be written out", ""),
    ("<% include trigger.body.file %>", 1, 4, "must be written out", ""),
    ("<% autoescape false %>x<% endautoescape %>", 1, 4, "escaping follows the field", ""),
    ("<% block a %><% endblock %><% block a %><% endblock %>", 1, 31, "stands twice", ""),
    ("<< dict(a=1, a=2) >>", 1, 8, "stands twice", ""),
    ("<% macro m(a, a) %><% endmacro %>", 1, 4, "stands twice", ""),
    ("<% for loop in [1] %><% endfor %>", 1, 8, '"loop" cannot be set', ""),
    ("<< '\\ud800' >>", 1, 4, "is not a character", ""),
    ("<< 1e999 >>", 1, 4, "too large a number", ""),
    ("<< " + "9" * 100 + " >>", 1, 4, "digits", ""),
    ("<% set 1 = 2 %>", 1, 8, "", ""),
    ("<% break %>", 1, 4, 'unknown statement "break"', ""),
    ("<% debug %>", 1, 4, 'unknown statement "debug"', ""),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), MISTAKES)
def test_a_mistake_has_its_place_and_a_plain_message(
    where: Where, text: str, line: int, column: int, message: str, hint: str
) -> None:
    found = findings(text, where)

    assert (found.line, found.column, found.code, found.path) == (line, column, "template", "flows/a.yaml")
    assert message in found.message
    assert hint in found.hint
    assert "jinja" not in (found.message + found.hint).lower()


def findings(text: str, where: Where) -> Diagnostic:
    with pytest.raises(Invalid) as caught:
        Templates(None).compile(text, Kind.TEXT, where)

    assert len(caught.value.diagnostics) == 1
    return caught.value.diagnostics[0]


def test_the_place_is_mapped_to_the_file() -> None:
    where = Where("flows/b.yaml", "smtp.body", lambda line, column: Position(line + 20, column + 6))

    assert (findings("a\n <% x %>", where).line, findings("a\n <% x %>", where).column) == (22, 11)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a << b", True), ("<% x", True), ("<# x", True), ("a < b", False), ("{{ x }}", False), ("", False)],
)
def test_is_template(text: str, expected: bool) -> None:
    assert is_template(text) is expected


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab <>\n-"), max_size=40).filter(lambda text: not is_template(text)))
def test_text_without_delimiters_is_kept_as_it_is(text: str) -> None:
    template = Templates(None).compile(text, Kind.TEXT, Where("a", "b", Position))

    assert template.render({}) == text


@settings(deadline=None)
@given(before=st.text(alphabet="<> a\n", max_size=6), after=st.text(alphabet="<> a\n", max_size=6))
def test_brackets_around_an_expression_are_text(before: str, after: str) -> None:
    text = f"{before}<<x>>{after}"
    if "<<" in before or "<<" in after:
        return
    found = Templates(None).compile(text, Kind.TEXT, Where("a", "b", Position)).render({"x": "V"})

    assert found == f"{before}V{after}"


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("<>%#-+{}[]()'\"\\ .|,~=!a1_\n$é"), max_size=60))
def test_any_text_is_scanned_or_refused_with_a_place_inside_it(text: str) -> None:
    try:
        tokens = list(scan(text, "angle"))
    except Mistake as mistake:
        assert 0 <= mistake.offset <= len(text)
    else:
        assert all(0 <= token.offset <= len(text) for token in tokens)


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("<>%#-+{}[]()'\"\\ .|,~=!a1_\nif for in endfor endif"), max_size=60))
def test_any_text_compiles_or_is_invalid_and_renders_or_is_a_template_error(text: str) -> None:
    from runner.errors import TemplateError

    for kind in Kind:
        try:
            Templates(None).compile(text, kind, Where("a", "b", Position)).render({"a": "<< b >>"})
        except (Invalid, TemplateError):
            pass


@settings(deadline=None)
@given(st.text(max_size=50))
def test_a_value_is_data_whatever_it_holds(value: str) -> None:
    where = Where("a", "b", Position)

    assert Templates(None).compile("x<<v>>y", Kind.TEXT, where).render({"v": value}) == f"x{value}y"
    assert Templates(None).compile("<<v>>", Kind.TEXT, where).render({"v": value}) == value
