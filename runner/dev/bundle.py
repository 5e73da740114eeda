"""The flow and the encrypted credential that ``flowpost demo`` uses: in a checkout, or packed into the wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def demo_root() -> Path:
    """The folder that holds ``flows/welcome.yaml`` and ``secrets/demo.yaml``."""
    packed = _PACKAGE / "_demo"
    return packed if packed.is_dir() else _PACKAGE.parent


def demo_key(root: Path) -> Path:
    """The key of the demo's credentials. It is public and protects nothing."""
    return root / "secrets" / "demo-key.txt"
