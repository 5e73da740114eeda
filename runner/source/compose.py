"""Events to values, in one pass that counts as it goes.

libyaml's event stream is iterative; its composer is not, and ends the process on 30 KB of ``[``. So nothing
here ever composes by libyaml: depth, values and aliases are counted on each event before it becomes a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from runner.diagnostic import Diagnostic, Invalid
from runner.source.document import Document
from runner.source.limits import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES
from runner.source.place import Place
from runner.source.scalars import NumberTooLong, resolve
from runner.source.text import Text

# YAML 1.2, 8.1.1; libyaml takes ">#" for a header with a comment.
_BLOCK_HEADER = re.compile(r"[|>][-+1-9]{0,2}(?:[ \t]+#[^\r\n]*|[ \t]*)(?:[\r\n]|\Z)")
# A comment right behind a plain text that looks like its continuation: no space after the sign, or a template.
_LOST = re.compile(r"([ \t]+)(#(?:[^\s#]|[^\r\n]*(?:<<|\{\{))[^\r\n]*)")
# What may stand before a node's content (YAML 1.2, 6.9): its anchor and its tag.
_PROPERTIES = re.compile(r"(?:[&!]\S*(?:\s+|(?<=\s)#[^\r\n]*[\r\n]+)*)+")
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    _CORE + "str": (str,),
    _CORE + "int": (int,),
    _CORE + "float": (float, int),
    _CORE + "bool": (bool,),
    _CORE + "null": (type(None),),
}


def compose(text: Text, *, allow_empty: bool) -> Document:
    """The one document in ``text``; raises Invalid."""
    import yaml

    # A PyYAML that was built without libyaml has the same parser in Python.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text.content)
    try:
        composer = _Composer(text, loader.get_event)
        value, place = composer.document(allow_empty=allow_empty)
    except yaml.MarkedYAMLError as exc:
        from runner.source.explain import explain

        text.fail(*explain(text, exc))
    except yaml.YAMLError as exc:  # pragma: no cover  (characters were checked before)
        text.fail(0, f"not YAML: {exc}")
    finally:
        loader.dispose()
    if composer.findings:
        raise Invalid(composer.findings)
    return Document(text, value, place, tuple(composer.warnings))


class _Composer:
    def __init__(self, text: Text, next_event: Callable[[], Any]) -> None:
        from yaml import events

        self.text = text
        self.next = next_event
        self.kinds: Any = events
        self.findings: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self.anchors: dict[str, tuple[Any, Place]] = {}
        self.open_anchors: set[str] = set()
        self.values = 0
        self.characters = 0

    def document(self, *, allow_empty: bool) -> tuple[Any, Place]:
        self.next()
        event = self.next()
        if isinstance(event, self.kinds.StreamEndEvent):
            if allow_empty:
                return {}, Place(0, 0, "{", {}, {})
            what = "holds nothing but comments" if self.text.content.strip() else "is empty"
            self.text.fail(0, f"the file {what}", "a flow begins with a line such as: name: welcome")
        value, place = self.node(self.next(), depth=0, indent=-1)
        self.next()
        event = self.next()
        if not isinstance(event, self.kinds.StreamEndEvent):
            self.text.fail(
                event.start_mark.index,
                "a second document begins here",
                'one file holds one document: delete the "---"',
            )
        return value, place

    def node(self, event: Any, depth: int, indent: int) -> tuple[Any, Place]:
        kind = type(event)
        start = event.start_mark.index
        if kind is self.kinds.AliasEvent:
            return self.alias(event.anchor, start, depth)
        self.count(1, start)
        anchor = event.anchor
        if anchor is not None:
            if anchor in self.anchors or anchor in self.open_anchors:
                self.text.fail(
                    start, f'the anchor "&{anchor}" is there twice', "give the second one another name"
                )
            self.open_anchors.add(anchor)
        if kind is self.kinds.ScalarEvent:
            value, place = self.scalar(event, start, indent)
        else:
            if depth >= MAX_DEPTH:
                self.text.fail(start, f"more than {MAX_DEPTH} levels of nesting")
            self.refuse_tag(event, start, "map" if kind is self.kinds.MappingStartEvent else "seq")
            if not event.flow_style:
                indent = event.start_mark.column
            collect = self.mapping if kind is self.kinds.MappingStartEvent else self.sequence
            value, place = collect(event, depth + 1, indent)
            if event.flow_style and "\t" in self.text.content:
                self.check_continuation(start, place.end, indent, tabs_only=True)
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = (value, place)
        return value, place

    def count(self, values: int, index: int, characters: int = 0) -> None:
        self.values += values
        self.characters += characters
        if self.values > MAX_VALUES or self.characters > MAX_CHARACTERS:
            self.text.fail(
                index, f"more than {MAX_VALUES:,} values, aliases counted as often as they are used"
            )

    def alias(self, name: str, index: int, depth: int) -> tuple[Any, Place]:
        if name in self.open_anchors:
            self.text.fail(index, f'"*{name}" stands inside "&{name}" itself, so that it would never end')
        if name not in self.anchors:
            self.text.fail(
                index,
                f'"*{name}" is an alias, and no "&{name}" stands before it',
                'text that begins with "*" needs quotes',
            )
        value, place = self.anchors[name]
        self.count(place.values, index, place.characters)
        if depth + place.height > MAX_DEPTH:
            self.text.fail(index, f"more than {MAX_DEPTH} levels of nesting")
        return value, place

    def scalar(self, event: Any, start: int, indent: int) -> tuple[Any, Place]:
        text: str = event.value
        end: int = event.end_mark.index
        style: str = event.style or ""
        tag = event.tag
        if tag is not None and tag not in _SCALAR_TAGS:
            self.refuse_tag(event, start, "")
        if event.anchor is not None or tag is not None:
            properties = _PROPERTIES.match(self.text.content, start, end)
            start = properties.end() if properties else start
        self.count(0, start, len(text))
        place = Place(start, end, style, None, None, 1, len(text))
        if style in ("'", '"') and event.start_mark.line != event.end_mark.line:
            self.check_continuation(start, end, indent)
        elif not style and text and (lost := _LOST.match(self.text.content, end)):
            self.warn_of_comment(lost)
        elif style in ("|", ">") and not _BLOCK_HEADER.match(self.text.content, start):
            self.text.fail(start, f'after "{style}" the text begins on the next line')
        if tag is None and not event.implicit[0]:
            return text, place
        if tag == _CORE + "str":
            return text, place
        try:
            value = resolve(text)
        except NumberTooLong:
            self.text.fail(
                start, f'"{text[:20]}…" is too large for a number', "put it in quotes if it is text"
            )
        if tag is not None and type(value) not in _SCALAR_TAGS[tag]:
            self.text.fail(start, f'"{text[:40]}" is not what the tag "!!{tag.removeprefix(_CORE)}" says')
        return value, place

    def warn_of_comment(self, lost: re.Match[str]) -> None:
        """``subject: Order #5 is here`` means the subject "Order", and nobody means that."""
        index = lost.end(1)
        message = f'"{lost[2][:40]}" is a comment, and not part of the value'
        place = self.text.position(index)
        hint = 'put the whole value in quotes, or a space after the "#"'
        self.warnings.append(
            Diagnostic(self.text.path, place.line, place.column, message, "yaml", "warning", hint)
        )

    def refuse_cut(self, place: Place) -> None:
        """``{x: <<a | default("b, c")>>}``: the comma ends the text, and what follows would be a key."""
        if place.style or place.children is not None:
            return
        text = self.text.content
        begin = text.rfind("<<", place.start, place.end)
        if begin < 0 or text.find(">>", begin, place.end) >= 0:
            return
        line_end = text.find("\n", place.end)
        if text.find(">>", place.end, len(text) if line_end < 0 else line_end) >= 0:
            from runner.source.explain import IN_BRACKETS, QUOTE_WHOLE

            self.text.fail(begin, IN_BRACKETS, QUOTE_WHOLE)

    def check_continuation(self, start: int, end: int, indent: int, *, tabs_only: bool = False) -> None:
        """YAML 1.2, 6.3: what goes on over lines goes on deeper than its key; libyaml doesn't look.

        For lists and mappings in brackets only tabs are refused: everyone closes the bracket under the key.
        """
        lines = self.text.starts
        number = self.text.position(start).line
        while number < len(lines) and lines[number] < end:
            line = self.text.line_at(lines[number])
            spaces = len(line) - len(line.lstrip(" "))
            if line.strip() and spaces <= indent:
                if line[spaces] == "\t":
                    self.text.fail(
                        lines[number] + spaces, "a tab is used for indentation", "indent with spaces"
                    )
                if not tabs_only:
                    message = "this line of a quoted text is not indented deeper than its key"
                    self.text.fail(lines[number] + spaces, message, "indent it with spaces")
            number += 1

    def refuse_tag(self, event: Any, index: int, allowed: str) -> None:
        tag = event.tag
        if tag is None or (allowed and tag == _CORE + allowed):
            return
        name = f"!!{tag.removeprefix(_CORE)}" if tag.startswith(_CORE) else tag
        name = name if name.startswith("!") else f"!<{name}>"
        hint = "delete the tag" if name.startswith("!!") else 'text that begins with "!" needs quotes'
        self.text.fail(index, f'the tag "{name[:60]}" is not allowed', hint)

    def sequence(self, event: Any, depth: int, indent: int) -> tuple[Any, Place]:
        items: list[Any] = []
        place = Place(event.start_mark.index, event.end_mark.index, "[" if event.flow_style else "", {}, None)
        while type(following := self.next()) is not self.kinds.SequenceEndEvent:
            value, child = self.node(following, depth, indent)
            if event.flow_style:
                self.refuse_cut(child)
            place.add(len(items), child)
            items.append(value)
        place.end = following.end_mark.index
        return items, place

    def mapping(self, event: Any, depth: int, indent: int) -> tuple[Any, Place]:
        explicit: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        keys: dict[str, int] = {}
        place = Place(event.start_mark.index, event.end_mark.index, "{" if event.flow_style else "", {}, keys)
        inherited: list[tuple[str, Place, int]] = []
        while type(following := self.next()) is not self.kinds.MappingEndEvent:
            index = following.start_mark.index
            key, is_merge = self.key(following)
            if key in keys:
                self.duplicate(key, index, keys[key], is_merge=is_merge)
            keys.setdefault(key, index)
            if is_merge:
                value, child = self.node(self.next(), depth, indent)
                place.count(child)
                inherited.extend(self.merge(merged, value, child))
                continue
            value, child = self.node(self.next(), depth, indent)
            if event.flow_style:
                self.refuse_cut(child)
            explicit.setdefault(key, value)
            place.add(key, child)
        place.end = following.end_mark.index
        if "<<" not in explicit:
            keys.pop("<<", None)
        for name, child, index in inherited:
            if name not in explicit:
                place.children_map[name] = child
                keys[name] = index
        return {**merged, **explicit}, place

    def key(self, event: Any) -> tuple[str, bool]:
        """A key's text, as it is written (``404`` is text too), and whether it is the merge key."""
        index = event.start_mark.index
        if type(event) is self.kinds.AliasEvent:
            value, place = self.alias(event.anchor, index, 0)
            if place.children is None:
                self.count(1, index)
                written = self.text.content[place.start : place.end]
                return (value if isinstance(value, str) else written), False
        elif type(event) is self.kinds.ScalarEvent:
            if event.tag is not None and event.tag != _CORE + "str":
                self.refuse_tag(event, index, "")
            if event.anchor is not None:
                self.anchors[event.anchor] = (
                    event.value,
                    Place(index, event.end_mark.index, event.style or "", None, None, 1, len(event.value)),
                )
            self.count(1, index, len(event.value))
            plain = event.implicit[0]
            if not event.value and plain:
                self.text.fail(index, 'a key is missing before ":"')
            return event.value, plain and event.value == "<<"
        if self.text.content.startswith(("{{", "{%", "{#"), index - 1):
            self.text.fail(
                index - 1, "a value that begins with a template needs quotes", 'write it as "{{ … }}"'
            )
        message = "a key must be text, not a list or a mapping"
        return self.text.fail(index, message, "a value that begins with { or [ needs quotes")

    def duplicate(self, key: str, index: int, first: int, *, is_merge: bool) -> None:
        line = self.text.position(first).line
        hint = "write <<: [*one, *other]" if is_merge else "delete one of them"
        self.findings.append(
            self.text.finding(
                index, f'the key "{key}" is there twice; the first is on line {line}', hint, "duplicate"
            )
        )

    def merge(self, merged: dict[str, Any], value: Any, place: Place) -> list[tuple[str, Place, int]]:
        """Add what ``<<: value`` brings to ``merged``: of two, the earlier wins."""
        sources = (
            [(item, place.children_map[number]) for number, item in enumerate(value)]
            if isinstance(value, list)
            else [(value, place)]
        )
        found = []
        for mapping, child in sources:
            if not isinstance(mapping, dict):
                self.text.fail(
                    child.start,
                    'the merge key "<<" takes a mapping or a list of mappings, such as *defaults',
                    'a key that is a template needs quotes: "<<name>>"',
                )
            for name in mapping:
                if name not in merged:
                    merged[name] = mapping[name]
                    found.append((name, child.children_map[name], (child.keys or {}).get(name, child.start)))
        return found
