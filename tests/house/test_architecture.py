"""ARCHITECTURE.md names the floors that the import rules know, and all of them."""

from __future__ import annotations

import re
import tomllib

from conftest import ROOT

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_the_floors_are_those_of_the_import_rules() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    ruled = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]

    table = re.findall(r"^\| (\d+) \| (.+?) \|", PAGE, re.MULTILINE)

    assert [set(re.findall(r"`(\w+)(?:/|\.py)`", rooms)) for _, rooms in table] == ruled
    assert [int(number) for number, _ in table] == list(range(len(ruled) - 1, -1, -1))


def test_the_page_stays_one_page() -> None:
    assert len(PAGE.splitlines()) <= 150


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`([a-z_]+/[a-z_]+(?:\.py|/))`", PAGE))

    assert len(named) > 5
    assert [name for name in sorted(named) if not (ROOT / "runner" / name).exists()] == []
