"""``Templates`` compiles, ``Template`` renders: the two things other rooms see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.diagnostic import Diagnostic, Invalid, Position
from runner.errors import TemplateError
from runner.model import BodyAsHtml
from runner.template.kinds import LIMITS, Kind, Where, place
from runner.template.library import Library, Unreadable
from runner.template.scan import MAX_TOKENS, Delimiters, Mistake

if TYPE_CHECKING:
    from jinja2 import nodes

    from runner.template.engine import Unit

_MAX_FILES = 64


class Template:
    """A compiled text. ``files`` are the template files it was read from, ``where`` is its place."""

    def __init__(
        self, unit: Unit, files: tuple[Path, ...], limit: int, after: Callable[[str], str] | None = None
    ) -> None:
        self.source = unit.source
        self.kind = unit.kind
        self.where = unit.where
        self.files = files
        self.limit = limit
        self.unit = unit
        self._after = after
        self._root: Any = None
        self._start: Any = None
        self._finish: Any = None
        self._short: Any = None
        self._short_parts: Any = None

    def __repr__(self) -> str:
        return f"Template({self.kind}, {self.where.field}, {self.where.path})"

    def render(self, scope: Mapping[str, object]) -> Any:
        """The field's value with the names of ``scope``: what ``Kind`` says for its kind.

        Raises TemplateError with field, file, line and column: for an unknown name, for what the sandbox
        refuses, for more than ``limit`` characters, a second of work or 100 MB of memory.
        """
        if self._root is None:
            self._prepare(scope)
        if self._short is not None and (found := self._short(scope, self.limit)) is not None:
            return found
        try:
            return self._finish(self._root(self._start(scope)), self.limit)
        except TemplateError:
            raise
        except Exception as error:
            raise self._explained(error, scope) from error

    def parts(self, scope: Mapping[str, object]) -> Sequence[str]:
        """What ``render`` joins to a text; only for a template that has ``texts``. Raises as ``render`` does."""
        if self._root is None:
            self._prepare(scope)
        if self._short_parts is not None:
            found: Sequence[str] | None = self._short_parts(scope, self.limit)
            if found is not None:
                return found
        from runner.template.output import gather

        try:
            return gather(self._root(self._start(scope)), self.limit)
        except Exception as error:
            raise self._explained(error, scope) from error

    def texts(self) -> frozenset[str] | None:
        """The author's texts among ``parts``, the same objects in every render; None for a template whose value
        is made of its parts in another way than by joining them.
        """
        from runner.errors import TemplateError
        from runner.template.budget import Refused
        from runner.template.finish import is_joined, texts

        try:
            return texts(self.unit) if is_joined(self.unit, self._after) else None
        except (Refused, TemplateError):
            # too complex for code: ``render`` says so
            return None

    def settled(self, text: str, scope: Mapping[str, object]) -> str:
        """The field's value, where ``text`` is what ``parts`` came to."""
        return text

    @property
    def joined(self) -> nodes.Template | None:
        """The parsed text, where the field's value is its parts joined, or one path alone; None elsewhere."""
        from runner.template.finish import is_joined_or_taken

        return self.unit.tree if is_joined_or_taken(self.unit, self._after) else None

    @property
    def compiles(self) -> bool:
        """Whether what it renders is MJML, and becomes HTML afterwards."""
        return self._after is not None

    def _prepare(self, scope: Mapping[str, object]) -> None:
        from runner.template.finish import finisher, shortcut, starter

        try:
            root = self.unit.root_render_func
        except Exception as error:
            raise self._explained(error, scope) from error
        self._finish = finisher(self.unit, self._after)
        self._short, self._short_parts = shortcut(self.unit, self._finish)
        self._start = starter(self.unit)
        self._root = root

    def _explained(self, error: Exception, scope: Mapping[str, object]) -> TemplateError:
        from runner.template.engine import explain

        return explain(error, self.unit, scope)


class OrElse(Template):
    """``html_body`` with the ``body`` that is the HTML where the template itself comes to nothing but white space."""

    def __init__(self, own: Template, body: Template | str) -> None:
        super().__init__(own.unit, own.files, own.limit, own._after)
        self._body = body

    def render(self, scope: Mapping[str, object]) -> Any:
        """As ``Template.render``, or ``BodyAsHtml``."""
        return self.settled(super().render(scope), scope)

    def settled(self, text: str, scope: Mapping[str, object]) -> str:
        """See ``Template``."""
        if text and not text.isspace():
            return text
        body = self._body
        return BodyAsHtml(body if isinstance(body, str) else body.render(scope))


class Templates:
    """Compiles the templates of one workspace.

    ``root`` is the templates folder (None: no files), ``label`` how messages call it (default: its name); what lies
    in ``kept`` is no template.
    """

    def __init__(
        self,
        root: Path | None,
        delimiters: Delimiters = "angle",
        *,
        label: str | None = None,
        kept: Sequence[Path] = (),
    ) -> None:
        self.delimiters = delimiters
        self.library = Library(root, label, kept)

    def compile(self, text: str, kind: Kind, where: Where, limit: int | None = None) -> Template:
        """A template from a field's text.

        ``limit`` is in characters. Raises Invalid with code ``template`` and the exact place.
        """
        found = _Reader(self.library, self.delimiters, kind, where)
        unit = found.unit(text, where, ())
        return Template(unit, tuple(found.paths), LIMITS[kind] if limit is None else limit)

    def compile_file(self, name: str, kind: Kind, where: Where, limit: int | None = None) -> Template:
        """A template from a file of the folder; ``.mjml`` becomes HTML.

        ``where`` is the field that names the file. Raises Invalid with code ``template``, placed in the file.
        """
        found = _Reader(self.library, self.delimiters, kind, where)
        try:
            unit = found.file(name, ())
        except Unreadable as error:
            position = where.locate(1, 1)
            raise Invalid([_finding(where.path, position, error.message, error.hint)]) from error
        after = None
        if name.lower().endswith(".mjml"):
            from runner.template.markup import compile_mjml

            after = compile_mjml
        return Template(unit, tuple(found.paths), LIMITS[kind] if limit is None else limit, after)


class _Reader:
    """Reads one template and the files that it names; each file once."""

    def __init__(self, library: Library, delimiters: Delimiters, kind: Kind, where: Where) -> None:
        self.library = library
        self.delimiters = delimiters
        self.kind = kind
        self.where = where
        self.paths: list[Path] = []
        self.units: dict[str, Unit] = {}
        self.tokens = 0

    def unit(self, text: str, where: Where, chain: tuple[str, ...]) -> Unit:
        from runner.template.engine import Unit
        from runner.template.finish import is_native
        from runner.template.grammar import parse

        try:
            tree, tokens = parse(text, self.kind, self.delimiters)
            self.tokens += tokens
            if self.tokens > 2 * MAX_TOKENS:
                raise Mistake("the template and the files it names hold too many words and operators", 0)
            files = self._files(tree, chain)
        except Mistake as mistake:
            position = where.locate(*place(text, mistake.offset))
            raise Invalid([_finding(where.path, position, mistake.message, mistake.hint)]) from mistake
        native = not chain and is_native(self.kind, tree)
        return Unit(text, self.kind, where, tree, files, native, field=len(chain) < 2)

    def file(self, name: str, chain: tuple[str, ...]) -> Unit:
        text, path = self.library.read(name)
        if path not in self.paths:
            self.paths.append(path)
        if len(self.paths) > _MAX_FILES:
            raise Unreadable(f"more than {_MAX_FILES} template files are used")
        where = Where(self.library.shown(name), self.where.field, Position)
        return self.unit(text, where, (*chain, self.library.plain(name)))

    def _files(self, tree: nodes.Template, chain: tuple[str, ...]) -> dict[str, Unit | None]:
        from runner.template.grammar import NAMING, file_names

        found: dict[str, Unit | None] = {}
        for statement in tree.find_all(NAMING):
            names = file_names(statement)
            optional = getattr(statement, "ignore_missing", False)
            for number, name in enumerate(names):
                plain = self.library.plain(name)
                if plain in chain:
                    raise Mistake(f'"{name}" includes itself', statement.lineno - 1)
                try:
                    if plain not in self.units:
                        self.units[plain] = self.file(name, chain or ("",))
                    found[name] = self.units[plain]
                except Unreadable as error:
                    if not error.absent or not (optional or any(found.get(one) for one in names[:number])):
                        if error.absent and number + 1 < len(names):
                            found[name] = None
                            continue
                        raise Mistake(error.message, statement.lineno - 1, error.hint) from error
                    found[name] = None
        return found


def _finding(path: str, position: Position, message: str, hint: str) -> Diagnostic:
    return Diagnostic(path, position.line, position.column, message, "template", hint=hint)
