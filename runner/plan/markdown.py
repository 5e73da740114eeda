"""A plan as Markdown for the comment on a pull request: folded, bounded, and safe whatever the values hold."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from runner.plan.result import BadRows, Changed, NodePlan, Plan
from runner.plan.told import (
    changes,
    counted,
    delivery,
    headline,
    numbers,
    plural,
    row_of,
    unforeseen,
    why_unknown,
)

MAX_CHARACTERS = 60_000
"""What a comment holds, with some room."""
MAX_DIFF = 12_000
REASONS = 20
_LEFT_OUT = "\n\n_The rest does not fit into a comment; `flowpost plan` shows it._\n"


def as_markdown(plan: Plan) -> str:
    """The plan as Markdown of at most MAX_CHARACTERS. Values stand in code, so that they mention and link nobody."""
    text = ""
    for block in _blocks(plan):
        if len(text) + len(block) + len(_LEFT_OUT) > MAX_CHARACTERS:
            return text.rstrip("\n") + _LEFT_OUT
        text += block + "\n\n"
    return text.rstrip("\n") + "\n"


def _blocks(plan: Plan) -> Iterator[str]:
    """Pieces that may be left out from the end; none opens what another closes."""
    mark = "" if plan.ok else ":x: "
    yield f"### {mark}Plan of {code(plan.flow)}"
    yield _escaped(headline(plan))
    told = delivery(plan)
    if told:
        yield f"> {_escaped(told)}"
    if plan.credentials:
        yield _table(plan)
    for credential in plan.credentials.values():
        why = why_unknown(credential)
        if why:
            yield f"> rates and default sender of {code(credential.name)} are not known: {_escaped(why)}"
    for node in plan.nodes.values():
        yield from (f"> {_escaped(line)}" for line in unforeseen(node))
    yield from _bad(plan, "cannot be sent", plan.bad)
    yield from _bad(plan, "refused by delivery.allow", plan.refused)
    if plan.repeats:
        pairs = "\n".join(f"- {other} repeats {one}" for one, other in plan.repeated[:REASONS])
        yield f"**{plural(plan.repeats, 'row')} with a key that came before**\n\n{pairs}"
    for note in plan.notes:
        yield f"> {_escaped(note)}"
    yield from _against(plan)
    for node in plan.nodes.values():
        yield from _first(node)


def _table(plan: Plan) -> str:
    lines = ["| credential | messages | recipients | time |", "|---|--:|--:|---|"]
    for one in plan.credentials.values():
        lines.append(f"| {code(one.name)} | {' | '.join(row_of(one))} |")
    return "\n".join(lines)


def _bad(plan: Plan, what: str, rows: BadRows) -> Iterator[str]:
    if not rows.count:
        return
    reasons = list(rows.by_reason())
    lines = [f"**{counted(plan, rows.count)} {what}**", ""]
    for bad, found in reasons[:REASONS]:
        place = str(bad.place) if len(found) == 1 else numbers(found)
        lines.append(f"- {place}: {_escaped(_short(bad.message, 400))}")
    if len(reasons) > REASONS or rows.count > len(rows.first):
        lines.append("- … and others")
    yield "\n".join(lines)


def _against(plan: Plan) -> Iterator[str]:
    against = plan.against
    if against is None:
        return
    yield f"#### Since {code(against.revision)} ({code(against.commit)})"
    if against.note is not None:
        yield _escaped(against.note)
        return
    yield "\n".join(f"- {_escaped(line)}" for line in changes(against))
    for number, changed in enumerate(against.changes):
        yield _changed(changed, opened=number == 0)
    if against.more_messages:
        yield (
            f"_{plural(against.more_kinds, 'other change')} in {plural(against.more_messages, 'message')};"
            " `--limit` shows more._"
        )


def _changed(changed: Changed, *, opened: bool) -> str:
    to = _short(", ".join(changed.recipients), 200)
    same = f", the same in {plural(changed.count - 1, 'other message')}" if changed.count > 1 else ""
    title = f"<code>{html.escape(changed.node)}</code>: {changed.place} to <code>{_in_html(to)}</code>{same}"
    lines: list[str] = []
    for part in changed.change.parts:
        lines += [
            f"@@ {part.name} @@",
            *(f"{line[:1]}{' ' if line[:1] == '@' else ''}{line[1:]}" for line in part.lines),
        ]
    return _folded(title, _fenced(lines, "diff"), opened=opened)


def _first(node: NodePlan) -> Iterator[str]:
    first = node.first
    if first is None:
        return
    text = first.face.text if first.face.text is not None else first.face.html
    attached = [f"Attached: {line}" for line in first.face.attached]
    lines = [*first.face.head, *attached, "", *(text or "").splitlines()]
    title = f"The first message of <code>{html.escape(node.node)}</code>, {first.place}"
    yield _folded(title, _fenced(lines, "text"), opened=False)


def _folded(title: str, inside: str, *, opened: bool) -> str:
    # The empty lines are what makes GitHub and GitLab read Markdown inside of HTML.
    return f"<details{' open' if opened else ''}><summary>{title}</summary>\n\n{inside}\n\n</details>"


def _fenced(lines: Sequence[str], language: str) -> str:
    """A code block that no line of it can end."""
    kept: list[str] = []
    room = MAX_DIFF
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            kept.append("…")
            break
        kept.append(_one_line(line))
    body = "\n".join(kept)
    fence = "`" * max(3, _longest(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def code(text: str) -> str:
    """A code span that its text cannot leave (CommonMark 6.1), in a table cell too."""
    text = _one_line(text).replace("|", "\\|")
    fence = "`" * (_longest(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _escaped(text: str) -> str:
    """Plain words: no character of it is Markdown, HTML, a mention, a reference or a link."""
    text = re.sub(r"([\\`*_\[\]#!|~$]|^[-+=])", r"\\\1", html.escape(_one_line(text), quote=False))
    # An entity or a backslash would not do: mentions are looked for in what was rendered.
    return re.sub(r"(@|#|:(?=//)|www(?=\.))", r"\1<!-- -->", text)


def _in_html(text: str) -> str:
    return html.escape(_one_line(text))


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " if char in "\r\n\t" else "\ufffd" for char in text)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
