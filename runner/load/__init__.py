"""Files become typed, frozen values here, or all their mistakes: the one door to the house above.

``find_workspace`` and ``load_settings`` open a workspace, ``load_flow`` reads one flow, ``load_flows`` all of
them. Above this door nobody meets a YAML document, except to say where in one a later finding belongs
(``LoadedFlow``).
"""

from __future__ import annotations

from runner.load.again import load_again
from runner.load.flow import LoadedFlow, load_flow, name_in, read_flow
from runner.load.flows import Loaded, load_flows
from runner.load.settings import load_settings
from runner.load.workspace import SETTINGS_FILE, find_workspace

__all__ = [
    "SETTINGS_FILE",
    "Loaded",
    "LoadedFlow",
    "find_workspace",
    "load_again",
    "load_flow",
    "load_flows",
    "load_settings",
    "name_in",
    "read_flow",
]
