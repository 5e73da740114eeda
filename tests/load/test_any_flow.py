"""Whatever stands in a flow file, ``load`` gives a flow or findings and nothing else."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from runner.diagnostic import Invalid
from runner.load import load_flows, read_flow
from runner.model import Settings
from runner.source import read

FLOWS = Path(__file__).resolve().parent.parent / "flows"
STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "<<x>>",
    "<<",
    "<%",
    "{{ trigger.body }}",
    "\u2028",
    "5s",
    [],
    {},
    [1],
    {"a": 1},
    [[]],
    [{}],
    {"file": "x"},
    {"file": 5},
    {"<<a>>": "b"},
    {"smtp": {}},
    "trigger.body",
    "\ud800",
]
ROUNDS = 60


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here]
    for key, item in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        found += places(item, (*here, key))
    return found


def change(value: Any, chance: random.Random) -> None:
    *way, last = chance.choice([place for place in places(value) if place])
    for step in way:
        value = value[step]
    if isinstance(value, dict) and chance.random() < 0.2:
        del value[last]
    elif isinstance(value, dict) and chance.random() < 0.2:
        value[
            chance.choice(
                ["smtp", "http", "set", "id", "when", "for_each", "body", "webhook", "schedule", "x"]
            )
        ] = value.pop(last)
    else:
        value[last] = copy.deepcopy(chance.choice(STRANGE))


@pytest.mark.parametrize("path", sorted((FLOWS / "ok").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_flow_with_anything_changed_loads_or_has_findings(path: Path, tmp_path: Path) -> None:
    chance = random.Random(path.name)
    target = tmp_path / "flows" / "changed.yaml"
    target.parent.mkdir()
    for _ in range(ROUNDS):
        value = copy.deepcopy(read(path.read_bytes(), "flow.yaml").value)
        for _ in range(chance.randrange(1, 4)):
            if value:
                change(value, chance)
        target.write_bytes(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

        try:
            read_flow(tmp_path, target, Settings())
        except Invalid as exc:
            found = exc.diagnostics
        else:
            found = ()
        assert all(finding.line >= 1 and finding.message for finding in found)
        assert isinstance(load_flows(tmp_path, Settings()).diagnostics, tuple)
