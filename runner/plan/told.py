"""The sentences of a plan: the same on a terminal and in a comment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.ledger.estimate import estimate_text
from runner.plan.result import Against, CredentialPlan, NodePlan, Plan

MAX_RANGES = 8


def plural(count: int, word: str) -> str:
    """``1 message``, ``2,000 messages``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def counted(plan: Plan, count: int) -> str:
    """``3 rows``; or what was given by hand."""
    return plural(count, "row") if plan.data is not None else "the body"


def numbers(rows: Sequence[int]) -> str:
    """``rows 3, 7-9, 12 and 40 more``; ``rows`` ascend."""
    ranges: list[list[int]] = []
    for row in rows:
        if ranges and row == ranges[-1][1] + 1:
            ranges[-1][1] = row
        else:
            ranges.append([row, row])
    told = [f"{a:,}" if a == b else f"{a:,}-{b:,}" for a, b in ranges[:MAX_RANGES]]
    left = sum(b - a + 1 for a, b in ranges[MAX_RANGES:])
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(told)}{f' and {left:,} more' if left else ''}"


def headline(plan: Plan) -> str:
    """How many messages, for how many rows of what."""
    messages = plural(plan.messages, "message")
    perhaps = sum(node.perhaps for node in plan.nodes.values())
    if perhaps:
        messages += f", and perhaps {perhaps:,} more"
    if plan.data is None:
        return f"{messages} for one body" if plan.messages or perhaps else "no message for this body"
    text = f"{messages} for {plural(plan.rows, 'row')} of {plan.data}"
    aside = []
    if plan.silent:
        aside.append(f"{plural(plan.silent, 'row')} without a message")
    if plan.bad.count:
        aside.append(f"{plan.bad.count:,} that cannot be sent")
    if plan.refused.count:
        aside.append(f"{plan.refused.count:,} refused")
    return text + (f"; {', '.join(aside)}" if aside else "")


def delivery(plan: Plan) -> str:
    """What the operator's delivery mode does; empty for ``live``."""
    mode = plan.delivery.mode
    if mode == "redirect":
        return f"delivery mode redirect: all of it goes to {plan.delivery.to}, whoever it is for"
    if mode == "allowlist":
        allow = ", ".join(plan.delivery.allow) or "nobody"
        refused = f"; {plural(plan.refused.count, 'message')} refused" if plan.refused.count else ""
        return f"delivery mode allowlist: only {allow} may be mailed{refused}"
    if mode == "capture":
        return "delivery mode capture: nothing leaves this machine"
    return ""


def row_of(credential: CredentialPlan) -> tuple[str, str, str]:
    """Messages, recipients and time of a credential."""
    rates = credential.rates
    recipients = f"{credential.recipients:,}" if credential.recipients or not credential.unforeseen else ""
    if credential.unforeseen:
        recipients = f"{recipients} + ?".removeprefix(" + ")
    time = "not known" if rates is None else estimate_text(credential.messages, rates)
    return f"{credential.messages:,}", recipients, time


def why_unknown(credential: CredentialPlan) -> str:
    """Why rates and default sender are not known, in a few words; empty when they are."""
    return credential.wrong or (credential.note or "").partition("; ")[0]


def unforeseen(node: NodePlan) -> Iterator[str]:
    """What cannot be known of a node before it runs."""
    if node.because is None:
        return
    needs = f'it needs what http node "{node.because.needs}" answers'
    if node.unforeseen:
        yield f'{plural(node.unforeseen, "message")} of node "{node.node}" cannot be shown before the run: {needs}'
    if node.perhaps:
        rows = plural(node.perhaps, "row")
        yield f'for {rows} it cannot be known before the run whether node "{node.node}" sends: {needs}'


def changes(against: Against) -> Iterator[str]:
    """What has come of every message since the revision."""
    counts = (
        (against.changed, "message changes", "messages change"),
        (against.added, "message is new", "messages are new"),
        (against.removed, "message is no longer sent", "messages are no longer sent"),
        (against.unchanged, "message stays as it is", "messages stay as they are"),
    )
    told = [f"{n:,} {one if n == 1 else many}" for n, one, many in counts if n]
    if told:
        yield "; ".join(told)
    if against.first_added is not None:
        yield f"the first that is new: {against.first_added}"
    if against.first_removed is not None:
        place, node = against.first_removed
        yield f"the first that is no longer sent: {place}, of node {node}"
    if against.broken:
        yield f"{plural(against.broken, 'row')} could be sent then and cannot now, first {against.first_broken}"
    if against.mended:
        yield f"{plural(against.mended, 'row')} could not be sent then and can now"
    if not (told or against.broken or against.mended):
        yield "no message to compare"
