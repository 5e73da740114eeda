"""The live flows of a service: built aside from the files, swapped whole, the last good version kept.

``Catalog`` holds them, ``follow`` keeps it up with the files.
"""

from __future__ import annotations

from runner.catalog.audit import Audit
from runner.catalog.catalog import Catalog
from runner.catalog.change import Change, Live
from runner.catalog.follow import follow

__all__ = ["Audit", "Catalog", "Change", "Live", "follow"]
