"""The files of the templates folder: read inside it only, of bounded size, and as UTF-8."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath

from runner.template.nearest import nearest
from runner.template.scan import MAX_SOURCE


class Unreadable(Exception):
    """A template file cannot be used; the message says why, ``hint`` how to mend it."""

    def __init__(self, message: str, hint: str = "", absent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.absent = absent


class Library:
    """The templates folder at ``root``; ``label`` is how messages call it. No root, no files.

    ``kept`` are files and folders that no text is made of, wherever they lie. ``asked`` gathers every path that was
    looked for, there or not: what a text made from them depends on.
    """

    def __init__(self, root: Path | None, label: str | None, kept: Sequence[Path] = ()) -> None:
        self.root = root
        self._given = kept
        self.label = label or (root.name if root is not None else "templates")
        self.asked: set[Path] = set()

    @cached_property
    def _kept(self) -> list[Path]:
        return [path.resolve() for path in self._given]

    def shown(self, name: str) -> str:
        """The name of a file as messages show it."""
        return f"{self.label}/{self.plain(name)}"

    def plain(self, name: str) -> str:
        """The name below the folder; people write it with the folder's own name in front, too."""
        prefix = f"{self.label}/"
        if name.startswith(prefix) and self.root is not None and not (self.root / name).exists():
            return name.removeprefix(prefix)
        return name

    def read(self, name: str) -> tuple[str, Path]:
        """Text and path of a file; raises Unreadable."""
        if self.root is None:
            raise Unreadable(f'there is no templates folder for "{name[:100]}"', absent=True)
        path = self._inside(self.root, self.plain(name))
        # not blocking: a named pipe in the folder must not stop the runner
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._absent(name) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise Unreadable(f'"{name}" is not a file')
        with os.fdopen(handle, "rb") as file:
            data = file.read(MAX_SOURCE + 1)
        if len(data) > MAX_SOURCE:
            raise Unreadable(f'"{name}" has more than {MAX_SOURCE} bytes')
        try:
            return data.decode("utf-8-sig"), path
        except UnicodeDecodeError as error:
            raise Unreadable(f'"{name}" is not UTF-8 text: byte {error.start}') from error

    def _inside(self, root: Path, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or "\0" in name or "\\" in name or name.startswith("/") or ".." in parts:
            raise Unreadable(
                f'"{name[:100]}" is not a name inside {self.label}/',
                "write the path below the templates folder",
            )
        self.asked.add(root / name)
        # resolved, since a link may lead out of the folder, to a key file for example
        try:
            path = (root / name).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise self._absent(name) from error
        if not path.is_relative_to(root.resolve()):
            raise Unreadable(f'"{name[:100]}" leads out of {self.label}/')
        if any(path.is_relative_to(kept) for kept in self._kept):
            raise Unreadable(f'"{name[:100]}" is no template: it is one of flowpost\'s own files')
        return path

    def _absent(self, name: str) -> Unreadable:
        assert self.root is not None
        names = (
            str(path.relative_to(self.root)) for path in islice(self.root.rglob("*"), 500) if path.is_file()
        )
        close = nearest(name, sorted(names))
        hint = f'did you mean "{close}"?' if close else f"files are looked for in {self.label}/ only"
        return Unreadable(f'there is no template file "{name[:100]}" in {self.label}/', hint, absent=True)
