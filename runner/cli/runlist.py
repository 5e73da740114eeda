"""Runs of the history as a person reads them: aligned columns, times in ISO 8601, no control characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from runner.cli.boundary import printable

_BODY_SHOWN = 500
_TIMES = ("accepted", "started", "ended", "at")


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the history under the names that the JSON of ``flowpost run`` has, times as ISO 8601."""
    named = {"run_id" if name == "id" else name: value for name, value in row.items()}
    if "deliveries" in named:
        named["deliveries"] = [_timed(delivery) for delivery in named["deliveries"]]
    return _timed(named)


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _iso(value) if name in _TIMES else value for name, value in row.items()}


def _iso(seconds: float | None) -> str | None:
    from datetime import UTC, datetime

    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lasted(run: Mapping[str, Any]) -> str:
    from datetime import datetime

    if run["started"] is None or run["ended"] is None:
        return ""
    took = datetime.fromisoformat(run["ended"]) - datetime.fromisoformat(run["started"])
    return f"{max(took.total_seconds(), 0.0):.1f} s"


def _note(run: Mapping[str, Any]) -> str:
    return "; ".join([*(["delivery unknown"] if run["unknown"] else []), *_told(run["error"])])


def _told(error: Mapping[str, Any] | None) -> list[str]:
    return [f"{error['message']} [{error['code']}]"] if error else []


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Aligned columns on standard output; the last one may be as long as it is."""
    lines = [tuple(head), *(tuple(_line(value) for value in row) for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _line(value: object) -> str:
    return "" if value is None else printable(" ".join(str(value).split()))


def print_list(runs: Sequence[Mapping[str, Any]]) -> None:
    """Runs that ``named`` made, one a line on standard output, and on standard error what to do about them."""
    rows = [
        (run["run_id"], run["flow"], run["status"], run["origin"], run["accepted"], _lasted(run), _note(run))
        for run in runs
    ]
    print_table(("RUN", "FLOW", "STATUS", "BEGUN BY", "ACCEPTED", "TOOK", "NOTE"), rows)
    if any(run["unknown"] for run in runs):
        click.echo(
            "delivery unknown: ask the recipients or look into the server's log, then "
            "flowpost runs resolve RUN --sent or --resend",
            err=True,
        )


def print_run(run: Mapping[str, Any]) -> None:
    """All of one run: facts, nodes, messages."""
    import json

    from runner.cli.present import plain

    key = f', key "{run["event_key"]}"' if run["event_key"] else ""
    body = json.dumps(plain(run["event"]["body"]), ensure_ascii=False)
    facts = {
        "run": run["run_id"],
        "flow": f"{run['flow']} ({run['path']})",
        "status": run["status"],
        "begun by": f"{run['origin']}{key}",
        "accepted": run["accepted"],
        "started": run["started"],
        "ended": run["ended"],
        "took": _lasted(run),
        "error": "".join(_told(run["error"])),
        "body": body if len(body) <= _BODY_SHOWN else f"{body[:_BODY_SHOWN]}…",
    }
    for name, value in facts.items():
        if value:
            click.echo(f"{name:<10}{_line(value)}")
    if run["nodes"]:
        click.echo()
        print_table(
            ("NODE", "STATUS", "ATTEMPTS", "ERROR"),
            [
                (name, node["status"], node["attempts"], "".join(_told(node["error"])))
                for name, node in run["nodes"].items()
            ],
        )
    if run["deliveries"]:
        click.echo()
        print_table(
            ("MESSAGE OF", "CREDENTIAL", "STATE", "ATTEMPTS", "AT", "FOR"),
            [
                (
                    one["node"],
                    one["credential"],
                    one["state"],
                    one["attempts"],
                    one["at"],
                    ", ".join(one["wanted"]),
                )
                for one in run["deliveries"]
            ],
        )
    if any(one["state"] == "unknown" for one in run["deliveries"]):
        click.echo(
            f"nobody knows whether it arrived: flowpost runs resolve {run['run_id']} --sent or --resend",
            err=True,
        )
