"""Unknown names, found without rendering: the tree is walked with what is known of each value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from runner.diagnostic import Diagnostic, tidy
from runner.template.asked import LENIENT, Path, asked_for, path_of
from runner.template.compiled import Template
from runner.template.kinds import place
from runner.template.nearest import nearest, quoted
from runner.template.shape import ANY, LEAF, Rule, Shape

if TYPE_CHECKING:
    from jinja2 import nodes

    from runner.template.engine import Unit

_MOST = 200
_KEEPING = frozenset({"list", "sort", "reverse", "unique", "select", "reject", "selectattr", "rejectattr"})
_PICKING = frozenset({"first", "last", "min", "max"})


def check_names(template: Template, shape: Shape, asked: Collection[Path] = ()) -> list[Diagnostic]:
    """The names in ``template`` and the files it includes that ``shape`` (the scope) lacks.

    Each finding has the code ``ETEMPLATE``, the place of the name itself, and the nearest name as its hint.
    ``is defined`` and ``default`` may ask for what is not there, and what a template asks about somewhere it may
    read; so it may what was ``asked`` outside. Not what a schema forbids.
    """
    from runner.template.access import GLOBALS

    checker = _Checker(set(), asked)
    scope = dict.fromkeys(GLOBALS, ANY) | dict(shape.names or {})
    checker.walk(template.unit, _Scope(scope, shape.closed))
    return list(tidy(checker.findings))


class _Scope:
    """The names that can be seen at one place; a statement inside may add to it."""

    def __init__(self, names: dict[str, Shape], closed: bool) -> None:
        self.names = names
        self.closed = closed

    def inner(self, more: Iterable[str] = ()) -> _Scope:
        return _Scope({**self.names, **dict.fromkeys(more, ANY)}, self.closed)


class _Checker:
    def __init__(self, seen: set[int], asked: Collection[Path]) -> None:
        self.seen = seen
        self.findings: list[Diagnostic] = []
        self._asked = asked
        self._units: list[Unit] = []

    def walk(self, unit: Unit, scope: _Scope) -> None:
        """Walk through one text."""
        if id(unit) in self.seen:
            return
        self.seen.add(id(unit))
        self._units.append(unit)
        self.body(unit.tree.body, scope)
        self._units.pop()

    def body(self, statements: Iterable[nodes.Node], scope: _Scope) -> None:
        for statement in statements:
            self.statement(statement, scope)

    def statement(self, node: nodes.Node, scope: _Scope) -> None:
        """One statement; what it sets is in ``scope`` afterwards."""
        from jinja2 import nodes

        if isinstance(node, nodes.Output):
            for child in node.nodes:
                if not isinstance(child, nodes.TemplateData):
                    self.expression(child, scope)
        elif isinstance(node, nodes.Assign):
            self.bind(node.target, self.expression(node.node, scope), scope)
        elif isinstance(node, nodes.AssignBlock):
            self.body(node.body, scope.inner())
            self.bind(node.target, LEAF, scope)
        elif isinstance(node, nodes.For):
            self._loop(node, scope)
        elif isinstance(node, nodes.If):
            self._if(node, scope)
        elif isinstance(node, nodes.Macro):
            scope.names[node.name] = ANY
            self._function(node, scope)
        elif isinstance(node, nodes.CallBlock):
            self.expression(node.call, scope)
            self._function(node, scope)
        elif isinstance(node, nodes.FilterBlock):
            self.expressions([*node.filter.args, *node.filter.kwargs], scope)
            self.body(node.body, scope.inner())
        elif isinstance(node, nodes.With):
            inner = scope.inner()
            for target, value in zip(node.targets, node.values, strict=True):
                self.bind(target, self.expression(value, scope), inner)
            self.body(node.body, inner)
        elif isinstance(node, nodes.Block):
            self.body(node.body, scope.inner(("super",)))
        else:
            self._file(node, scope)

    def _file(self, node: nodes.Node, scope: _Scope) -> None:
        from jinja2 import nodes

        from runner.template.grammar import file_names

        if isinstance(node, nodes.Import):
            scope.names[node.target] = ANY
        elif isinstance(node, nodes.FromImport):
            for name in node.names:
                scope.names[name[1] if isinstance(name, tuple) else name] = ANY
        if not isinstance(node, nodes.Include | nodes.Extends | nodes.Import | nodes.FromImport):
            return
        with_context = getattr(node, "with_context", True)
        for name in file_names(node):
            included = self._units[-1].library.get(name)
            if included is not None:
                self.walk(included, scope.inner() if with_context else _Scope(_global_names(), True))

    def _loop(self, node: nodes.For, scope: _Scope) -> None:
        items = self.expression(node.iter, scope).items or ANY
        inner = scope.inner(("loop",))
        self.bind(node.target, items, inner)
        if node.test is not None:
            self.expression(node.test, inner)
        self.body(node.body, inner)
        self.body(node.else_, scope.inner())

    def _if(self, node: nodes.If, scope: _Scope) -> None:
        # a name that one branch sets may be there afterwards: only what no branch sets is unknown
        branches = [node, *node.elif_]
        scopes = []
        for branch in branches:
            self.expression(branch.test, scope)
            scopes.append(scope.inner())
            self.body(branch.body, scopes[-1])
        scopes.append(scope.inner())
        self.body(node.else_, scopes[-1])
        for inner in scopes:
            for name, shape in inner.names.items():
                if scope.names.get(name) is not shape:
                    scope.names[name] = ANY

    def _function(self, node: nodes.Macro | nodes.CallBlock, scope: _Scope) -> None:
        self.expressions(node.defaults, scope)
        names = [argument.name for argument in node.args]
        # a macro sees what is set after it, too: its names are known only when it is called
        inner = scope.inner((*names, "caller", "varargs", "kwargs"))
        self.body(node.body, inner)

    def bind(self, target: nodes.Node, shape: Shape, scope: _Scope) -> None:
        """Set what stands on the left of an assignment."""
        from jinja2 import nodes

        if isinstance(target, nodes.Name):
            scope.names[target.name] = shape
        elif isinstance(target, nodes.Tuple):
            for item in target.items:
                self.bind(item, ANY, scope)

    def expressions(self, found: Iterable[nodes.Node], scope: _Scope) -> None:
        for node in found:
            self.expression(node, scope)

    def expression(self, node: nodes.Node, scope: _Scope, lenient: bool = False) -> Shape:
        """The shape of an expression's value; ``lenient`` when its last name may be missing."""
        from jinja2 import nodes

        if isinstance(node, nodes.Name):
            if node.name in scope.names:
                return scope.names[node.name]
            if scope.closed and not lenient:
                self._unknown(node, node.name, scope.names)
            return ANY
        if isinstance(node, nodes.Getattr):
            return self._member(self.expression(node.node, scope), node, node.attr, lenient)
        if isinstance(node, nodes.Getitem):
            inner = self.expression(node.node, scope)
            if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
                return self._member(inner, node, node.arg.value, lenient)
            self.expression(node.arg, scope)
            return inner if isinstance(node.arg, nodes.Slice) else inner.items or ANY
        if isinstance(node, nodes.Filter | nodes.Test):
            return self._filter(node, scope)
        if isinstance(node, nodes.Call):
            return self._call(node, scope)
        if isinstance(node, nodes.CondExpr):
            self.expressions(filter(None, [node.test, node.expr1, node.expr2]), scope)
            return ANY
        self.expressions(node.iter_child_nodes(), scope)
        return LEAF if isinstance(node, nodes.Concat | nodes.Compare | nodes.Not) else ANY

    def _filter(self, node: nodes.Filter | nodes.Test, scope: _Scope) -> Shape:
        asking = node.name in LENIENT
        subject = self.expression(node.node, scope, lenient=asking) if node.node is not None else ANY
        self.expressions([*node.args, *node.kwargs, *filter(None, [node.dyn_args, node.dyn_kwargs])], scope)
        if node.name in _KEEPING:
            return subject
        return (subject.items or ANY) if node.name in _PICKING else ANY

    def _call(self, node: nodes.Call, scope: _Scope) -> Shape:
        from jinja2 import nodes

        from runner.template.methods import NAMES

        shape = ANY
        if isinstance(node.node, nodes.EnvironmentAttribute):
            return ANY if node.node.name == "entered" else self.expression(node.args[0], scope)
        if isinstance(node.node, nodes.Getattr):
            owner = self.expression(node.node.node, scope)
            if owner.closed and node.node.attr not in NAMES:
                self._member(owner, node.node, node.node.attr, False)
        else:
            self.expression(node.node, scope)
        self.expressions([*node.args, *node.kwargs, *filter(None, [node.dyn_args, node.dyn_kwargs])], scope)
        return shape

    def _member(self, owner: Shape, node: nodes.Getattr | nodes.Getitem, name: str, lenient: bool) -> Shape:
        if owner.names is not None and name in owner.names:
            return owner.names[name]
        if owner.names is not None and owner.closed and not lenient:
            self._unknown(node, name, owner.names, _dotted(node.node), owner.rule)
        return ANY

    def _is_asked(self, node: nodes.Node) -> bool:
        path = path_of(node)
        return path in self._asked or any(path in asked_for(unit.tree) for unit in self._units)

    def _unknown(
        self, node: nodes.Node, name: str, known: Iterable[str], inside: str = "", rule: Rule = "known"
    ) -> None:
        from jinja2 import nodes

        from runner.template.engine import name_offset

        if len(self.findings) >= _MOST or (rule != "forbidden" and self._is_asked(node)):
            return
        unit = self._units[-1]
        offset = (node.arg if isinstance(node, nodes.Getitem) else node).lineno - 1
        position = unit.where.locate(*place(unit.source, name_offset(unit.source, offset)))
        close = nearest(name, known)
        names = quoted(known)
        hint = f'did you mean "{close}"?' if close else f"names that exist here: {names}" if names else ""
        message = f'unknown name "{name}"' + (f" in {inside}" if inside else "")
        undecided = rule == "listed" and close is None
        if undecided:
            hint += '; if it may come, list it under body, or ask before: "is defined"'
        finding = Diagnostic(unit.where.path, position.line, position.column, message, "ETEMPLATE", hint=hint)
        self.findings.append(finding._replace(undecided=undecided))


def _dotted(node: nodes.Node | None) -> str:
    from jinja2 import nodes

    parts: list[str] = []
    while isinstance(node, nodes.Getattr):
        parts.append(node.attr)
        node = node.node
    if isinstance(node, nodes.Name):
        return ".".join([node.name, *reversed(parts)])
    return ""


def _global_names() -> dict[str, Shape]:
    from runner.template.access import GLOBALS

    return dict.fromkeys(GLOBALS, ANY)
