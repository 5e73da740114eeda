"""Which batch it is: its name, and what must be the same when it goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from runner.errors import UsageError
from runner.model import Delivery, Flow

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


def derived_id(flow: Flow, data: str, key: str | None, delivery: Delivery) -> str:
    """The same for the same flow and data; a rehearsal with ``redirect`` never passes for the real thing."""
    parts = [flow.name, data, key or ""]
    if delivery.mode != "live":
        parts += [delivery.mode, delivery.to or "", *delivery.allow]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{flow.name[:48]}-{digest[:12]}"


def facts(file: RowFile, key: str | None) -> dict[str, object]:
    """What is remembered of the data, for telling what has changed."""
    return {"name": file.name, "octets": file.size, "columns": list(file.columns), "key": key}


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


def check_flow(known: Known, batch_id: str, flow: Flow, *, accept: bool) -> None:
    """UsageError when the flow has changed and that is not accepted."""
    if known.digest == flow.digest or accept:
        return
    raise UsageError(
        f'flow "{flow.name}" has changed since batch {batch_id} began: some rows have the old message already',
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
