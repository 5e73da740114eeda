"""The flows folder as it lies there: its files, or why it cannot be believed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runner.diagnostic import Diagnostic
from runner.load.workspace import flow_files


@dataclass(frozen=True, slots=True)
class Listing:
    """``paths`` of the flow files; ``fault`` when the folder as a whole is not what it was.

    ``hidden`` are paths below which nothing can be seen: what was there before is not gone because of that.
    """

    paths: tuple[str, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    hidden: tuple[str, ...] = ()
    fault: Diagnostic | None = None

    def hides(self, path: str) -> bool:
        """Whether ``path`` may be there, unseen."""
        return any(path == name or path.startswith(f"{name}/") for name in self.hidden)


class Folder:
    """The flows folder ``name`` in ``root``.

    It is held open, so that the system gives its inode to no other folder: one that was deleted, replaced or
    unmounted is told from one whose files were deleted.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self._handle: int | None = None

    def list(self, *, expected: bool) -> Listing:
        """What lies in the folder; never raises. ``expected``: there were files in it when it was last seen."""
        paths: list[str] = []
        findings: list[Diagnostic] = []
        try:
            for found in flow_files(self.root, self.name):
                if isinstance(found, Diagnostic):
                    findings.append(found)
                else:
                    paths.append(found)
        except OSError as error:
            reason = (error.strerror or "error").lower()
            findings.append(Diagnostic(self.name, 1, 1, f"the folder cannot be read: {reason}", "yaml"))
        fault = next((finding for finding in findings if finding.path == self.name), None)
        if fault is None and expected and not paths and not findings and self._replaced():
            fault = Diagnostic(
                self.name,
                1,
                1,
                f'the folder "{self.name}" was replaced by an empty one',
                "yaml",
                hint="flows are unloaded when their files are deleted from the folder, not with it",
            )
        if fault is None and (paths or self._handle is None):
            self._hold()
        hidden = tuple(finding.path for finding in findings)
        return Listing(tuple(paths), tuple(findings), hidden, fault)

    def close(self) -> None:
        """Let go of the folder."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _replaced(self) -> bool:
        if self._handle is None:
            return False
        try:
            return not os.path.samestat(os.fstat(self._handle), (self.root / self.name).stat())
        except OSError:
            return True

    def _hold(self) -> None:
        if self._handle is not None and not self._replaced():
            return
        self.close()
        try:
            # O_PATH pins the folder and reads nothing of it
            flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
            self._handle = os.open(self.root / self.name, flags)
        except OSError:
            self._handle = None
