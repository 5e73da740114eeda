"""Syntax tree → Python code: Jinja's own generator, with every operation on values sent through our guards.

Nothing is evaluated while compiling (``2 ** 2 ** 30`` would be). Loops and macros get their price written in.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.template import access, operators
from runner.template.conditions import TESTS
from runner.template.filters import ADDRESS_FILTERS, FILTERS, HTML_FILTERS
from runner.template.grammar import lone
from runner.template.kinds import Kind
from runner.template.output import OUT, native_out, unless_null
from runner.template.values import Missing

_BINARY = {
    "Add": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "FloorDiv": "floor_divide",
    "Pow": "power",
    "Mod": "modulo",
}
_GUARDS: dict[str, Any] = {
    "attribute": access.attribute,
    "inner_attribute": access.inner,
    "item": access.item,
    "slicing": access.slicing,
    "invoke": access.invoke,
    "call": access.call,
    "looped": access.looped,
    "spread": access.spread,
    "entered": access.entered,
    "concat_values": operators.concat,
    "compare": operators.compare,
    "hashable": operators.hashable,
    "negate": operators.negate,
    "posit": operators.posit,
    **{name: getattr(operators, name) for name in _BINARY.values()},
}
_STEPS_PER_NODE = 2
_SPACE_PER_OUTPUT = 120


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one kind of field. Sandbox in name for what Jinja itself still asks of it."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    intercepted_unops = frozenset(ImmutableSandboxedEnvironment.default_unop_table)

    def __init__(self, kind: Kind) -> None:
        super().__init__(undefined=Missing, optimized=False, cache_size=0, keep_trailing_newline=True)
        self.kind = kind
        self.globals = dict(access.GLOBALS)
        self.filters = cast(
            "Any", {Kind.HTML: HTML_FILTERS, Kind.ADDRESS: ADDRESS_FILTERS}.get(kind, FILTERS)
        )
        self.tests = cast("Any", TESTS)
        self.out, self.concat = OUT[kind]  # type: ignore[method-assign]


def generate(environment: Sandbox, tree: nodes.Template, name: str) -> str:
    """The Python source of a template. Changes ``tree``: loops and macros are given their price."""
    Prices().visit_body(tree)
    if environment.kind in (Kind.URL, Kind.PATH) and lone(tree) is None:
        _trust_vars(tree)
    generator = _Guarded(environment, name, name, optimized=False)
    generator.visit(tree)
    return generator.stream.getvalue()  # type: ignore[attr-defined, no-any-return]


def namespace(environment: Sandbox, native: bool, null_is_empty: bool) -> dict[str, Any]:
    """The names that generated code needs."""
    out = native_out if native else environment.out
    if null_is_empty and not native:
        out = partial(unless_null, environment.out)
    return {"environment": environment, "out": out, **_GUARDS}


def _trust_vars(tree: nodes.Template) -> None:
    # "<<vars.crm>>/contacts": one of the operator's settings at the beginning is the author's own text
    output = tree.body[0] if tree.body else None
    if isinstance(output, nodes.Output) and output.nodes:
        inner: nodes.Node = output.nodes[0]
        while isinstance(inner, nodes.Getattr):
            inner = inner.node
        if isinstance(inner, nodes.Name) and inner.name == "vars" and inner is not output.nodes[0]:
            first = output.nodes[0]
            output.nodes[0] = nodes.Filter(first, "safe", [], [], None, None, lineno=first.lineno)


class Prices:
    """Writes into loops and macros what one turn of them costs."""

    def visit_body(self, node: nodes.Node) -> tuple[int, int]:
        """The price of ``node``, in steps and bytes; a loop inside it pays for itself."""
        steps, space = _STEPS_PER_NODE, 0
        if isinstance(node, nodes.TemplateData):
            return 1, 0
        if isinstance(node, nodes.Macro | nodes.CallBlock):
            inside = self._sum(node.body)
            node.body.insert(0, _pay("entered", [], inside, node.lineno))
            return self._sum(node.iter_child_nodes(exclude=("body",)))
        if isinstance(node, nodes.For):
            inside = self._sum([*node.body, *([node.test] if node.test else []), node.target])
            outside_price = self._sum([node.iter, *node.else_])
            if node.recursive:
                node.body.insert(0, _pay("entered", [], inside, node.lineno))
            node.iter = _paid(node.iter, inside, node.lineno)
            return outside_price
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test):
            # a call is dearer than a name; what is spread over its arguments has no length until then
            steps += 2 * _STEPS_PER_NODE
            if node.dyn_args is not None:
                node.dyn_args = _spread(node.dyn_args)
            if node.dyn_kwargs is not None:
                node.dyn_kwargs = _spread(node.dyn_kwargs)
        if isinstance(node, nodes.Output):
            space = _SPACE_PER_OUTPUT * sum(not isinstance(child, nodes.TemplateData) for child in node.nodes)
        more_steps, more_space = self._sum(node.iter_child_nodes())
        return steps + more_steps, space + more_space

    def _sum(self, found: Any) -> tuple[int, int]:
        steps = space = 0
        for node in list(found):
            more_steps, more_space = self.visit_body(node)
            steps += more_steps
            space += more_space
        return steps + 2, space + 16


def _spread(values: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute("spread"), [values], [], None, None, lineno=values.lineno)


def _paid(values: nodes.Node, price: tuple[int, int], lineno: int) -> nodes.Call:
    arguments: list[nodes.Node] = [values, *(nodes.Const(number) for number in price)]
    return nodes.Call(nodes.EnvironmentAttribute("looped"), arguments, [], None, None, lineno=lineno)


def _pay(name: str, values: list[nodes.Expr], price: tuple[int, int], lineno: int) -> nodes.ExprStmt:
    arguments: list[nodes.Expr] = [*values, *(nodes.Const(number) for number in price)]
    paid = nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None, lineno=lineno)
    return nodes.ExprStmt(paid, lineno=lineno)


def _binary(function: str) -> Any:
    def visit(self: _Guarded, node: nodes.BinExpr, frame: Frame) -> None:
        self.write(f"{function}(")
        self.visit(node.left, frame)
        self.write(", ")
        self.visit(node.right, frame)
        self.write(")")

    return visit


def _unary(function: str) -> Any:
    def visit(self: _Guarded, node: nodes.UnaryExpr, frame: Frame) -> None:
        self.write(f"{function}(")
        self.visit(node.node, frame)
        self.write(")")

    return visit


class _Guarded(CodeGenerator):
    """Jinja's generator, whose every operation on a value is a call of ours."""

    visit_Add = _binary("add")  # noqa: N815
    visit_Sub = _binary("subtract")  # noqa: N815
    visit_Mul = _binary("multiply")  # noqa: N815
    visit_Div = _binary("divide")  # noqa: N815
    visit_FloorDiv = _binary("floor_divide")  # noqa: N815
    visit_Pow = _binary("power")  # noqa: N815
    visit_Mod = _binary("modulo")  # noqa: N815
    visit_Neg = _unary("negate")  # noqa: N815
    visit_Pos = _unary("posit")  # noqa: N815

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return node.data

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write("out(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write(")")

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Frame) -> None:  # noqa: N802
        # what the filter gives is a value like any other: "striptags" would bring escaped markup back to life
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        self.enter_frame(inner)
        self.buffer(inner)
        self.blockvisit(node.body, inner)
        self.start_write(frame, node)
        self.write("out(")
        self.visit_Filter(node.filter, inner)
        self.write(")")
        self.end_write(frame)
        self.leave_frame(inner)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802
        outer = node.node
        if isinstance(outer, nodes.Getattr):
            self.write("inner_attribute(")
            self.visit(outer.node, frame)
            self.write(f", {outer.attr!r}, {node.attr!r})")
            return
        self.write("attribute(")
        self.visit(outer, frame)
        self.write(f", {node.attr!r})")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        if isinstance(node.arg, nodes.Slice):
            self.write("slicing(")
            self.visit(node.node, frame)
            for part in (node.arg.start, node.arg.stop, node.arg.step):
                self.write(", ")
                self.visit(part or nodes.Const(None), frame)
            self.write(")")
            return
        self.write("item(")
        self.visit(node.node, frame)
        self.write(", ")
        self.visit(node.arg, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self.write("{")
        for pair in node.items:
            self.write("hashable(")
            self.visit(pair.key, frame)
            self.write("): ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:  # noqa: N802
        self.write(repr(node.value))

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("concat_values((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        first = node.ops[0]
        if len(node.ops) == 1 and first.op in ("eq", "ne") and _scalar(node.expr, first.expr):
            super().visit_Compare(node, frame)
            return
        self.write("compare(")
        self.visit(node.expr, frame)
        for operand in node.ops:
            self.write(f", {operand.op!r}, ")
            self.visit(operand.expr, frame)
        self.write(")")

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802
        called = node.node
        if isinstance(called, nodes.EnvironmentAttribute):
            self.write(called.name + "(")
            for argument in node.args:
                self.visit(argument, frame)
                self.write(", ")
            self.write(")")
            return
        if isinstance(called, nodes.Getattr):
            self.write("invoke(")
            self.visit(called.node, frame)
            self.write(f", {called.attr!r}")
        else:
            self.write("call(")
            self.visit(called, frame)
        self.signature(node, frame, {"caller": "caller"} if forward_caller else None)
        self.write(")")


def _scalar(*found: nodes.Expr) -> bool:
    # a constant compares with anything at once
    return any(isinstance(node, nodes.Const) for node in found)
