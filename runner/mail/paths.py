"""Which file of the workspace an attachment may be."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from os import stat_result
from os.path import samestat
from pathlib import Path

from runner.errors import AttachmentError
from runner.model import Fixed, Given

SECRETS = "secrets"
"""The folder of credentials where nobody says another."""
_OWN = ("flowpost.yaml", ".sops.yaml")
_CREDENTIALS = (".yaml", ".yml", ".age")


def file_path(value: object) -> str:
    """The path that ``file`` was rendered to: text, or the author's text and the values in it (``model.Pieces``).

    Raises AttachmentError for a value that would leave the folder that the author wrote before the first of them.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, tuple) or not all(isinstance(piece, Fixed | Given) for piece in value):
        raise AttachmentError(f"attachment file needs text and got {_kind(value)}")
    path, begin = "", -1
    for piece in value:
        if isinstance(piece, Fixed):
            path += piece.text
            continue
        if begin < 0:
            begin = path.rfind("/") + 1
        path += _written(piece.value)
    # A value that is the whole path was left to the data by the author; it is held to the workspace like any other.
    if begin >= 0 and len(value) > 1:
        _check_below(path, begin)
    return path


def resolve_inside(root: Path, relative: str, secrets: str = SECRETS) -> Path:
    """The real path of a file of the workspace; raises AttachmentError for one that may not be mailed: outside, no
    file, hidden, below ``secrets``, or with flowpost's own settings in it.
    """
    base = root.resolve()
    try:
        path = (base / relative).resolve()
        mode = path.stat().st_mode if path.is_relative_to(base) else None
    except (OSError, ValueError):
        raise AttachmentError(f'attachment file "{relative[:200]}" is not there') from None
    if mode is None:
        raise AttachmentError(f'attachment file "{relative[:200]}" lies outside the workspace')
    if not stat.S_ISREG(mode):
        raise AttachmentError(f'attachment file "{relative[:200]}" is not a regular file')
    parts = path.relative_to(base).parts
    if any(part.startswith(".") for part in parts):
        raise AttachmentError(
            f'attachment file "{relative[:200]}" is hidden', hint="attach files that do not begin with a dot"
        )
    if _is_own(path, base, secrets):
        raise AttachmentError(
            f'attachment file "{relative[:200]}" is one of flowpost\'s own',
            hint=f"nothing in {secrets}/ is mailed, nor is flowpost.yaml; keep attachments in a folder of their own",
        )
    return path


def _check_below(path: str, begin: int) -> None:
    rest = path[begin:]
    # ".." is refused also where it seems to lead back: behind a link to a folder it leads elsewhere.
    if ".." in re.split(r"[/\\]", rest) or (begin == 0 and rest.startswith(("/", "\\"))):
        folder = f'the folder "{path[:begin][:200]}"' if begin else "the workspace"
        raise AttachmentError(
            f'attachment file "{path[:200]}" leaves {folder} by a value in it',
            hint='a value names a file below what the flow writes before it, without ".."',
        )


def _is_own(path: Path, base: Path, secrets: str) -> bool:
    """Whether the file is a credential or settings. Files are known by what they are on the disk: one may have two
    names, and a name may be written in another case.
    """
    kept = [*_stats(base / name for name in (secrets, *_OWN))]
    folders = [
        *_stats([path, *(above for above in path.parents if above.is_relative_to(base) and above != base)])
    ]
    if any(samestat(one, other) for one in kept for other in folders):
        return True
    # With the workspace itself as the folder of secrets, credentials lie beside everything else.
    return path.parent == base == (base / secrets).resolve() and path.suffix.lower() in _CREDENTIALS


def _stats(paths: Iterable[Path]) -> Iterator[stat_result]:
    for path in paths:
        try:
            yield path.stat()
        except OSError:
            continue


def _written(value: object) -> str:
    if value is None or isinstance(value, Mapping | list | tuple | bytes):
        raise AttachmentError(f"attachment file needs text and got {_kind(value)}")
    return str(value)


def _kind(value: object) -> str:
    from runner.schema.words import kind_of

    return kind_of(value)
