"""Tokens → Jinja's syntax tree, checked: every mistake that can be known before a render, said plainly.

Node line numbers are offsets in the text, plus one: Jinja carries them through to the generated code, so that
an error at run time has a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NoReturn, cast

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Token as JinjaToken
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from runner.template.kinds import Kind
from runner.template.nearest import nearest, quoted
from runner.template.scan import Delimiters, Mistake, Token, is_template, scan, scan_expression, style_of

MAX_DEPTH = 60
"""Nesting of one expression or of statements: Python's own parser gives up at 200 parentheses."""
MAX_LOOPS = 8

_STATEMENTS = (
    "if",
    "for",
    "set",
    "macro",
    "call",
    "filter",
    "block",
    "extends",
    "include",
    "import",
    "from",
    "with",
    "print",
    "raw",
)
_TOKEN_WORDS = {
    "begin of statement block": "the beginning of a statement",
    "begin of print statement": "the beginning of an expression",
    "end of print statement": "the end of the expression",
    "end of statement block": "the end of the statement",
    "template data / text": "text",
    "end of template": "the end of the template",
}


def parse(text: str, kind: Kind, delimiters: Delimiters) -> tuple[nodes.Template, int]:
    """The tree of one template text and the number of its tokens; raises Mistake."""
    try:
        if kind is Kind.EXPRESSION and not is_template(text, delimiters):
            if not text.strip():
                raise Mistake("the expression is empty", 0)
            tokens = scan_expression(text, delimiters)
        else:
            tokens = scan(text, delimiters)
        found = [token for token in tokens if kind is not Kind.EXPRESSION or not _is_space(token)]
        tree = _PlainParser(found, delimiters).parse()
    except TemplateSyntaxError as error:
        raise _plain(error, text, delimiters) from error
    except RecursionError as error:
        raise Mistake("the template is nested too deep", 0) from error
    _check(tree, kind, delimiters)
    return tree, len(found)


def _is_space(token: Token) -> bool:
    return token.kind == "data" and str(token.value).isspace()


def lone(tree: nodes.Template) -> nodes.Expr | None:
    """The expression that is the whole template, if there is nothing else."""
    if len(tree.body) == 1 and isinstance(output := tree.body[0], nodes.Output) and len(output.nodes) == 1:
        expression = output.nodes[0]
        return None if isinstance(expression, nodes.TemplateData) else expression
    return None


def is_alone(tree: nodes.Template) -> bool:
    """Whether the template is one expression, with nothing but white space around it."""
    if len(tree.body) != 1 or not isinstance(output := tree.body[0], nodes.Output):
        return False
    texts = [child.data for child in output.nodes if isinstance(child, nodes.TemplateData)]
    return len(output.nodes) == len(texts) + 1 and not any(text.strip() for text in texts)


@cache
def _bare() -> Environment:
    # the parser hands it to each node and asks nothing of it
    return Environment(autoescape=False)  # noqa: S701  (escaping is ours, and follows the field)


class _PlainParser(Parser):
    """Jinja's parser over our tokens; it knows where the statement that was never closed began."""

    def __init__(self, tokens: Iterable[Token], delimiters: Delimiters) -> None:
        stream = (JinjaToken(token.offset + 1, token.kind, cast("str", token.value)) for token in tokens)
        self.environment = _bare()
        self.stream = TokenStream(stream, None, None)
        self.name = self.filename = None
        self.closed = False
        self.extensions = {}
        self.style = style_of(delimiters)
        self._last_identifier = 0
        self._tag_stack = []
        self._end_token_stack = []
        self._opened: list[tuple[str, int]] = []

    def parse_statement(self) -> nodes.Node | list[nodes.Node]:
        token = self.stream.current
        self._opened.append((str(token.value), token.lineno))
        result = super().parse_statement()
        self._opened.pop()
        return result

    def parse_autoescape(self) -> NoReturn:
        self.fail("escaping follows the field; write | safe to let markup through")

    def fail_unknown_tag(self, name: str, lineno: int | None = None) -> NoReturn:
        at = (lineno or 1) - 1
        if self._opened and self._opened[-1] == (name, lineno):
            self._opened.pop()
        if self._opened and (name.startswith("end") or name in ("else", "elif")):
            opened = self._opened[-1][0]
            wanted = self._wanted()
            raise Mistake(
                f'"{name}" does not belong to "{opened}", which is still open', at, f"expected {wanted}"
            )
        if name.startswith("end") or name in ("else", "elif"):
            raise Mistake(f'"{name}" closes nothing: no statement is open', at)
        close = nearest(name, _STATEMENTS)
        hint = f'did you mean "{close}"?' if close else "the statements are " + ", ".join(_STATEMENTS)
        raise Mistake(f'unknown statement "{name}"', at, hint)

    def fail_eof(self, end_tokens: tuple[str, ...] | None = None, lineno: int | None = None) -> NoReturn:
        name, at = self._opened[-1] if self._opened else ("", lineno or 1)
        begin, end = self.style.statement
        raise Mistake(
            f'"{begin} {name} {end}" is never closed', at - 1, f"close it with {self._wanted(end_tokens)}"
        )

    def _wanted(self, end_tokens: tuple[str, ...] | None = None) -> str:
        ends = end_tokens or (self._end_token_stack[-1] if self._end_token_stack else ())
        begin, end = self.style.statement
        return " or ".join(f"{begin} {name.removeprefix('name:')} {end}" for name in ends)


def _plain(error: TemplateSyntaxError, text: str, delimiters: Delimiters) -> Mistake:
    at = min(max(error.lineno - 1, 0), len(text))
    message = (error.message or "").rstrip(".")
    for jinja, plain in _TOKEN_WORDS.items():
        message = message.replace(f"'{jinja}'", plain)
    found = re.fullmatch(r"expected token (.+), got (.+)", message, re.DOTALL)
    if found:
        message = f"expected {_quote(found[1])}, found {_quote(found[2])}"
    elif found := re.fullmatch(r"Expected an expression, got (.+)", message):
        message = f"expected an expression, found {_quote(found[1])}"
    elif found := re.fullmatch(r"unexpected (.+)", message):
        message = f"unexpected {_quote(found[1]).removeprefix('the ')}"
    elif message:
        message = message[0].lower() + message[1:].replace("Jinja", "templates")
    hint = ""
    begin, end = style_of(delimiters).expression
    if text[at - 1 : at + 1] == begin[0] * 2 or "found the end of the expression" in message:
        hint = f"an expression is written {begin} name {end}"
    return Mistake(message, at, hint)


def _quote(found: str) -> str:
    return f'"{found[1:-1]}"' if found[:1] == found[-1:] == "'" else found


def _check(tree: nodes.Template, kind: Kind, delimiters: Delimiters) -> None:
    from runner.template.conditions import TESTS
    from runner.template.filters import FILTERS

    if kind is Kind.EXPRESSION and lone(tree) is None:
        begin, end = style_of(delimiters).expression
        raise Mistake("one expression is expected here", 0, f"write {begin} expression {end}")
    seen_blocks: set[str] = set()
    for node, depth, loops in _walk(tree):
        at = (node.lineno or 1) - 1
        if depth > MAX_DEPTH:
            raise Mistake(f"the template is nested more than {MAX_DEPTH} deep", at)
        if loops > MAX_LOOPS:
            raise Mistake(f"loops are nested more than {MAX_LOOPS} deep", at)
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise _unknown("filter", node.name, FILTERS, at)
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            raise _unknown("test", node.name, TESTS, at)
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test):
            _unique([str(getattr(keyword, "key", "")) for keyword in node.kwargs], "argument", at)
        elif isinstance(node, nodes.Macro | nodes.CallBlock):
            _unique([str(argument.name) for argument in node.args], "parameter", at)
        elif isinstance(node, nodes.Block):
            if node.name in seen_blocks:
                raise Mistake(f'the block "{node.name}" stands twice', at)
            seen_blocks.add(node.name)
        elif isinstance(node, nodes.Name) and node.name == "self":
            raise Mistake('unknown name "self"', at)
        elif isinstance(node, nodes.Name) and node.name == "loop" and node.ctx == "store":
            raise Mistake('"loop" cannot be set: it tells about the loop', at)
        elif isinstance(node, NAMING):
            file_names(node)
        if kind in (Kind.ADDRESS, Kind.PATH, Kind.URL) and (
            isinstance(node, nodes.FilterBlock) or (isinstance(node, nodes.AssignBlock) and node.filter)
        ):
            raise Mistake(
                f"a filter over a block of text cannot be used in an {kind} field", at, "filter the values"
            )


NAMING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


def file_names(node: nodes.Stmt) -> list[str]:
    """The files that a statement names: written out, so that no value ever chooses one."""
    template: nodes.Expr = getattr(node, "template")  # noqa: B009
    names: list[object]
    if isinstance(template, nodes.Const):
        names = list(template.value) if isinstance(template.value, list | tuple) else [template.value]
    elif isinstance(template, nodes.List | nodes.Tuple) and isinstance(node, nodes.Include):
        names = [item.value if isinstance(item, nodes.Const) else None for item in template.items]
    else:
        names = [None]
    if not names or not all(isinstance(name, str) for name in names):
        raise Mistake(
            "the name of a template file must be written out",
            node.lineno - 1,
            "a value cannot choose a file; use if and else around two includes",
        )
    return [str(name) for name in names]


def _walk(tree: nodes.Template) -> Iterator[tuple[nodes.Node, int, int]]:
    # an own stack: a tree that is too deep must be found without recursion
    stack: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while stack:
        node, depth, loops = stack.pop()
        yield node, depth, loops
        loops += isinstance(node, nodes.For)
        stack.extend((child, depth + 1, loops) for child in reversed([*node.iter_child_nodes()]))


def _unique(names: list[str], what: str, at: int) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Mistake(f'the {what} "{name}" stands twice', at)
        seen.add(name)


def _unknown(what: str, name: str, known: Iterable[str], at: int) -> Mistake:
    close = nearest(name, known)
    hint = f'did you mean "{close}"?' if close else f"the {what}s are {quoted(known, 100)}"
    return Mistake(f'unknown {what} "{name}"', at, hint)
