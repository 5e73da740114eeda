"""A node's parameters as a tree of plain values and templates.

Which text is a template, and how the values in it are escaped, stands in the node type's schema:
``x-template`` (``text``, ``html``, ``url``, ``address``, ``path``, ``expression`` or ``none``) and ``x-limit``
(characters), each for the place where it stands and everything inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from runner import schema
from runner.diagnostic import Diagnostic, Invalid
from runner.model import Template
from runner.source import Document
from runner.template import Kind, OrElse, Shape, Templates, Where, asked_for, check_names, is_template
from runner.template import Template as Compiled

Pointer = tuple[str | int, ...]

DEFAULT_LIMIT = 1_000_000
"""Characters that a rendered text may have where its schema says nothing else."""

_UNKNOWN_NODE = r'unknown name "([a-z][a-z0-9_]*)" in nodes'
_OTHER = {
    "angle": (r"\{\{-?\s*(?:trigger|nodes|vars|item|flow|run)\b", "{{ … }}", "<< … >>"),
    "curly": (r"<<\s*(?:trigger|nodes|vars|item|flow|run)\b", "<< … >>", "{{ … }}"),
}


class _Field(NamedTuple):
    """What holds at one place: the parts of the schema that speak of it, how values are escaped, the cap."""

    schemas: list[dict[str, Any]]
    kind: str = "text"
    limit: int = DEFAULT_LIMIT


@dataclass(eq=False, repr=False)
class Compiler:
    """Compiles the templates of one flow and gathers what is wrong with them."""

    document: Document
    templates: Templates
    findings: list[Diagnostic] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)
    _asked: frozenset[tuple[str, ...]] = frozenset()

    def guard(self, when: Template | None) -> None:
        """From now on templates may read what ``when`` asks about: a node runs only where it holds."""
        self._asked = asked_for(when.unit.tree) if isinstance(when, Compiled) else frozenset()

    def params(
        self, kind: str, value: Mapping[str, Any], pointer: Pointer, shape: Shape
    ) -> dict[str, object]:
        """The parameters of a node of type ``kind``, whose names ``shape`` knows."""
        root = schema.load(f"nodes/{kind}")
        start = self._narrowed(_Field([]), schema.branches(root, root))
        self._check_keys(value, start, pointer)
        built = {}
        for name, item in value.items():
            if kind == "smtp" and name == "html_body" and _is_blank(item):
                continue  # as if left out: ``body`` is the HTML content then, and is escaped as such
            place = self._child(start, name, root)
            if kind == "smtp" and name == "body" and _is_html_content(value):
                place = place._replace(kind="html")
            built[name] = self._build(item, place, root, (*pointer, name), shape)
        html = built.get("html_body")
        if kind == "smtp" and isinstance(html, Compiled) and value.get("body_format") == "html":
            place = self._child(start, "body", root)._replace(kind="html")
            built["html_body"] = OrElse(html, self._again(value.get("body"), place, root, pointer, shape))
        return built

    def _again(
        self, value: Any, place: _Field, root: dict[str, Any], pointer: Pointer, shape: Shape
    ) -> Compiled | str:
        """``body`` as HTML, beside what it is as text; what is wrong with it was told there."""
        told = len(self.findings)
        body = self._build(value, place, root, (*pointer, "body"), shape)
        self.findings[told:] = [found for found in self.findings[told:] if found not in self.findings[:told]]
        return body if isinstance(body, Compiled | str) else ""

    def expression(self, text: str, pointer: Pointer, shape: Shape) -> Template | None:
        """``when`` or ``for_each``; None when it is no expression, which is a finding then."""
        return self._compile(text, Kind.EXPRESSION, DEFAULT_LIMIT, pointer, shape)

    def _build(
        self, value: Any, place: _Field, root: dict[str, Any], pointer: Pointer, shape: Shape
    ) -> object:
        if isinstance(value, str):
            return self._text(value, place, pointer, shape)
        if isinstance(value, list):
            return [
                self._build(item, self._child(place, number, root), root, (*pointer, number), shape)
                for number, item in enumerate(value)
            ]
        if isinstance(value, dict):
            if place.kind in ("text", "html") and set(value) == {"file"} and _takes_file(place):
                return self._file(value["file"], place, (*pointer, "file"), shape)
            self._check_keys(value, place, pointer)
            return {
                name: self._build(item, self._child(place, name, root), root, (*pointer, name), shape)
                for name, item in value.items()
            }
        return value

    def _check_keys(self, value: Mapping[str, Any], place: _Field, pointer: Pointer) -> None:
        for name in value:
            if place.kind != "none" and is_template(name, self.templates.delimiters):
                message = f'"{name[:60]}" is a key, and a key cannot be a template'
                hint = "headers take a list of {key, value}" if "headers" in pointer else ""
                place_of_key = (*pointer, name)
                self.findings.append(
                    self.document.finding(place_of_key, message, "template", key=True, hint=hint)
                )

    def _text(self, text: str, place: _Field, pointer: Pointer, shape: Shape) -> object:
        if place.kind == "none":
            return text
        if not is_template(text, self.templates.delimiters):
            self._warn_of_other_delimiters(text, pointer)
            return text
        return self._compile(text, Kind(place.kind), place.limit, pointer, shape) or text

    def _compile(self, text: str, kind: Kind, limit: int, pointer: Pointer, shape: Shape) -> Template | None:
        try:
            template = self.templates.compile(text, kind, self._where(pointer), limit)
        except Invalid as exc:
            self.findings.extend(exc.diagnostics)
            return None
        return self._checked(template, shape)

    def _checked(self, template: Compiled, shape: Shape) -> Template:
        found = check_names(template, shape, self._asked)
        self.findings.extend(self._with_hint(finding, template.where.field) for finding in found)
        self.files.update(template.files)
        return template

    def _with_hint(self, finding: Diagnostic, field: str) -> Diagnostic:
        """Say more about the two names that are there for other nodes only."""
        if match := re.fullmatch(_UNKNOWN_NODE, finding.message):
            nodes = self.document.value["nodes"]
            if any(isinstance(node, dict) and node.get("id") == match[1] for node in nodes):
                return finding._replace(hint=f'node "{match[1]}" does not run before this one')
        if finding.message == 'unknown name "item"' and field == "when":
            hint = (
                'when is asked before for_each: filter there, like << trigger.body.list | selectattr("ok") >>'
            )
            return finding._replace(hint=hint)
        if finding.message == 'unknown name "item"':
            return finding._replace(hint="item is there in a node with for_each only")
        return finding

    def _file(self, name: Any, place: _Field, pointer: Pointer, shape: Shape) -> object:
        if not isinstance(name, str):
            return name
        where = self._where(pointer)
        try:
            template = self.templates.compile_file(name, Kind(place.kind), where, place.limit)
        except Invalid as exc:
            self.findings.extend(exc.diagnostics)
            return name
        return self._checked(template, shape)

    def _where(self, pointer: Pointer) -> Where:
        name = ".".join(str(step) for step in pointer[2:])
        return Where(
            self.document.path, name, lambda line, column: self.document.locate(pointer, line, column)
        )

    def _child(self, place: _Field, step: str | int, root: dict[str, Any]) -> _Field:
        return self._narrowed(place, schema.child(place.schemas, step, root))

    def _narrowed(self, place: _Field, schemas: list[dict[str, Any]]) -> _Field:
        kind = next((part["x-template"] for part in schemas if "x-template" in part), place.kind)
        limit = next((part["x-limit"] for part in schemas if "x-limit" in part), place.limit)
        return _Field(schemas, kind, limit)

    def _warn_of_other_delimiters(self, text: str, pointer: Pointer) -> None:
        pattern, found, meant = _OTHER[self.templates.delimiters]
        if match := re.search(pattern, text):
            before = text[: match.start()]
            place = self.document.locate(pointer, before.count("\n") + 1, len(before) - before.rfind("\n"))
            message = f"{found} is plain text here: templates of this flow are written {meant}"
            hint = (
                '"delimiters: curly" at the top of the flow switches to {{ }}'
                if self.templates.delimiters == "angle"
                else ""
            )
            self.findings.append(
                Diagnostic(self.document.path, place.line, place.column, message, "template", "warning", hint)
            )


def _is_html_content(params: Mapping[str, Any]) -> bool:
    """Whether ``body`` is the HTML: with ``body_format: html`` and no ``html_body`` (SPEC section 5)."""
    return params.get("body_format") == "html" and _is_blank(params.get("html_body"))


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _takes_file(place: _Field) -> bool:
    """Whether ``{file: …}`` here stands for a template; in an attachment it stands for the file itself."""
    return any(
        part.get("required") == ["file"] and part.get("additionalProperties") is False
        for part in place.schemas
    )
