"""Template files: only inside the folder, of bounded size, with errors in the file itself; MJML and styles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.diagnostic import Diagnostic, Invalid, Position
from runner.errors import TemplateError
from runner.template import Kind, Templates, Where, inline_css

SCOPE = {"name": "Ann <x>", "xs": [1, 2]}
WHERE = Where("flows/a.yaml", "smtp.html_body", lambda line, column: Position(line + 9, column + 4))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    (folder / "parts").mkdir(parents=True)
    (folder / "base.html").write_text("<html><% block body %>nothing<% endblock %></html>")
    (folder / "page.html").write_text(
        "<% extends 'base.html' %><% block body %><< super() >><b><< name >></b><% endblock %>"
    )
    (folder / "parts/row.html").write_text("<i><< x >></i>")
    (folder / "macros.html").write_text("<% macro b(v) %><b><< v >></b><% endmacro %><% set c = 7 %>")
    (folder / "plain.txt").write_text("Hi << name >>\n")
    (folder / "bad.html").write_text("ok\n<< 1 + >>")
    (folder / "fails.html").write_text("ok\n  << nmae >>")
    (folder / "self.html").write_text("<% include 'self.html' %>")
    (folder / "a.html").write_text("<% include 'b.html' %>")
    (folder / "b.html").write_text("<% include 'a.html' %>")
    (folder / "latin.html").write_bytes(b"\xe9")
    (folder / "big.html").write_bytes(b"x" * 1_100_000)
    (tmp_path / "secret.txt").write_text("hunter2")
    (folder / "link.html").symlink_to(tmp_path / "secret.txt")
    (folder / "inner.html").symlink_to("plain.txt")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.html")
    return folder


def html(text: str, root: Path | None, scope: Any = None) -> str:
    return str(Templates(root).compile(text, Kind.HTML, WHERE).render(SCOPE if scope is None else scope))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<% include 'parts/row.html' %>", ""),
        ("<% for x in xs %><% include 'parts/row.html' %><% endfor %>", "<i>1</i><i>2</i>"),
        ("<% for x in xs %><% include 'templates/parts/row.html' %><% endfor %>", "<i>1</i><i>2</i>"),
        ("<% import 'macros.html' as m %><< m.b(name) >><< m.c >>", "<b>Ann &lt;x&gt;</b>7"),
        ("<% from 'macros.html' import b, c as d %><< b('<') >><< d >>", "<b>&lt;</b>7"),
        ("<% extends 'base.html' %><% block body %><< name >><% endblock %>", "<html>Ann &lt;x&gt;</html>"),
        ("<% extends 'page.html' %>", "<html>nothing<b>Ann &lt;x&gt;</b></html>"),
        ("<% include 'nope.html' ignore missing %>x", "x"),
        ("<% include ['nope.html', 'plain.txt'] %>x", "Hi Ann &lt;x&gt;\nx"),
        ("<% include 'inner.html' %>", "Hi Ann &lt;x&gt;\n"),
        ("<% set t %><% include 'plain.txt' %><% endset %><< t >>", "Hi Ann &lt;x&gt;\n"),
        ("<% include 'macros.html' without context %>x", "x"),
    ],
)
def test_files_are_included(root: Path, text: str, expected: str) -> None:
    scope = {**SCOPE, "x": ""} if text.startswith("<% include 'parts") else SCOPE

    assert html(text, root, scope).replace("<i></i>", "") == expected


def invalid(text: str, root: Path | None) -> Diagnostic:
    with pytest.raises(Invalid) as caught:
        html(text, root)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope.html", "there is no template file"),
        ("../secret.txt", "not a name inside"),
        ("parts/../../secret.txt", "not a name inside"),
        ("/etc/passwd", "not a name inside"),
        ("parts\\\\row.html", "not a name inside"),
        ("x\\0y", "not a name inside"),
        ("", "not a name inside"),
        ("link.html", "leads out of templates/"),
        ("out/secret.txt", "leads out of templates/"),
        ("pipe.html", "is not a file"),
        ("parts", "is not a file"),
        ("latin.html", "not UTF-8"),
        ("big.html", "more than 1048576"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_where_it_is_named(root: Path, name: str, message: str) -> None:
    found = invalid(f"a\n<% include '{name}' %>", root)

    assert (found.path, found.line, found.column, found.code) == ("flows/a.yaml", 11, 8, "template")
    assert message in found.message
    assert "hunter2" not in found.message


def test_the_nearest_file_is_named(root: Path) -> None:
    assert invalid("<% include 'pagee.html' %>", root).hint == 'did you mean "page.html"?'


def test_without_a_folder_there_are_no_files() -> None:
    assert "no templates folder" in invalid("<% include 'x.html' %>", None).message


def test_files_that_include_each_other_are_refused(root: Path) -> None:
    assert "includes itself" in invalid("<% include 'self.html' %>", root).message
    assert "includes itself" in invalid("<% include 'a.html' %>", root).message


def test_a_mistake_in_an_included_file_is_placed_there(root: Path) -> None:
    found = invalid("<% include 'bad.html' %>", root)

    assert (found.path, found.line, found.column) == ("templates/bad.html", 2, 8)


def test_an_unknown_name_in_an_included_file_is_placed_there(root: Path) -> None:
    with pytest.raises(
        TemplateError, match=r'"nmae" \(field smtp.html_body, templates/fails.html:2:6\), did you mean "name"'
    ):
        html("<% include 'fails.html' %>", root)


def test_a_file_is_a_template(root: Path) -> None:
    template = Templates(root).compile_file("plain.txt", Kind.TEXT, WHERE)

    assert template.render(SCOPE) == "Hi Ann <x>\n"
    assert template.files == (root / "plain.txt",)
    assert template.where.path == "templates/plain.txt"


def test_a_file_can_be_named_with_its_folder(root: Path) -> None:
    assert Templates(root).compile_file("templates/page.html", Kind.HTML, WHERE).render(SCOPE) == (
        "<html>nothing<b>Ann &lt;x&gt;</b></html>"
    )


def test_all_files_that_are_used_are_told(root: Path) -> None:
    template = Templates(root).compile("<% extends 'page.html' %>", Kind.HTML, WHERE)

    assert set(template.files) == {root / "page.html", root / "base.html"}


def test_a_missing_file_is_told_at_the_field(root: Path) -> None:
    with pytest.raises(Invalid) as caught:
        Templates(root).compile_file("plan.txt", Kind.TEXT, WHERE)

    assert str(caught.value) == (
        'flows/a.yaml:10:5: error: there is no template file "plan.txt" in templates/ [template]'
    )


def test_a_file_that_changes_does_not_change_what_is_compiled(root: Path) -> None:
    template = Templates(root).compile("<% include 'plain.txt' %>", Kind.TEXT, WHERE)
    (root / "plain.txt").write_text("Bye")

    assert template.render(SCOPE) == "Hi Ann <x>\n"


def test_macros_keep_nothing_between_renders(root: Path) -> None:
    (root / "state.html").write_text(
        "<% set ns = namespace(n=0) %><% macro add() %><% set ns.n = ns.n + 1 %><< ns.n >><% endmacro %>"
    )
    template = Templates(root).compile(
        "<% import 'state.html' as s %><< s.add() >><< s.add() >>", Kind.TEXT, WHERE
    )

    assert [template.render({}), template.render({})] == ["12", "12"]


def test_files_that_double_each_other_are_a_bomb(root: Path) -> None:
    for number in range(20):
        (root / f"d{number}.html").write_text(f"<% include 'd{number + 1}.html' %>" * 10)
    (root / "d20.html").write_text("x")
    with pytest.raises(TemplateError):
        html("<% include 'd0.html' %>", root)


MJML = "<mjml><mj-body><mj-section><mj-column><mj-text>Hi << name >></mj-text><% for x in xs %><mj-text>n<< x >></mj-text><% endfor %></mj-column></mj-section></mj-body></mjml>"


def test_what_is_kept_is_no_template_though_it_lies_in_the_folder(root: Path) -> None:
    (root / "secrets").mkdir()
    (root / "secrets" / "a.yaml").write_text("x")
    (root / "link.txt").symlink_to(root / "secrets" / "a.yaml")
    for name in ("secrets/a.yaml", "link.txt"):
        with pytest.raises(Invalid, match="one of flowpost's own files"):
            Templates(root, kept=[root / "secrets"]).compile_file(name, Kind.TEXT, WHERE)


def test_null_alone_is_nothing_in_a_fields_file_and_a_word_in_what_it_includes(root: Path) -> None:
    (root / "null.txt").write_text("<<name>>\n")
    (root / "around.txt").write_text("<% include 'null.txt' %>")
    scope = {**SCOPE, "name": None}

    assert Templates(root).compile_file("null.txt", Kind.TEXT, WHERE).render(scope) == "\n"
    assert Templates(root).compile_file("around.txt", Kind.TEXT, WHERE).render(scope) == "None\n"


def test_mjml_becomes_html_with_values_escaped(root: Path) -> None:
    (root / "mail.mjml").write_text(MJML)
    found = Templates(root).compile_file("mail.mjml", Kind.HTML, WHERE).render(SCOPE)

    assert found.startswith("<!doctype html>")
    assert "Hi Ann &lt;x&gt;" in found
    assert "n1" in found
    assert "n2" in found
    assert "<mj-" not in found.split("</head>")[1]


def test_mjml_that_is_broken_is_a_template_error(root: Path) -> None:
    (root / "broken.mjml").write_text("<mjml><mj-body><mj-section>")
    with pytest.raises(
        TemplateError, match=r"MJML cannot be compiled.*field smtp.html_body, templates/broken.mjml:1:1"
    ):
        Templates(root).compile_file("broken.mjml", Kind.HTML, WHERE).render(SCOPE)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("<mj-foo>x</mj-foo>", "mj-foo"),
        ("<mj-foo/>", "mj-foo"),
        ("<mj-text>a <mj-button>b</mj-button></mj-text>", "mj-button"),
        ("<MJ-Text>a</MJ-Text>", "MJ-Text"),
        ("<mj-text><!-- <mj-old>a</mj-old> --></mj-text><mj-txt>b</mj-txt>", "mj-txt"),
    ],
)
def test_an_element_that_mjml_does_not_know_is_not_mailed(root: Path, content: str, left: str) -> None:
    (root / "odd.mjml").write_text(
        f"<mjml><mj-body><mj-section><mj-column>{content}</mj-column></mj-section></mj-body></mjml>"
    )
    with pytest.raises(TemplateError, match=f"unknown MJML element <{left}>.*templates/odd.mjml"):
        Templates(root).compile_file("odd.mjml", Kind.HTML, WHERE).render(SCOPE)


def test_mjml_in_a_comment_or_a_value_is_no_element(root: Path) -> None:
    (root / "plain.mjml").write_text(
        "<mjml><mj-body><mj-section><mj-column><!-- <mj-old>a</mj-old> -->"
        "<mj-text><<name>> &lt;mj-foo></mj-text></mj-column></mj-section></mj-body></mjml>"
    )
    scope = {**SCOPE, "name": "<mj-foo>"}
    found = Templates(root).compile_file("plain.mjml", Kind.HTML, WHERE).render(scope)

    assert "&lt;mj-foo&gt; &lt;mj-foo" in found


def test_mjml_reads_no_files_of_its_own(root: Path, tmp_path: Path) -> None:
    (root / "inc.mjml").write_text(
        f'<mjml><mj-body><mj-include path="{tmp_path}/secret.txt" /></mj-body></mjml>'
    )
    with pytest.raises(TemplateError, match="mj-include"):
        Templates(root).compile_file("inc.mjml", Kind.HTML, WHERE).render(SCOPE)


def test_mjml_nested_deep_does_not_end_the_process() -> None:
    code = (
        "from runner.template.markup import compile_mjml\n"
        "from runner.errors import TemplateError\n"
        "for text in ('<mjml><mj-body>' + '<mj-wrapper>' * 100000, '<mjml><mj-body><mj-raw>' + '<div>' * 200000,\n"
        "             '<mjml>' * 100000, '<mjml><mj-body>' + '<mj-section>' * 50000 + '</mj-section>' * 50000 + '</mj-body></mjml>'):\n"
        "    try:\n"
        "        compile_mjml(text)\n"
        "    except TemplateError:\n"
        "        pass\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.stdout == "alive\n", done.stderr[-500:]


def test_styles_move_onto_the_elements() -> None:
    found = inline_css("<html><head><style>p { color: red }</style></head><body><p>x</p></body></html>")

    assert '<p style="color: red;">x</p>' in found
    assert "<style>" not in found


def test_rules_that_cannot_move_stay_in_a_style_element() -> None:
    rules = "a:hover{color:blue} .x::before{content:'+'} @media (max-width:9px){a{color:gray}} a:visited{color:gray}"
    found = inline_css(
        f"<html><head><style>a, a:focus{{color:red}} {rules}</style></head><body><a class='x'>x</a></body></html>"
    )
    style = found.partition("<style>")[2].partition("</style>")[0]

    assert '<a class="x" style="color: red;">' in found
    places = [
        style.find(kept) for kept in ("a:focus {", "a:hover {", ".x::before {", "@media (max-", "a:visited {")
    ]
    assert -1 not in places
    assert places == sorted(places)


def test_media_queries_stay() -> None:
    found = inline_css(
        "<html><head><style>@media (max-width: 9px) { p { color: red } }</style></head><body><p>x</p></body></html>"
    )

    assert "@media" in found


def test_no_stylesheet_is_loaded_from_network_or_disk(tmp_path: Path) -> None:
    import http.server
    import threading

    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"p { color: red }")

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    (tmp_path / "x.css").write_text("p { color: red }")
    try:
        for href in (
            f"http://127.0.0.1:{server.server_port}/x.css",
            f"file://{tmp_path}/x.css",
            f"{tmp_path}/x.css",
        ):
            found = inline_css(
                f'<html><head><link rel="stylesheet" href="{href}"></head><body><p>x</p></body></html>'
            )
            assert "red" not in found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert asked == []


HOSTILE = """
import time
from runner.template import inline_css
from runner.errors import TemplateError
rule = "<style>%s</style>"
cases = [
    "<div>" * 300000,
    "<style>" + "a{" * 100000 + "</style><p>",
    "<style>" + ":not(" * 50000 + "</style><p>",
    "<b>" * 30000 + "<p>x" * 30000,
    rule % ("x ~ i ~ i ~ i{a:b}" * 20) + "<i>x</i>" * 300,
    rule % ("*{color:red}" * 9000) + "<p>x</p>" * 9000,
    "".join(f"<b id={n}>" for n in range(350)) + "<p>x" * 190000,
]
for text in cases:
    started = time.process_time()
    try:
        inline_css(text)
    except TemplateError:
        pass
    assert time.process_time() - started < 2, text[:50]
print("alive")
"""


def test_markup_nested_deep_does_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=60)

    assert done.stdout == "alive\n", done.stderr[-500:]


def test_importing_the_room_imports_no_engine() -> None:
    code = "import sys, runner.template; print([m for m in ('jinja2', 'css_inline', 'mjml', 'markupsafe') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.stdout == "[]\n"
