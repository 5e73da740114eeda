"""What shows of a template's markup before it is rendered.

MJML that does not compile, and values that stand in an attribute without quotes, where escaping does not keep them:
``<p title=<<trigger.body.v>>>`` with ``x onclick=…`` has one attribute more. One pass over the author's text tells
where a tag and an attribute begin and end, as far as a reader of HTML would see it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from runner.diagnostic import Diagnostic
from runner.errors import TemplateError
from runner.template.compiled import Template
from runner.template.kinds import Kind, place

if TYPE_CHECKING:
    from jinja2 import nodes

    from runner.template.engine import Unit

MESSAGE = "a value in an attribute without quotes can add attributes to the tag"
HINT = 'put quotes round it: name="<< … >>"'

_OPENING = re.compile(r"<!--|</?([a-zA-Z][a-zA-Z0-9-]*)")
_RAW = frozenset({"script", "style"})
_RAW_END = re.compile(r"</(?:script|style)\b", re.IGNORECASE)
_ENDS = {"tag": re.compile("[=>]"), "bare": re.compile(r"[\s>]")}
_HARMLESS = frozenset({"int", "float", "length", "count", "round", "abs", "urlencode"})


def unquoted(template: Template) -> Iterator[Diagnostic]:
    """A warning for each such value of an HTML template, and of the files that it includes."""
    if template.kind is not Kind.HTML:
        return
    seen: set[int] = set()
    waiting = [template.unit]
    while waiting:
        unit = waiting.pop()
        if id(unit) in seen:
            continue
        seen.add(id(unit))
        waiting += [included for included in unit.library.values() if included is not None]
        reader = _Reader()
        reader.body(unit.tree.body)
        yield from (_finding(unit, offset) for offset in reader.found)


def uncompiled(template: Template) -> Iterator[Diagnostic]:
    """An error for MJML that does not compile, whatever the values; only where they stand between tags."""
    reader = _Reader()
    reader.body(template.unit.tree.body if template.compiles else ())
    if not template.compiles or not reader.simple:
        return
    from runner.template.markup import compile_mjml

    try:
        compile_mjml("".join(reader.text))
    except TemplateError as error:
        yield Diagnostic(template.where.path, 1, 1, error.message, "ETEMPLATE", hint=error.hint or "")


class _Reader:
    def __init__(self) -> None:
        self.found: list[int] = []
        self.text: list[str] = []
        self.simple = True
        self._state = "text"
        self._raw = False

    def body(self, statements: Iterable[nodes.Node]) -> None:
        from jinja2 import nodes

        for node in statements:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    if isinstance(child, nodes.TemplateData):
                        self._literal(child.data)
                    else:
                        self._value(child)
                continue
            self.simple = False
            apart = isinstance(node, nodes.Macro | nodes.AssignBlock)
            before, self._state = self._state, "text" if apart else self._state
            for name in ("body", "elif_", "else_"):
                self.body(getattr(node, name, None) or ())
            if apart:
                self._state = before

    def _value(self, node: nodes.Node) -> None:
        from jinja2 import nodes

        self.text.append("word")
        self.simple = self.simple and self._state == "text"
        if self._state not in ("value", "bare"):
            return
        self._state = "bare"
        known = isinstance(node, nodes.Const) or (isinstance(node, nodes.Filter) and node.name in _HARMLESS)
        if not known:
            self.found.append(node.lineno - 1)

    def _literal(self, text: str) -> None:
        self.text.append(text)
        at = 0
        while at < len(text):
            at = self._step(text, at)

    def _step(self, text: str, at: int) -> int:
        """Read on from ``at`` to where the state changes, or to the end."""
        state = self._state
        if state == "text":
            return self._open(text, at)
        if state in ("tag", "bare"):
            end = _ENDS[state].search(text, at)
            if end is None:
                return len(text)
            self._state = {"=": "value", ">": "raw" if self._raw else "text"}.get(end[0], "tag")
            return end.end()
        if state == "value":
            if text[at].isspace():
                return at + 1
            self._state = text[at] if text[at] in "\"'" else "bare"
            return at + (self._state != "bare")
        if state == "raw":
            raw = _RAW_END.search(text, at)
            self._state, self._raw = ("raw", True) if raw is None else ("tag", False)
            return len(text) if raw is None else raw.end()
        until = "-->" if state == "comment" else state
        found = text.find(until, at)
        if found < 0:
            return len(text)
        self._state = "text" if state == "comment" else "tag"
        return found + len(until)

    def _open(self, text: str, at: int) -> int:
        opening = _OPENING.search(text, at)
        if opening is None:
            return len(text)
        self._state = "tag" if opening[1] else "comment"
        self._raw = (opening[1] or "").lower() in _RAW and not opening[0].startswith("</")
        return opening.end()


def _finding(unit: Unit, offset: int) -> Diagnostic:
    from runner.template.engine import tag_start

    position = unit.where.locate(*place(unit.source, tag_start(unit.source, offset)))
    return Diagnostic(
        unit.where.path, position.line, position.column, MESSAGE, "template", "warning", hint=HINT
    )
