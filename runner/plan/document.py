"""A plan for machines: ``flowpost plan --format json``."""

from __future__ import annotations

from collections.abc import Mapping

from runner.ledger.estimate import estimate_text, rate_text
from runner.plan.result import Against, BadRow, BadRows, Changed, CredentialPlan, NodePlan, Place, Plan


def as_document(plan: Plan) -> dict[str, object]:
    """The plan as plain values, ready for JSON."""
    return {
        "ok": plan.ok,
        "flow": plan.flow,
        "path": plan.path,
        "data": plan.data,
        "rows": {"total": plan.rows, "silent": plan.silent, "bad": plan.bad.count, "repeated": plan.repeats},
        "messages": plan.messages,
        "recipients": plan.recipients,
        "delivery": {
            "mode": plan.delivery.mode,
            "to": plan.delivery.to,
            "allow": list(plan.delivery.allow),
            "refused": plan.refused.count,
        },
        "credentials": [_credential(credential) for credential in plan.credentials.values()],
        "nodes": [_node(node) for node in plan.nodes.values()],
        "bad": _bad(plan.bad),
        "refused": _bad(plan.refused),
        "repeated": [[_place(one), _place(other)] for one, other in plan.repeated],
        "notes": plan.notes,
        "against": None if plan.against is None else _against(plan.against),
    }


def _place(place: Place) -> dict[str, object]:
    return {"row": place.row, "line": place.line}


def _credential(credential: CredentialPlan) -> dict[str, object]:
    rates = credential.rates
    return {
        "name": credential.name,
        "messages": credential.messages,
        "recipients": credential.recipients,
        "unforeseen": credential.unforeseen,
        "rates": None if rates is None else [rate_text(rate) for rate in rates],
        "seconds": credential.seconds,
        "time": None if rates is None else estimate_text(credential.messages, rates),
        "note": credential.wrong or credential.note,
    }


def _node(node: NodePlan) -> dict[str, object]:
    first = node.first
    return {
        "node": node.node,
        "credential": node.credential,
        "messages": node.messages + node.unforeseen,
        "recipients": node.recipients,
        "unforeseen": node.unforeseen,
        "perhaps": node.perhaps,
        "because": None if node.because is None else str(node.because),
        "first": None
        if first is None
        else {
            **_place(first.place),
            "recipients": list(first.recipients),
            "goes_to": list(first.goes_to),
            "headers": list(first.face.head),
            "text": first.face.text,
            "html": first.face.html,
            "attachments": list(first.face.attached),
        },
    }


def _bad(rows: BadRows) -> list[Mapping[str, object]]:
    return [_bad_row(bad) for bad in rows.first]


def _bad_row(bad: BadRow) -> dict[str, object]:
    return {**_place(bad.place), "code": bad.code, "message": bad.message, "hint": bad.hint}


def _against(against: Against) -> dict[str, object]:
    return {
        "revision": against.revision,
        "commit": against.commit,
        "new_flow": against.new_flow,
        "note": against.note,
        "unchanged": against.unchanged,
        "changed": against.changed,
        "added": against.added,
        "removed": against.removed,
        "broken": against.broken,
        "mended": against.mended,
        "changes": [_changed(changed) for changed in against.changes],
        "more_kinds": against.more_kinds,
        "more_messages": against.more_messages,
    }


def _changed(changed: Changed) -> dict[str, object]:
    return {
        "node": changed.node,
        **_place(changed.place),
        "recipients": list(changed.recipients),
        "messages": changed.count,
        "diff": {part.name: list(part.lines) for part in changed.change.parts},
    }
