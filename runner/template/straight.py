"""Templates of text, plain paths and simple conditions: filled by looking values up, without generated code.

Most fields of most flows are such. Where anything about a render is unusual (an unknown name, a value that is no
text or number, a long one, a mapping of another class) the answer is None, and the caller takes the road of the
generated code: what it gives or raises is the measure of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import call, itemgetter
from typing import Any, NamedTuple

from jinja2 import nodes

from runner.model import Fixed, Given
from runner.template.budget import Refused
from runner.template.output import MARKUP, html_out
from runner.template.values import to_text

_SIMPLE = frozenset({str, int, float, bool, type(None)})
_TEXTS = {str}
_MOST_VALUES = 4000
"""Characters of all values together; from here on the generated code counts what escaping costs."""
_GROWTH = 5
"""Characters that one becomes when it is escaped, at most."""
_MOST_PARTS = 200
_MOST_TESTS = 6
"""Each doubles the ways through a template, and a way that was taken is kept."""
_CONSTANTS = (str, int, float, type(None))
_NOT_LOOKED_UP = ("self", "super", "caller", "loop")

Path = tuple[str, ...]
Picker = Callable[[Any], tuple[Any, ...]]
Test = Callable[[Sequence[Any]], bool]


class NotStraight(Exception):
    """The template holds something else."""


class _Branch(NamedTuple):
    test: int
    then: list[Any]
    otherwise: list[Any]


class _Way(NamedTuple):
    """What one outcome of all tests chooses: parts, picked from the values and ``texts``."""

    texts: tuple[Any, ...]
    pick: Picker


class Paths:
    """Looks up several paths at once, each owner once."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.numbers: dict[Path, int] = {}
        owners: dict[Path, list[str]] = {}
        for path in paths:
            owners.setdefault(path[:-1], []).append(path[-1])
        for owner, names in owners.items():
            for name in names:
                self.numbers[*owner, name] = len(self.numbers)
        self._owners = [(owner, picker(names)) for owner, names in owners.items()]

    def values(self, scope: object) -> tuple[Any, ...] | None:
        """The values in the order of ``numbers``; None where an owner is no plain mapping, or has no such key."""
        found: tuple[Any, ...] = ()
        try:
            for names, pick in self._owners:
                owner: Any = scope
                for name in names:
                    if type(owner) is not dict:
                        return None
                    owner = owner[name]
                if type(owner) is not dict:
                    return None
                found += pick(owner)
        except KeyError:
            return None
        return found


class Straight:
    """A template as steps: a text, the number of a path's value, or a choice between other steps.

    ``escaped``: values are escaped for HTML; ``null_is_empty``: null is left to the generated code. Raises NotStraight.
    """

    def __init__(self, tree: nodes.Template, *, escaped: bool = False, null_is_empty: bool = False) -> None:
        self.escaped = escaped
        self._null_is_empty = null_is_empty
        self.paths = Paths(dict.fromkeys(path for node in tree.body for path in _paths(node)))
        self.tests: list[Test] = []
        self.steps = self._read(tree.body)
        every = list(flat(self.steps, None))
        if not self.paths.numbers or len(every) > _MOST_PARTS:
            raise NotStraight
        self._size = sum(len(step) for step in every if isinstance(step, str))
        self._most = _GROWTH * len(every)
        self._ways: dict[tuple[bool, ...], _Way] = {}

    def text(self, scope: Mapping[str, object], limit: int) -> str | None:
        """The field's text, or None."""
        parts = self.parts(scope, limit)
        return None if parts is None else "".join(parts)

    def parts(self, scope: Mapping[str, object], limit: int) -> tuple[str, ...] | None:
        """What joins to the field's text, or None."""
        values = self.paths.values(scope)
        if values is None or (self._null_is_empty and values[0] is None):
            return None
        texts = written(values)
        if texts is None:
            return None
        outcome = tuple(map(call, self.tests, repeat(values))) if self.tests else ()
        together = "".join(texts)
        if len(together) > _MOST_VALUES or self._size + self._most * len(together) > limit:
            return None
        if self.escaped and MARKUP(together) is not None:
            texts = tuple(map(html_out, texts))
        way = self._ways.get(outcome) or self._way(outcome)
        return way.pick(texts + way.texts)

    def pieces(self, scope: Mapping[str, object], limit: int) -> tuple[Fixed | Given, ...] | None:
        """An address field's text and values, kept apart, or None. For a template without tests."""
        values = self.paths.values(scope)
        if values is None or {*map(type, values)} != _TEXTS:
            return None
        if self._size + self._most * sum(map(len, values)) > limit:
            return None
        way = self._ways.get(()) or self._way((), Fixed)
        return way.pick((*map(Given, values), *way.texts))

    def _way(self, outcome: tuple[bool, ...], fixed: Callable[[str], Any] = str) -> _Way:
        texts: list[Any] = []
        numbers: list[int] = []
        for step in flat(self.steps, outcome):
            if isinstance(step, str):
                numbers.append(len(self.paths.numbers) + len(texts))
                texts.append(fixed(step))
            else:
                numbers.append(step)
        way = self._ways[outcome] = _Way(tuple(texts), picker(numbers))
        return way

    def _read(self, body: Iterable[nodes.Node]) -> list[Any]:
        steps: list[Any] = []
        for node in body:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    if not isinstance(child, nodes.TemplateData):
                        steps.append(self.paths.numbers[_path(child)])
                    elif steps and isinstance(steps[-1], str):
                        # with a comment between them: one text, as in the generated code
                        steps[-1] += child.data
                    else:
                        steps.append(child.data)
            else:
                assert isinstance(node, nodes.If)
                steps.append(self._branch(node, node.elif_, node.else_))
        return steps

    def _branch(self, node: nodes.If, others: list[nodes.If], last: list[nodes.Node]) -> _Branch:
        """``others`` are what "elif" adds, ``last`` is the "else" after all of them."""
        number = len(self.tests)
        if number == _MOST_TESTS:
            raise NotStraight
        self.tests.append(self._test(node.test))
        then = self._read(node.body)
        if others:
            return _Branch(number, then, [self._branch(others[0], others[1:], last)])
        return _Branch(number, then, self._read(last))

    def _test(self, node: nodes.Node) -> Test:
        if not isinstance(node, nodes.Compare):
            number = self.paths.numbers[_path(node)]
            return lambda values: bool(values[number])
        other = node.ops[0].expr
        path, constant = (node.expr, other) if isinstance(other, nodes.Const) else (other, node.expr)
        assert isinstance(constant, nodes.Const)
        number, wanted = self.paths.numbers[_path(path)], constant.value
        if node.ops[0].op == "eq":
            return lambda values: values[number] == wanted
        return lambda values: values[number] != wanted


class Alone:
    """A field that is one path: its value keeps its type. Raises NotStraight."""

    def __init__(self, node: nodes.Node) -> None:
        self.paths = Paths([_path(node)])

    def value(self, scope: Mapping[str, object], limit: int) -> str | None:
        """The value, if it is a text, or None."""
        values = self.paths.values(scope)
        if values is None or type(values[0]) is not str or len(values[0]) > limit:
            return None
        return str(values[0])


def flat(steps: list[Any], outcome: tuple[bool, ...] | None) -> Iterable[Any]:
    """The steps that an outcome chooses; all of them for None."""
    for step in steps:
        if not isinstance(step, _Branch):
            yield step
        elif outcome is None:
            yield from flat(step.then, None)
            yield from flat(step.otherwise, None)
        else:
            yield from flat(step.then if outcome[step.test] else step.otherwise, outcome)


def written(values: tuple[Any, ...]) -> tuple[str, ...] | None:
    """The values as a text shows them; None where one is no text, number, boolean or null."""
    types = {*map(type, values)}
    if types == _TEXTS:
        return values
    try:
        return tuple(map(to_text, values)) if types <= _SIMPLE else None
    except Refused:
        return None


def _paths(node: nodes.Node) -> Iterable[Path]:
    """The paths of a statement, in order; raises NotStraight for one that holds anything else."""
    if isinstance(node, nodes.Output):
        for child in node.nodes:
            if not isinstance(child, nodes.TemplateData):
                yield _path(child)
    elif isinstance(node, nodes.If):
        yield _tested(node.test)
        for inner in (*node.body, *node.elif_, *node.else_):
            yield from _paths(inner)
    else:
        raise NotStraight


def _tested(node: nodes.Node) -> Path:
    """The path that a test looks at: alone, or compared with a constant for being equal."""
    if not isinstance(node, nodes.Compare):
        return _path(node)
    if len(node.ops) != 1 or node.ops[0].op not in ("eq", "ne"):
        raise NotStraight
    for path, constant in ((node.expr, node.ops[0].expr), (node.ops[0].expr, node.expr)):
        if isinstance(constant, nodes.Const) and isinstance(constant.value, _CONSTANTS):
            return _path(path)
    raise NotStraight


def _path(node: nodes.Node) -> Path:
    """``a.b["c"]`` as names; raises NotStraight for any other expression."""
    names: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            names.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            if type(node.arg.value) is not str:
                raise NotStraight
            names.append(node.arg.value)
        else:
            raise NotStraight
        node = node.node
    if node.name in _NOT_LOOKED_UP:
        raise NotStraight
    return (node.name, *reversed(names))


def picker(keys: Sequence[Any]) -> Picker:
    """The items of all keys at once, as a tuple for one or none too."""
    if not keys:
        return lambda source: ()
    if len(keys) == 1:
        (key,) = keys
        return lambda source: (source[key],)
    return itemgetter(*keys)
