"""The public corpora of attacks and naughty strings: as values they are data, as templates they are harmless."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import unquote

import pytest
from corpus_cases import SSTI, STRINGS

from runner.diagnostic import Invalid, Position
from runner.errors import TemplateError
from runner.model import Fixed, Given
from runner.template import Kind, Templates, Where

WHERE = Where("flows/a.yaml", "smtp.body", Position)
LEAKS = (
    "<class",
    "object at 0x",
    "module",
    "root:",
    "uid=",
    "function",
    "built-in",
    "__",
    "/usr/",
    "jinja",
    "<bound",
)
OWN = [
    "<< ''.__class__.__mro__ >>",
    "<< ''['__class__'] >>",
    "<< ''|attr('__class__') >>",
    "<< ''|attr('\\x5f\\x5fclass\\x5f\\x5f') >>",
    "<< range.__globals__ >>",
    "<< range >>",
    "<< dict.__init__ >>",
    "<< dict.__subclasses__() >>",
    "<< namespace.__init__.__globals__ >>",
    "<< namespace() >>",
    "<< namespace(a=1).__dict__ >>",
    "<% set ns = namespace() %><% set ns.__class__ = 1 %><< ns >>",
    "<< cycler >>",
    "<< joiner >>",
    "<< lipsum >>",
    "<< lipsum() >>",
    "<< self._TemplateReference__context >>",
    "<< trigger.__class__ >>",
    "<< trigger.body.__getattribute__ >>",
    "<< trigger.body.get >>",
    "<< trigger.body.update >>",
    "<< trigger.body.update({'a': 1}) >>",
    "<< trigger.body.pop('name') >>",
    "<< trigger.body.rows.append(1) >>",
    "<< trigger.body.rows.clear() >>",
    "<< '{0.__class__}'.format('') >>",
    "<< '{0[__class__]}'.format('') >>",
    "<< '{a.__class__.__mro__}'.format(a='') >>",
    "<< '%(x)s'.__mod__({}) >>",
    "<< '{0.__class__}'|format('') >>",
    "<< ''.format_map({}) >>",
    "<< ['a']|map(attribute='__class__')|list >>",
    "<< ['a']|map('attr', '__class__')|list >>",
    "<< ['a']|sort(attribute='__class__') >>",
    "<< ['a']|groupby('__class__') >>",
    "<< ['a']|selectattr('__class__')|list >>",
    "<< ['a']|sum(attribute='__class__') >>",
    "<< ['a']|unique(attribute='__class__')|list >>",
    "<% macro m() %><% endmacro %><< m >>",
    "<% macro m() %><% endmacro %><< m.__call__ >>",
    "<% macro m() %><% endmacro %><< m._func >>",
    "<% macro m() %><% endmacro %><< m.name >>",
    "<% for a in [1] %><< loop >><% endfor %>",
    "<% for a in [1] %><< loop.__init__ >><% endfor %>",
    "<% for a in [1] %><< loop._undefined >><% endfor %>",
    "<% for a in [1] %><< loop._iterable >><% endfor %>",
    "<< super() >>",
    "<< caller() >>",
    "<< missing >>",
    "<< environment >>",
    "<< context >>",
    "<< resolve >>",
    "<< undefined >>",
    "<< call >>",
    "<< out >>",
    "<< attribute >>",
    "<< flowpost_unit >>",
    "<< x.__class__ is defined >><< ''.__class__ >>",
    "<< (1).__class__ >>",
    "<< none.__class__ >>",
    "<< trigger.time.__class__ >>",
    "<< trigger.time.tzinfo >>",
    "<< trigger.time.max >>",
    "<< trigger.time.strftime.__self__ >>",
    "<< 'a'.encode().__class__ >>",
    "<% set m = ''.join %><< m >>",
    "<< ['id']|map('system') >>",
    "<< 1|random >>",
    "<< trigger.body|pprint >>",
    "<% import 'os' as os %>",
    "<% include '/etc/passwd' %>",
    "<% include '../../etc/passwd' %>",
    "<% extends '/etc/passwd' %>",
    "<% from '/etc/passwd' import x %>",
]
SCOPE = {
    "trigger": {"body": {"name": "n", "rows": [1]}, "time": __import__("datetime").datetime.now(None)},
    "nodes": {},
    "vars": {},
}


def escapes() -> list[str]:
    texts = [str(case["template_angle"] or case["template"]) for case in SSTI if case["kind"] == "escape"]
    both = [
        text.replace("{%", "<%").replace("%}", "%>").replace("{{", "<<").replace("}}", ">>") for text in texts
    ]
    return sorted({*texts, *both})


@pytest.mark.parametrize("text", [*OWN, *escapes()])
def test_an_attack_as_template_is_refused_or_harmless(text: str) -> None:
    for kind in Kind:
        try:
            found = str(Templates(None).compile(text, kind, WHERE).render(SCOPE))
        except (Invalid, TemplateError):
            continue
        if text in found:
            continue
        bare = found.replace("Fixed(text=", "").replace("Given(value=", "")
        assert not [leak for leak in LEAKS if leak in bare and leak not in text], found


@pytest.mark.parametrize("text", OWN)
def test_an_attack_of_our_own_is_refused(text: str) -> None:
    with pytest.raises((Invalid, TemplateError)):
        Templates(None).compile(text, Kind.TEXT, WHERE).render(SCOPE)


def values() -> list[str]:
    attacks = [str(case[key]) for case in SSTI for key in ("template", "template_angle") if case[key]]
    return sorted(
        {*STRINGS, *attacks, *OWN, "<<", ">>", "<% raw %>", "<# x #>", "{{7*7}}", "a, b@c.d", '"', "\\"}
    )


@pytest.mark.parametrize("value", values())
def test_a_value_is_never_template_in_any_kind_of_field(value: str) -> None:
    scope = {"v": value}

    def render(text: str, kind: Kind) -> Any:
        return Templates(None).compile(text, kind, WHERE).render(scope)

    assert render("<< v >>", Kind.TEXT) == value
    assert render("a<<v>>b", Kind.TEXT) == f"a{value}b"
    assert render("<% set x %>a<<v>><% endset %><<x>>", Kind.TEXT) == f"a{value}"
    escaped = render("<p><<v>></p>", Kind.HTML)
    assert html.unescape(escaped) == html.unescape(f"<p>{html.escape(value)}</p>")
    assert not set("<>\"'") & set(escaped[3:-4])
    assert render("x <<v>> <<<v>>>", Kind.ADDRESS) == (
        Fixed("x "),
        Given(value),
        Fixed(" <"),
        Given(value),
        Fixed(">"),
    )
    assert render("v", Kind.EXPRESSION) == value
    try:
        url = render("https://example.com/a/<<v>>/b?q=<<v>>#f", Kind.URL)
    except TemplateError as error:
        assert value in (".", "..") or "half a character" in error.message
    else:
        assert unquote(url.split("?q=")[1].removesuffix("#f")) == value
        assert url.count("/") == 5
        assert url.count("?") == url.count("=") == url.count("#") == 1
        assert "&" not in url


def test_markup_that_comes_as_a_value_is_text() -> None:
    from markupsafe import Markup

    class Sly(str):
        def __html__(self) -> str:
            return "<script>"

    for value in (Markup("<b>"), Sly("<b>")):
        for text in (
            "<<v>>",
            "<<v|upper>>",
            "<< [v]|join >>",
            "<< v ~ '' >>",
            "<< v + '' >>",
            "<< v|string >>",
        ):
            assert "<" not in Templates(None).compile(text, Kind.HTML, WHERE).render({"v": value})
