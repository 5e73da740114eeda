"""A flow from the texts that it was once made of, wherever its files have gone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runner.errors import ConfigurationError
from runner.load.flow import load_flow
from runner.model import Flow, Settings


def load_again(path: str, sources: Mapping[str, bytes], settings: Settings, templates: str = "") -> Flow:
    """The flow at ``path`` of a workspace that holds the files ``sources`` and nothing else; blocking.

    ``templates`` is the folder that its includes are looked for in; left away, it is that of the settings. Raises
    Invalid, and ConfigurationError when a source lies outside the workspace.
    """
    import tempfile

    folder_name = templates or settings.templates
    with tempfile.TemporaryDirectory(prefix="flowpost-") as folder:
        root = Path(folder).resolve()
        (root / folder_name).mkdir(parents=True, exist_ok=True)
        for name, data in sources.items():
            target = (root / name).resolve()
            if not target.is_relative_to(root):
                raise ConfigurationError(f'the stored flow names a file outside the workspace: "{name}"')
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return load_flow(root, root / path, settings._replace(templates=folder_name))
