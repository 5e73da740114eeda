"""The workspace as it was at a git revision: read through git's own objects, never by checking anything out.

git is called with fixed arguments and no shell; it fetches nothing, runs no filter of the repository, and both its
time and what it may answer are bounded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from runner.errors import UsageError

MAX_SECONDS = 30.0
"""For one call of git."""
MAX_LISTED = 32 * 2**20
"""Octets of a listing of files."""
MAX_FILES = 20_000
MAX_TAKEN = 128 * 2**20
"""Octets of all files that are taken from the revision."""

_KEPT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
_LINK = "120000"
_SHALLOW = (
    "this clone is shallow: fetch the revision first, with git fetch --depth=1 origin NAME, or fetch-depth: 0 in"
    " actions/checkout"
)
_PARTIAL = (
    "a partial clone leaves files out, and nothing is fetched for a plan: git fetch --refetch --no-filter"
)


@dataclass(frozen=True, slots=True)
class _Blob:
    path: str
    mode: str
    object: str
    size: int


@dataclass(slots=True)
class Revision:
    """A revision of the repository that a workspace lies in. ``root`` fills up with what is ``take``n."""

    name: str
    commit: str
    root: Path
    _git: _Git
    _prefix: str
    _taken: set[str] = field(default_factory=set)
    _octets: int = 0

    @property
    def short(self) -> str:
        """The commit as people write it."""
        return self.commit[:9]

    def take(self, folders: Iterable[str], *, without: Iterable[str] = ()) -> None:
        """Put the files and folders of those names (relative to the workspace) below ``root``, where they were there.

        ``without`` are names that are left out, secrets above all. UsageError when it is too much, or not here.
        """
        wanted = [PurePosixPath(name).as_posix() for name in folders]
        left_out = tuple(PurePosixPath(name).as_posix() for name in without)
        try:
            self._take(wanted, left_out)
        except _GitFailed as error:
            told = error.told.splitlines()[-1][:200] if error.told else "it does not say why"
            raise UsageError(f"git cannot read {self.name}: {told}", hint=_PARTIAL) from None

    def _take(self, wanted: list[str], left_out: tuple[str, ...]) -> None:
        blobs = [blob for blob in self._listed(wanted) if not _within(blob.path, left_out)]
        if len(self._taken) + len(blobs) > MAX_FILES:
            raise UsageError(
                f"{self.name} has more than {MAX_FILES:,} files in {', '.join(wanted)}: too many to compare"
            )
        self._octets += sum(blob.size for blob in blobs)
        if self._octets > MAX_TAKEN:
            raise UsageError(
                f"{self.name} has more than {MAX_TAKEN // 2**20} MiB in {', '.join(wanted)}: too much to compare"
            )
        for blob, content in zip(blobs, self._contents(blobs), strict=True):
            self._write(blob, content)
            self._taken.add(blob.path)

    def _listed(self, names: list[str]) -> Iterator[_Blob]:
        paths = [self._prefix if name == "." else f"{self._prefix}{name}" for name in names]
        if "" in paths:
            paths = []
        listing = self._git(
            "ls-tree", "-r", "-z", "-l", "--full-tree", self.commit, "--", *paths, limit=MAX_LISTED
        )
        for entry in listing.split(b"\0"):
            head, _, path = entry.partition(b"\t")
            parts = head.decode("ascii", "replace").split()
            name = os.fsdecode(path).removeprefix(self._prefix)
            # Whatever is no file of its own (a submodule), and names that would lead out of the folder.
            if len(parts) != 4 or parts[1] != "blob" or not _is_inside(name) or name in self._taken:
                continue
            yield _Blob(name, parts[0], parts[2], int(parts[3]) if parts[3].isdigit() else 0)

    def _contents(self, blobs: list[_Blob]) -> Iterator[bytes]:
        if not blobs:
            return
        asked = "".join(f"{blob.object}\n" for blob in blobs).encode()
        room = sum(blob.size + 200 for blob in blobs)
        answer = self._git("cat-file", "--batch", "--buffer", given=asked, limit=room)
        offset = 0
        for blob in blobs:
            end = answer.index(b"\n", offset)
            head = answer[offset:end].decode("ascii", "replace").split()
            if len(head) != 3 or head[1] != "blob":
                raise UsageError(
                    f"{self.name} names {blob.path}, which this clone does not hold",
                    hint=_PARTIAL,
                )
            start = end + 1
            offset = start + int(head[2])
            yield answer[start:offset]
            offset += 1

    def _write(self, blob: _Blob, content: bytes) -> None:
        target = self.root / blob.path
        # A tree that git did not make may hold a name twice, as a link and as a folder or file behind that link.
        if not target.parent.resolve().is_relative_to(self.root) or os.path.lexists(target):
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            return
        if blob.mode != _LINK:
            target.write_bytes(content)
            return
        # A link is kept as a link, so that it is judged as in the workspace; one that leads out is none here.
        where = os.path.normpath(os.path.join(PurePosixPath(blob.path).parent, os.fsdecode(content)))  # noqa: PTH118
        if _is_inside(where):
            target.symlink_to(os.fsdecode(content))


@contextmanager
def workspace_at(root: Path, name: str, environ: Mapping[str, str]) -> Iterator[Revision]:
    """The revision ``name`` of the repository around the workspace ``root``, in a private temporary folder.

    Raises UsageError, with a hint, without git, outside a repository, and for a revision that is not there.
    """
    if name.startswith("-") or not name.strip() or len(name) > 250 or not name.isprintable():
        raise UsageError(
            f'--against "{name[:60]}" is not a git revision', hint="for example --against origin/main"
        )
    program = shutil.which("git", path=environ.get("PATH"))
    if program is None:
        raise UsageError("--against needs git, which is not installed")
    git = _Git(program, root, environ)
    prefix = os.fsdecode(_repository(git, root)).rstrip("\n")
    try:
        object_ = git("rev-parse", "--verify", "--quiet", "--end-of-options", name).decode().strip()
        # In a second step: behind ":/words" the suffix would be part of what is searched for.
        found = git("rev-parse", "--verify", "--quiet", "--end-of-options", object_ + "^{commit}")
    except _GitFailed:
        shallow = git("rev-parse", "--is-shallow-repository").strip() == b"true"
        hint = _SHALLOW if shallow else "git log --oneline shows revisions; git fetch brings what is new"
        raise UsageError(f'git knows no revision "{name}"', hint=hint) from None
    commit = found.decode("ascii", "replace").strip()
    with tempfile.TemporaryDirectory(prefix="flowpost-") as folder:
        yield Revision(name, commit, Path(folder).resolve(), git, prefix)


def _repository(git: _Git, root: Path) -> bytes:
    try:
        return git("rev-parse", "--show-prefix")
    except _GitFailed as error:
        if "dubious ownership" in error.told:
            raise UsageError(
                f"git refuses the repository of {root}: it belongs to somebody else",
                hint=f"git config --global --add safe.directory {root}",
            ) from None
        raise UsageError(
            f"--against compares with a git revision, and {root} is not in a git repository",
            hint="git init makes one; without --against the plan needs no git",
        ) from None


class _GitFailed(Exception):
    """git ended with an exit code; ``told`` is what it said."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.told = told


@dataclass(frozen=True, slots=True)
class _Git:
    program: str
    root: Path
    environ: Mapping[str, str]

    def __call__(self, *arguments: str, given: bytes = b"", limit: int = 64 * 1024) -> bytes:
        """What git answers, at most ``limit`` octets; _GitFailed for its exit code, UsageError for too much."""
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(given)
            stdin.seek(0)
            process = subprocess.Popen(  # noqa: S603  (fixed arguments, no shell)
                [self.program, "--no-pager", "--literal-pathspecs", "-c", "core.fsmonitor=false", *arguments],
                cwd=self.root,
                env=self._environ(),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
            late = threading.Event()

            def end() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(MAX_SECONDS, end)
            timer.start()
            try:
                assert process.stdout is not None
                answer = process.stdout.read(limit + 1)
                if len(answer) > limit:
                    process.kill()
            finally:
                process.stdout.close()  # type: ignore[union-attr]
                code = process.wait()
                timer.cancel()
            stderr.seek(0)
            told = stderr.read(2000).decode("utf-8", "replace").strip()
        if late.is_set():
            raise UsageError(f"git {arguments[0]} took longer than {MAX_SECONDS:g} s")
        if len(answer) > limit:
            raise UsageError(f"git {arguments[0]} answers more than {limit:,} octets: too much to compare")
        if code:
            raise _GitFailed(told)
        return answer

    def _environ(self) -> dict[str, str]:
        # Within a hook, git's own variables name another folder than the one that is asked about.
        kept = {
            name: value
            for name, value in self.environ.items()
            if not name.startswith("GIT_") or name.startswith(_KEPT)
        }
        return {
            **kept,
            "LC_ALL": "C",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ALLOW_PROTOCOL": "none",
        }


def _is_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and ".git" not in parts


def _within(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
