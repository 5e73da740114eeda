"""File changes in a workspace: the system's events where they reach, and a rescan by content hash everywhere.

``watch`` gives sets of changed paths. ``Marks`` tells whether one file's content changed, for the price of a stat.
"""

from __future__ import annotations

from runner.watch.loop import Watch, watch
from runner.watch.marks import ABSENT, FOLDER, Marks

__all__ = ["ABSENT", "FOLDER", "Marks", "Watch", "watch"]
