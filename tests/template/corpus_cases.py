"""The public corpora that templates are tried on; empty where they are absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"


def read(relative: str) -> list[dict[str, Any]]:
    """The cases of a file."""
    path = _CORPORA / relative
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


SSTI = read("ssti/payloads.jsonl")
STRINGS = [str(case["input"]) for name in ("blns", "injection") for case in read(f"strings/{name}.jsonl")]
