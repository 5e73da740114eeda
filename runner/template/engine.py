"""A compiled text: from its tree to code on first use, and the error messages of a render."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from threading import RLock
from types import TracebackType
from typing import Any

from jinja2 import nodes
from jinja2.environment import TemplateModule
from jinja2.exceptions import TemplateRuntimeError, UndefinedError
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.utils import missing

from runner.errors import TemplateError
from runner.template.access import GLOBALS
from runner.template.asked import Path, path_of
from runner.template.budget import Refused, spend
from runner.template.generate import Sandbox, generate, namespace
from runner.template.grammar import is_alone
from runner.template.kinds import Kind, Where, place
from runner.template.nearest import nearest, quoted, readable
from runner.template.values import Unknown

_compiling = RLock()
_NAME = re.compile(r"(?:\.\s*|['\"])?")


@cache
def sandbox(kind: Kind) -> Sandbox:
    """The environment that all templates of a kind share."""
    return Sandbox(kind)


class Unit:
    """One text and its code: a field, or a file that it includes. What Jinja calls a template.

    ``library`` are the files that it names, by name; ``where`` places its text. In a ``field``, which no other text
    includes, an expression that stands alone shows nothing for null.
    """

    def __init__(
        self,
        source: str,
        kind: Kind,
        where: Where,
        tree: nodes.Template,
        library: Mapping[str, Unit | None],
        native: bool,
        field: bool = False,
    ) -> None:
        self.source = source
        self.kind = kind
        self.where = where
        self.tree = tree
        self.library = library
        self.native = native
        self.null_is_empty = field and kind in (Kind.TEXT, Kind.HTML) and is_alone(tree)
        self.name = where.path
        self._code: dict[str, Any] | None = None

    @property
    def code(self) -> dict[str, Any]:
        """What the generated module holds; made on first use."""
        if self._code is None:
            with _compiling:
                self._code = self._code or self._compile()
        return self._code

    def _compile(self) -> dict[str, Any]:
        environment = Linked(self.kind, self.library) if self.library else sandbox(self.kind)
        names = namespace(environment, self.native, self.null_is_empty)
        try:
            python = generate(environment, self.tree, self.name)
            exec(compile(python, "<template>", "exec"), names)  # noqa: S102  (this is how Jinja runs a template)
        except (SyntaxError, RecursionError, MemoryError, TemplateRuntimeError, ValueError) as error:
            raise Refused("the template is too complex") from error
        names["flowpost_unit"] = self
        names["flowpost_environment"] = environment
        return names

    # the three names below are the part of jinja2.Template that generated code relies on

    @property
    def root_render_func(self) -> Any:
        """The generator function of the whole text."""
        return self.code["root"]

    @property
    def environment(self) -> Sandbox:
        """What the code was generated for."""
        found: Sandbox = self.code["flowpost_environment"]
        return found

    @property
    def blocks(self) -> dict[str, Any]:
        """The blocks of the text, by name."""
        found: dict[str, Any] = self.code["blocks"]
        return found

    def new_context(
        self,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        shared: bool = False,
        locals: Mapping[str, Any] | None = None,  # noqa: A002
    ) -> Context:
        """A scope for rendering this text inside another."""
        parent = {**(vars or {})} if shared else {**GLOBALS, **(vars or {})}
        for name, value in (locals or {}).items():
            if value is not missing:
                parent[name] = value
        return Scope(self, parent)

    def make_module(
        self,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        shared: bool = False,
        locals: Mapping[str, Any] | None = None,  # noqa: A002
    ) -> TemplateModule:
        """The text as a module of macros: run anew each time, so that nothing stays from render to render."""
        context = self.new_context(vars, shared, locals)
        return TemplateModule(self, context, list(self.root_render_func(context)))  # type: ignore[arg-type]

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        return self.make_module()


class Linked(Sandbox):
    """A sandbox whose templates find the files that were read when they were compiled."""

    def __init__(self, kind: Kind, library: Mapping[str, Unit | None]) -> None:
        self.__dict__.update(sandbox(kind).__dict__)
        self.library = library

    def get_template(self, name: Any, parent: Any = None, globals: Any = None) -> Any:  # noqa: A002
        """The file ``name``, paid for."""
        unit = self.library.get(name)
        if unit is None:
            from jinja2.exceptions import TemplateNotFound

            raise TemplateNotFound(name)
        spend(200, 2048)
        return unit

    def select_template(self, names: Any, parent: Any = None, globals: Any = None) -> Any:  # noqa: A002
        """The first of the files that exists."""
        for name in names:
            if self.library.get(name) is not None:
                return self.get_template(name)
        return self.get_template(names[0])


class Scope(Context):
    """Jinja's context, with what it does at each start left for later."""

    def __init__(self, unit: Unit, parent: dict[str, Any]) -> None:
        code = unit.code
        self.parent = parent
        self.vars = {}
        self.environment = code["flowpost_environment"]
        self.exported_vars = set()
        self.name = unit.name
        self.blocks = {name: [block] for name, block in code["blocks"].items()}
        self.unit = unit

    def __getattr__(self, name: str) -> Any:
        if name == "eval_ctx":
            self.eval_ctx = EvalContext(self.environment, self.name)
            return self.eval_ctx
        raise AttributeError(name)

    def derived(self, locals: dict[str, Any] | None = None) -> Context:  # noqa: A002
        """The scope with more names, for a block."""
        parent = dict(self.get_all())
        for name, value in (locals or {}).items():
            if value is not missing:
                parent[name] = value
        context = Scope(self.unit, parent)
        context.blocks.update((name, list(blocks)) for name, blocks in self.blocks.items())
        return context


def explain(error: BaseException, unit: Unit, scope: Mapping[str, object]) -> TemplateError:
    """The error of a render, with field, file, line and column."""
    found, offset = _place(error.__traceback__) or (unit, 0)
    if isinstance(error, Unknown | UndefinedError):
        return _unknown(error, found, offset, scope)
    hint = error.hint if isinstance(error, Refused) else None
    if isinstance(error, Refused):
        message = error.message
    elif isinstance(error, RecursionError):
        message = "the template is nested too deep"
    elif isinstance(error, MemoryError):
        message = "the template needs too much memory"
    elif isinstance(error, TemplateRuntimeError):
        message = str(error.message or "the template cannot be rendered").replace("'", '"')
    else:
        message = "the expression does not work with these values"
    return TemplateError(f"{message} ({at(found, tag_start(found.source, offset))})", hint=hint)


def at(unit: Unit, offset: int) -> str:
    """Where an offset of a text is, for a message."""
    position = unit.where.locate(*place(unit.source, offset))
    return f"field {unit.where.field}, {unit.where.path}:{position.line}:{position.column}"


def _unknown(error: BaseException, unit: Unit, offset: int, scope: Mapping[str, object]) -> TemplateError:
    name = getattr(error, "name", None)
    owner = getattr(error, "owner", missing)
    known: Mapping[Any, Any] = {}
    if isinstance(owner, Mapping):
        known = owner
    elif owner is missing:
        known = {**scope, **GLOBALS}
    if not isinstance(name, str):
        message = str(error)
        return TemplateError(f"{message} ({at(unit, tag_start(unit.source, offset))})")
    exact, path = _named(unit, name, owner is missing, offset)
    if owner is None and (told := _left_nothing(path, scope)):
        return TemplateError(f"{told} ({at(unit, exact)})", hint=f"test nodes.{path[1]}.status before")
    close = nearest(name, known)
    message = f'unknown name "{readable(name)}" ({at(unit, exact)})'
    if close is not None:
        message += f', did you mean "{close}"?'
    names = quoted(known)
    hint = f"names that exist here: {names}" if names else "the value has no names in it"
    return TemplateError(message, hint=hint)


def _place(traceback: TracebackType | None) -> tuple[Unit, int] | None:
    found: tuple[Unit, int] | None = None
    for frame, line in _frames(traceback):
        unit = frame.f_globals.get("flowpost_unit")
        if isinstance(unit, Unit):
            found = unit, _offset(unit, line)
    return found


def _frames(traceback: TracebackType | None) -> Iterator[tuple[Any, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _offset(unit: Unit, line: int) -> int:
    pairs = [pair.split("=") for pair in unit.code["debug_info"].split("&") if pair]
    for offset, code_line in reversed(pairs):
        if int(code_line) <= line:
            return int(offset) - 1
    return 0


def tag_start(source: str, offset: int) -> int:
    """Where the tag around ``offset`` begins."""
    begin = max(source.rfind(mark, 0, offset + 1) for mark in ("<<", "<%", "{{", "{%"))
    return begin if begin >= 0 else offset


def _left_nothing(path: Path, scope: Mapping[str, object]) -> str:
    """Why ``nodes.<id>.output`` or ``.error`` is null, where the path goes on from one of them."""
    results = scope.get("nodes")
    result = results.get(path[1]) if len(path) > 3 and isinstance(results, Mapping) else None
    if path[:1] != ("nodes",) or not isinstance(result, Mapping) or path[2] not in ("output", "error"):
        return ""
    if result.get(path[2]) is not None:
        return ""
    status = str(result.get("status"))
    told = "was skipped" if status == "skipped" else status
    return f'node "{readable(path[1])}" {told}, and has no {path[2]}'


def _named(unit: Unit, name: str, top: bool, offset: int) -> tuple[int, Path]:
    """Where in the tag around ``offset`` the name stands that does not exist, and the path that ends in it."""
    begin = tag_start(unit.source, offset)
    places: list[tuple[int, Path]] = []
    for node in unit.tree.find_all((nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Const)):
        if top:
            same = isinstance(node, nodes.Name) and node.name == name
        else:
            same = (isinstance(node, nodes.Getattr) and node.attr == name) or (
                isinstance(node, nodes.Const) and node.value == name
            )
        found: nodes.Node = node
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and not top:
            same, found = node.arg.value == name, node.arg
        if same and found.lineno - 1 >= begin:
            places.append((found.lineno - 1, path_of(node)))
    where, path = min(places, key=lambda one: (one[0], -len(one[1])), default=(offset, ()))
    return (name_offset(unit.source, where) if places else offset), path


def name_offset(source: str, offset: int) -> int:
    """The name itself, where ``offset`` is that of the dot or quote before it."""
    found = _NAME.match(source, offset)
    return found.end() if found else offset
