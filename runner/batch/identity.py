"""Which batch it is: its name, and what must be the same when it goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import UsageError
from runner.model import Delivery, Flow, Node, Settings

if TYPE_CHECKING:
    from runner.ledger.batches import Known
    from runner.rows import RowFile

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_id(batch_id: str) -> str:
    """The ``--batch-id`` as it is; UsageError when it could not stand in a file's or a run's name."""
    if _ID.fullmatch(batch_id) is None:
        raise UsageError(
            f'--batch-id "{batch_id[:80]}" is not a name for a batch',
            hint="at most 64 letters, digits, dots, dashes and underscores, for example newsletter-2026-11",
        )
    return batch_id


def derived_id(flow: Flow, data: str, key: str | None) -> str:
    """The same for the same flow and data."""
    return f"{flow.name[:48]}-{_digest(flow.name, data, key or '')}"


def kept_as(batch_id: str, delivery: Delivery) -> str:
    """The name that the ledger knows the batch by: a rehearsal with ``redirect`` never passes for the real thing.

    What ``allowlist`` lets through has reached whom it was for, and so is the real thing.
    """
    if delivery.mode != "redirect":
        return batch_id
    # No batch that somebody names has a "~".
    return f"{batch_id}~{_digest(delivery.mode, delivery.to or '')}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def facts(file: RowFile, key: str | None, others: Mapping[str, str]) -> dict[str, object]:
    """What is remembered of the data, and of ``others`` (``beside``), for telling what has changed."""
    return {
        "name": file.name,
        "octets": file.size,
        "columns": list(file.columns),
        "key": key,
        "beside": dict(others),
    }


def check_same(known: Known, batch_id: str, flow: Flow, data: str, now: Mapping[str, object]) -> None:
    """UsageError when the batch of that id was another flow's, or its data have changed."""
    if known.flow != flow.name:
        raise UsageError(
            f'batch {batch_id} belongs to flow "{known.flow}", not to "{flow.name}"',
            hint="give another --batch-id",
        )
    then = known.facts
    if known.data != data:
        raise UsageError(
            f"the data of batch {batch_id} have changed since it began: {_difference(then, now)}",
            hint="give the file as it was, so that no row is mailed twice, or another --batch-id for a new batch",
        )
    before, after = (told.get("key") or "(none)" for told in (then, now))
    if before != after:
        raise UsageError(
            f"batch {batch_id} began with --key {before}, and now it is {after}",
            hint="give the same --key, or another --batch-id",
        )


def beside(flow: Flow, settings: Settings, root: Path) -> dict[str, str]:
    """What messages are made of beside the flow's text and the rows: a digest of each, by what it is."""
    found = {"vars": _digest(json.dumps(settings.vars, sort_keys=True, default=str))}
    files = sorted({name for node in flow.nodes for name in _attached(node)})
    if files:
        found["attached files"] = _digest(*(_content(root / name) for name in files))
    return found


def _attached(node: Node) -> Iterator[str]:
    """Files that are attached to every row's message."""
    attachments = node.params.get("attachments")
    for item in attachments if isinstance(attachments, list | tuple) else ():
        if isinstance(item, Mapping) and isinstance(item.get("file"), str):
            yield str(item["file"])


def _content(path: Path) -> str:
    """What is wrong with the file is told in its turn."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def check_flow(known: Known, batch_id: str, flow: Flow, now: Mapping[str, object], *, accept: bool) -> None:
    """UsageError when the flow, or what its messages are made of beside it, has changed and that is not accepted."""
    then = known.facts.get("beside")
    others = now["beside"]
    assert isinstance(others, Mapping)
    changed = [f'flow "{flow.name}" has'] if known.digest != flow.digest else []
    if isinstance(then, Mapping):
        changed += [f"the {name} have" for name in others if then.get(name, others[name]) != others[name]]
    if not changed or accept:
        return
    raise UsageError(
        f"{' and '.join(changed)} changed since batch {batch_id} began: some rows have the old message already",
        hint="--accept-changed-flow sends the new one to the rest; another --batch-id begins anew",
    )


def _difference(then: Mapping[str, object], now: Mapping[str, object]) -> str:
    told = []
    before, after = then.get("columns") or [], now.get("columns") or []
    if isinstance(before, list) and isinstance(after, list) and before != after:
        gone = [str(name) for name in before if name not in after]
        new = [str(name) for name in after if name not in before]
        told += [
            f"column{'s' * (len(names) > 1)} {', '.join(names)} {how}"
            for names, how in ((gone, "gone"), (new, "new"))
            if names
        ]
        if not gone and not new:
            told.append("columns in another order")
    if then.get("octets") != now.get("octets"):
        told.append(f"{_count(then.get('octets'))} octets then, {_count(now.get('octets'))} now")
    elif not told:
        told.append("as long as it was, with other content")
    if then.get("name") != now.get("name"):
        told.append(f"the file was {then.get('name')} then and is {now.get('name')} now")
    return "; ".join(told)


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
