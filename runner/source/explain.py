"""libyaml's complaint in words for a person: the classic mistakes, each with how to mend it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.source.limits import MAX_DEPTH

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

    from runner.source.text import Text

IN_BRACKETS = "a template inside { } or [ ] needs quotes"
QUOTE_WHOLE = 'write "<< … >>" with the quotes round the whole value'
_TEMPLATE = re.compile(r"<<|<%|\{\{|\{%|\{#")
_GLUED = re.compile(r"(?:- )?[A-Za-z_][\w-]*:[^\s:/]")
_COLON = re.compile(r":\s")


_TOO_DEEP = "maximum nesting depth"
"""What newer versions of libyaml say of a thousand levels, which older ones end the process at."""


def explain(text: Text, error: MarkedYAMLError) -> tuple[int, str, str]:
    """Index, message and hint for ``error``."""
    problem = error.problem or "not YAML"
    context = error.context or ""
    end = len(text.content)
    at = min(error.problem_mark.index, end) if error.problem_mark else 0
    began = min(error.context_mark.index, end) if error.context_mark else at
    if _TOO_DEEP in problem:
        return at, f"more than {MAX_DEPTH} levels of nesting", ""
    tab = _tab_in_indentation(text, at)
    if tab is not None and not context.startswith("while scanning a quoted"):
        return tab, "a tab is used for indentation", "YAML takes spaces only: replace the tab"
    for rule in (_quotes, _brackets, _colon, _indicator, _missing_colon, _block_scalar, _layout):
        if found := rule(text, problem, context, at, began):
            return found
    return at, f"not YAML: {context + ': ' if context else ''}{problem}", ""


def _tab_in_indentation(text: Text, at: int) -> int | None:
    line = text.line_at(at)
    lead = line[: len(line) - len(line.lstrip())]
    return at - len(text.before(at)) + lead.index("\t") if "\t" in lead else None


def _quotes(text: Text, problem: str, context: str, at: int, began: int) -> tuple[int, str, str] | None:
    if "quoted scalar" not in context:
        return None
    if "unknown escape" in problem or "escape" in problem:
        # libyaml's mark is where the scan stood, which may be the backslash or a sign after it.
        slash = text.content.rfind("\\", began, at + 1)
        start = at if slash < 0 else slash
        return (
            start,
            f'"{text.content[start : start + 2]}" is not an escape that double quotes know',
            "write \\\\ for a backslash, or put the text in single quotes",
        )
    if "end of stream" in problem or "document indicator" in problem:
        return (
            began,
            f"the {text.content[began]} that opens here is never closed",
            "close it, or double a quote inside the text",
        )
    return None


def _brackets(text: Text, problem: str, context: str, at: int, began: int) -> tuple[int, str, str] | None:
    if "flow mapping" not in context and "flow sequence" not in context and "flow node" not in context:
        return None
    opener = text.content[began : began + 1]
    if (
        opener not in ("{", "[")
        and at >= len(text.content.rstrip())
        and (open_ := _left_open(text)) is not None
    ):
        began, opener = open_, text.content[open_]
    if _TEMPLATE.search(text.content, began, max(at, began) + 1) and opener in ("{", "["):
        template = _TEMPLATE.search(text.content, began + (1 if opener == "{" else 0), at + 1)
        place = template.start() if template else began
        return place, IN_BRACKETS, QUOTE_WHOLE
    if at >= len(text.content.rstrip()) and opener in ("{", "["):
        return began, f'the "{opener}" that opens here is never closed', ""
    if opener in ("{", "["):
        line = text.position(began).line
        found = text.content[at : at + 1]
        what = f'"{found}"' if found.strip() else "the end of the line"
        closer = "}" if opener == "{" else "]"
        return (
            at,
            f'{what} where "," or "{closer}" belongs; the "{opener}" is on line {line}',
            "text with signs in it needs quotes",
        )
    return (
        at,
        f'"{text.content[at : at + 1]}" where a value belongs',
        "text that begins with a sign needs quotes",
    )


def _left_open(text: Text) -> int | None:
    """The innermost bracket that the end of the text leaves open."""
    import yaml

    opened: list[int] = []
    try:
        for token in yaml.scan(text.content, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
                opened.append(token.start_mark.index)
            elif opened and isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken):
                opened.pop()
    except yaml.YAMLError:
        pass
    return opened[-1] if opened else None


def _colon(text: Text, problem: str, context: str, at: int, began: int) -> tuple[int, str, str] | None:
    if "mapping values are not allowed" not in problem:
        return None
    before = text.before(at)
    if (glued := _glued(text, at)) is not None:
        return glued, f'a space is missing after ":" in "{text.line_at(glued).strip()[:40]}"', ""
    if _COLON.search(before.replace("- ", "", 1).lstrip()):
        return at, 'an unquoted text cannot hold ": "', "put the whole value in quotes"
    if before.lstrip().startswith(("'", '"')):
        return (
            at,
            'a ":" where none belongs',
            "is the line above closed, and is this line indented like its neighbours?",
        )
    return (
        at - len(before.lstrip()),
        "this line is indented deeper than its neighbours, so that it goes on the value above it",
        "indent it like the key above, or put the value above in quotes",
    )


def _glued(text: Text, at: int) -> int | None:
    """The line above, when it is a key that lacks the space after its colon, and so is a text that goes on."""
    start = at - len(text.before(at))
    if start == 0:
        return None
    line = text.line_at(start - 1)
    lead = len(line) - len(line.lstrip())
    return start - 1 - len(text.before(start - 1)) + lead if _GLUED.match(line, lead) else None


def _indicator(text: Text, problem: str, context: str, at: int, began: int) -> tuple[int, str, str] | None:
    sign = text.content[at : at + 1]
    if "cannot start any token" in problem:
        before = text.before(at)
        opened = _TEMPLATE.search(before)
        if opened and ("{" in before[: opened.start()] or "[" in before[: opened.start()]):
            return at - len(before) + opened.start(), IN_BRACKETS, QUOTE_WHOLE
        return at, f'a value cannot begin with "{sign}"', "put it in quotes"
    if "block sequence entries are not allowed" in problem:
        return (
            at,
            'a list item ("- ") cannot begin here',
            "begin the list on the next line, or put text in quotes",
        )
    if "mapping keys are not allowed" in problem:
        return at, 'a value cannot begin with "? "', "put it in quotes"
    for name, sign in (("an alias", "*"), ("an anchor", "&"), ("a tag", "!")):
        if f"scanning {name}" in context:
            return began, f'"{sign}" begins {name} here', f'text that begins with "{sign}" needs quotes'
    if "directive" in context:
        return began, 'a line that begins with "%" is a directive', "text that begins with % needs quotes"
    return None


def _missing_colon(
    text: Text, problem: str, context: str, at: int, began: int
) -> tuple[int, str, str] | None:
    if "could not find expected ':'" not in problem:
        return None
    line = text.line_at(began).strip()
    if re.match(r"[\w-]+:\S", line):
        return began, f'a space is missing after ":" in "{line[:40]}"', ""
    return (
        began,
        f'"{line[:40]}" is neither "key: value" nor the continuation of a text',
        'is a ":" missing, or a quote?',
    )


def _block_scalar(text: Text, problem: str, context: str, at: int, began: int) -> tuple[int, str, str] | None:
    if "block scalar" not in context:
        return None
    sign = text.content[began : began + 1]
    return (
        at,
        f'after "{sign}" the text begins on the next line',
        f'text that begins with "{sign}" needs quotes',
    )


def _layout(text: Text, problem: str, context: str, at: int, began: int) -> tuple[int, str, str] | None:
    before = text.before(at).rstrip()
    if "hexdecimal" in problem:
        return (
            at,
            "an escape in double quotes needs hexadecimal digits here",
            "write \\\\ for a backslash, or use single quotes",
        )
    if "expected <document start>" in problem:
        return (
            at,
            "this line does not go on with what stands above",
            "indent it like the lines above, or delete it",
        )
    if before.endswith(('"', "'")) and (
        "block mapping" in context or "block collection" in context or "document" in problem
    ):
        return (
            at,
            "there is text after the closing quote",
            "put quotes round the whole value, and double those inside",
        )
    if "block mapping" in context and text.content[at : at + 1] == ":":
        return at, 'a key is missing before ":"', ""
    if "block mapping" in context:
        place = text.position(began)
        hint = "keys of one mapping stand in one column"
        if text.content[at : at + 1] == "-":
            hint = 'a list is not a mapping: is this "-" indented like its neighbours?'
        return (
            at,
            f"this line fits no mapping; the one of line {place.line} begins in column {place.column}",
            hint,
        )
    if "block collection" in context:
        place = text.position(began)
        return (
            at,
            f'a list item ("- ") belongs here; the list of line {place.line} begins in column {place.column}',
            "",
        )
    return None
