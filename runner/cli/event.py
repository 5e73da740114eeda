"""``--body`` and ``--set``: an event started by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from runner.errors import UsageError
from runner.model import Event, Flow
from runner.schema import body_checker

MAX_BODY = 64 * 1024 * 1024


def make_event(
    flow: Flow, root: Path, body: str | None, pairs: Sequence[str], *, sample: bool = False
) -> Event:
    """The event of ``--body JSON``, ``@FILE`` or ``-`` with every ``--set key=value`` laid over it.

    With ``sample`` and no body given, the flow's ``.sample.json`` beside it is the body. The body is checked
    against the flow's ``body`` schema; raises UsageError that says what does not fit and where.
    """
    value = _read_body(flow, root, body, sample=sample)
    for pair in pairs:
        value = _set(value, pair, flow)
    _check(flow, value)
    return Event(type="manual", body=value, time=datetime.now(UTC))


def _read_body(flow: Flow, root: Path, body: str | None, *, sample: bool) -> object:
    if body is None:
        path = (root / flow.path).with_suffix(".sample.json")
        return _json(path.read_text(encoding="utf-8"), str(path)) if sample and path.is_file() else {}
    if body == "-":
        return _json(sys.stdin.read(MAX_BODY + 1), "standard input")
    if body.startswith("@"):
        try:
            with Path(body[1:]).open(encoding="utf-8-sig") as file:
                return _json(file.read(MAX_BODY + 1), body[1:])
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UsageError(f'cannot read body "{body[1:]}": {reason}') from error
    return _json(body, "--body")


def _json(text: str, where: str) -> object:
    if len(text) > MAX_BODY:
        raise UsageError(f"{where} is larger than {MAX_BODY // 2**20} MiB")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where} is not JSON: line {error.lineno}, column {error.colno}: {error.msg.lower()}",
            hint="""give an object such as '{"email": "ann@example.com"}'""",
        ) from error
    except (RecursionError, ValueError) as error:
        raise UsageError(f"{where} is not usable JSON: too deep, or a number JSON does not have") from error


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _set(body: object, pair: str, flow: Flow) -> object:
    key, equals, text = pair.partition("=")
    path = key.split(".")
    if not equals or not all(path):
        raise UsageError(f'--set needs key=value and got "{pair}"', hint="for example --set name=Ann")
    if not isinstance(body, dict):
        raise UsageError("--set needs a body that is a JSON object")
    here = body
    for part in path[:-1]:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise UsageError(f'--set {key}: "{part}" is not an object in the body')
    here[path[-1]] = _value(text, flow.body, path)
    return body


def _value(text: str, schema: object, path: Sequence[str]) -> object:
    """JSON where it is JSON and the schema does not ask for text: ``--set zip=01234`` stays as it is written."""
    for part in path:
        properties = schema.get("properties") if isinstance(schema, dict) else None
        schema = properties.get(part) if isinstance(properties, dict) else None
    if isinstance(schema, dict) and schema.get("type") == "string":
        return text
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _check(flow: Flow, value: object) -> None:
    if flow.body is None:
        return
    problems = list(body_checker(flow.body).problems(value))
    if problems:
        lines = "\n".join(f"  {problem.pointer or '/'}: {problem.message}" for problem in problems[:20])
        raise UsageError(
            f'the body does not match the body schema of flow "{flow.name}":\n{lines}',
            hint=f"the schema is under body: in {flow.path}",
        )
