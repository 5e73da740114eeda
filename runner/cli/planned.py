"""A plan as text for a terminal, as JSON, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from runner.cli.boundary import printable
from runner.plan.result import Against, BadRows, Changed, CredentialPlan, First, NodePlan, Plan
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

EXCERPT = 8
"""Lines of the first message's text that are shown."""
REASONS = 20
_COLOURS = {"-": "red", "+": "green", "@": "cyan"}


def written(plan: Plan, form: str) -> str:
    """The plan in one of the three forms, with a final line break. Text and Markdown hold no secret."""
    if form == "json":
        from runner.cli.present import as_json
        from runner.plan.document import as_document

        return as_json(as_document(plan)) + "\n"
    if form == "markdown":
        from runner.plan.markdown import as_markdown
        from runner.redact import clean

        return clean(as_markdown(plan))
    return "\n".join(_text(plan)).rstrip("\n") + "\n"


def _text(plan: Plan) -> Iterator[str]:
    yield f"{click.style(plan.flow, bold=True)}  {_dim(plan.path)}"
    yield printable(headline(plan))
    told = delivery(plan)
    if told:
        yield click.style(printable(told), fg="yellow")
    yield ""
    yield from _credentials(list(plan.credentials.values()))
    for node in plan.nodes.values():
        yield from _node(node, plan)
    yield from _bad(plan, "cannot be sent", plan.bad)
    yield from _bad(plan, "refused by delivery.allow", plan.refused)
    if plan.repeats:
        yield click.style(f"{plural(plan.repeats, 'row')} with a key that came before", fg="red", bold=True)
        yield from (f"  {other} repeats {one}" for one, other in plan.repeated[:REASONS])
        yield ""
    for note in plan.notes:
        yield f"note: {printable(note)}"
    if plan.notes:
        yield ""
    if plan.against is not None:
        yield from _against(plan.against)


def _credentials(credentials: Sequence[CredentialPlan]) -> Iterator[str]:
    if not credentials:
        return
    rows = [("credential", "messages", "recipients", "time")]
    for one in credentials:
        rows.append((one.name, *row_of(one)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for number, row in enumerate(rows):
        line = f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}"
        yield _dim(line) if number == 0 else line
    for one in credentials:
        if one.wrong:
            yield f"  {click.style('error:', fg='red')} {printable(one.wrong)}"
        elif one.note:
            yield f"  {click.style('note:', fg='yellow')} rates and default sender of {one.name} are not known here"
            yield f"        {printable(why_unknown(one))}"
    yield ""


def _node(node: NodePlan, plan: Plan) -> Iterator[str]:
    for line in unforeseen(node):
        yield f"{click.style('note:', fg='yellow')} {printable(line)}"
        yield ""
    if node.first is None:
        return
    yield f"{click.style(f'first message of {node.node}', bold=True)}  {_dim(_where(node.first, plan))}"
    yield from _face(node.first, plan)
    yield ""


def _where(first: First, plan: Plan) -> str:
    return "" if plan.data is None else str(first.place)


def _face(first: First, plan: Plan) -> Iterator[str]:
    for line in first.face.head:
        name, _, value = line.partition(": ")
        if name != "Credential":
            yield f"  {name + ':':<10} {printable(value)}"
    for attached in first.face.attached:
        yield f"  {'Attached:':<10} {printable(attached)}"
    if plan.delivery.mode == "redirect":
        yield f"  {'Goes to:':<10} {click.style(printable(', '.join(first.goes_to)), fg='yellow')}"
    face = first.face
    source, kind = (face.html, "HTML") if face.text is None else (face.text, "text")
    lines = printable(source or "").strip("\n").splitlines()
    yield ""
    for line in lines[:EXCERPT]:
        yield _dim("  │ ") + (line if len(line) <= 100 else line[:99] + "…")
    more = [f"{plural(len(lines) - EXCERPT, 'more line')} of {kind}"] if len(lines) > EXCERPT else []
    if face.text is not None and face.html is not None:
        more.append(f"{plural(len(face.html.splitlines()), 'line')} of HTML")
    if more:
        yield _dim(f"  │ … {', '.join(more)}")


def _bad(plan: Plan, what: str, rows: BadRows) -> Iterator[str]:
    if not rows.count:
        return
    yield click.style(f"{counted(plan, rows.count)} {what}", fg="red", bold=True)
    reasons = list(rows.by_reason())
    for bad, found in reasons[:REASONS]:
        yield f"  {str(bad.place) if len(found) == 1 else numbers(found)}: {printable(bad.message)} [{bad.code}]"
        if bad.hint:
            yield f"    hint: {printable(bad.hint)}"
    if len(reasons) > REASONS or rows.count > len(rows.first):
        yield "  … and others; --format json lists the first thousand"
    yield ""


def _against(against: Against) -> Iterator[str]:
    yield f"{click.style(f'since {against.revision}', bold=True)}  {_dim(against.commit)}"
    if against.note is not None:
        yield f"  {printable(against.note)}"
        return
    for line in changes(against):
        yield f"  {printable(line)}"
    for changed in against.changes:
        yield ""
        yield from _changed(changed)
    if against.more_messages:
        yield ""
        yield _dim(
            f"  {plural(against.more_kinds, 'other change')} in {plural(against.more_messages, 'message')};"
            " --limit shows more"
        )


def _changed(changed: Changed) -> Iterator[str]:
    to = ", ".join(changed.recipients)
    yield f"  {click.style(changed.node, bold=True)}  {changed.place} to {printable(to)}"
    for part in changed.change.parts:
        yield _dim(f"    {part.name}")
        for line in part.lines:
            mark, rest = line[:1], printable(line[1:])
            yield "    " + (
                click.style(f"{mark} {rest}".rstrip(), fg=_COLOURS[mark])
                if mark in _COLOURS
                else f"  {rest}".rstrip()
            )
    if changed.count > 1:
        yield f"  the same change in {plural(changed.count - 1, 'other message')}"


def _dim(text: str) -> str:
    return click.style(text, dim=True) if text.strip() else text
