"""A workspace on disk with a catalog over it, for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from runner.catalog import Catalog, Change
from runner.load import load_settings


def flow(text: str = "1", *, name: str = "", hook: str = "", include: str = "") -> str:
    """A flow file: ``text`` makes its content its own."""
    lines = [f"name: {name}"] if name else []
    if hook:
        lines.append(f"triggers: [{{webhook: {{path: {hook}, auth: none}}}}]")
    value = f"<% include '{include}' %>" if include else text
    lines += ["nodes:", "  - id: a", f'    set: {{value: "{value}", text: "{text}"}}', ""]
    return "\n".join(lines)


@dataclass
class Space:
    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    patience: float = 0.02

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def delete(self, name: str) -> None:
        os.unlink(self.root / name)

    def catalog(self) -> Catalog:
        """A catalog that has loaded what is there."""
        settings = load_settings(self.root, self.environ)
        catalog = Catalog(self.root, settings, self.environ, patience=self.patience)
        catalog.reload()
        return catalog


def texts(catalog: Catalog) -> dict[str, object]:
    """What each live flow says."""
    return {name: live.nodes[0].params["text"] for name, live in catalog.flows().items()}


def messages(catalog: Catalog) -> list[str]:
    return [f"{found.path}: {found.message}" for found in catalog.findings]


__all__ = ["Catalog", "Change", "Space", "flow", "messages", "texts"]
