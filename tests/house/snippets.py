"""Runs what the documentation shows, so that it cannot say what is not so.

- A ``yaml`` block is a flow when its first line is ``# flows/…yaml`` or when it has ``nodes:``; it must
  validate without an error. After ``# flowpost.yaml`` it is settings, and must validate too. Other YAML must
  parse.
- In ``console`` and ``sh`` blocks every line that starts with ``$ `` is a command (``> `` goes on with it).
  They run in order, in one scratch copy of the workspace for each document; ``cd`` and ``export`` last. Exit
  code 0 is expected of all, or of the last one what ``<!-- exit: 1 -->`` before the block says. The lines
  below a command must appear in what it prints, in that order; ``…`` stands for any text in a line.
- ``json`` and ``toml`` must parse. ``<!-- not run: reason -->`` before a block leaves it out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COPIED = ("flows", "secrets", "schemas", "templates", "docs", "README.md", "flowpost.yaml", ".sops.yaml")
UNCHECKED = frozenset({"", "text", "diff", "html", "lua"})
SECONDS = 60

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[\w+-]*).*$")
_COMMENT = re.compile(r"^ *<!-- (?P<key>not run|exit): (?P<value>.+?) -->$")


class Untrue(AssertionError):
    """The documentation shows what does not happen; the text names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One fenced block: its language, text, the number of its first line, and the comments above it."""

    language: str
    text: str
    line: int
    exit_code: int = 0
    not_run: str = ""


@dataclass(slots=True, kw_only=True)
class Command:
    """One command of a console block, and the lines that it must print."""

    text: str
    line: int
    exit_code: int = 0
    expected: list[str] = field(default_factory=list)


def snippets(markdown: str) -> list[Snippet]:
    """Every fenced block of a document, in order."""
    found = []
    lines = markdown.splitlines()
    notes: dict[str, str] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if comment := _COMMENT.match(line):
            notes[comment["key"]] = comment["value"]
        elif fence := _FENCE.match(line):
            first = number
            while number < len(lines) and lines[number].strip() != fence["fence"]:
                number += 1
            if number == len(lines):
                raise Untrue(f"line {first}: the block is never closed")
            body = [text.removeprefix(fence["indent"]) + "\n" for text in lines[first:number]]
            number += 1
            exit_code = int(notes.get("exit", "0"))
            found.append(
                Snippet(
                    language=fence["language"],
                    text="".join(body),
                    line=first + 1,
                    exit_code=exit_code,
                    not_run=notes.get("not run", ""),
                )
            )
            notes = {}
        elif line.strip():
            notes = {}
    return found


def commands(snippet: Snippet) -> list[Command]:
    """The commands of a console block; none when no line starts with ``$ ``."""
    found: list[Command] = []
    continues = False
    for number, line in enumerate(snippet.text.splitlines(), snippet.line):
        if line.startswith("$ "):
            found.append(Command(text=line[2:], line=number))
            continues = True
        elif continues and line.startswith("> "):
            found[-1].text += f"\n{line[2:]}"
        elif continues and found[-1].text.endswith("\\"):
            found[-1].text += f"\n{line}"
        elif line.strip():
            continues = False
            if not found:
                raise Untrue(f"line {number}: output before any command")
            found[-1].expected.append(line.rstrip())
    if found:
        found[-1].exit_code = snippet.exit_code
    return found


def missing(expected: list[str], printed: str) -> str:
    """The first expected line that does not appear after those before it; empty when all do."""
    rest = iter(printed.splitlines())
    for line in expected:
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        if line.strip() != "…" and not any(pattern.fullmatch(text.rstrip()) for text in rest):
            return line
    return ""


class Scratch:
    """A copy of the workspace with a home of its own, where one document's commands run."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = folder / "flowpost"
        self.home = folder / "home"
        self.root.mkdir()
        self.home.mkdir()
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, self.root / name)
            elif (root / name).exists():
                shutil.copy(root / name, self.root / name)
        self._state = folder / "state"
        self._state.write_text("")
        self._here = self.root

    def run(self, text: str) -> tuple[int, str]:
        """Run a command as the next one of the same shell; returns its exit code and all that it printed."""
        after = f'\ncode=$?; {{ export -p; printf "cd %q\\n" "$PWD"; }} >{self._state}; exit $code'
        done = subprocess.run(
            ["bash", "-c", f"source {self._state}\n{text}{after}"],
            cwd=self._here,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "GIT_AUTHOR_NAME": "Ann",
            "GIT_AUTHOR_EMAIL": "ann@example.com",
            "GIT_COMMITTER_NAME": "Ann",
            "GIT_COMMITTER_EMAIL": "ann@example.com",
        }


def check(document: Path, root: Path, folder: Path) -> int:
    """Check every block of a document against the workspace at ``root``; returns how many. Raises Untrue."""
    scratch: Scratch | None = None
    checked = 0
    for number, snippet in enumerate(snippets(document.read_text(encoding="utf-8"))):
        place = f"{document.name}:{snippet.line}"
        if snippet.not_run or snippet.language in UNCHECKED:
            continue
        checked += 1
        if snippet.language in ("console", "sh"):
            if scratch is None:
                scratch = Scratch(root, folder)
            for command in commands(snippet):
                _run(scratch, command, f"{document.name}:{command.line}")
        elif snippet.language in ("yaml", "yml"):
            aside = folder / f"yaml-{number}"
            aside.mkdir()
            _check_yaml(snippet, root, aside, place)
        elif snippet.language == "json":
            _parsed(json.loads, snippet.text, place)
        elif snippet.language == "toml":
            _parsed(tomllib.loads, snippet.text, place)
        else:
            raise Untrue(f'{place}: nobody knows how to check a block in "{snippet.language}"')
    return checked


def flow_or_settings(text: str) -> str:
    """Where in a workspace a YAML block belongs; empty when it is neither a flow nor settings."""
    named = re.match(r"# (flows/[\w./-]+\.ya?ml|flowpost\.yaml)\s*$", text.partition("\n")[0])
    if named:
        return named[1]
    return "flows/snippet.yaml" if re.search(r"^nodes:", text, re.MULTILINE) else ""


def _run(scratch: Scratch, command: Command, place: str) -> None:
    code, printed = scratch.run(command.text)
    if code != command.exit_code:
        raise Untrue(f"{place}: exit code {code} of: {command.text}\n{printed}")
    if line := missing(command.expected, printed):
        raise Untrue(f"{place}: the line\n  {line}\nis not in what was printed by: {command.text}\n{printed}")


def _check_yaml(snippet: Snippet, root: Path, folder: Path, place: str) -> None:
    target = flow_or_settings(snippet.text)
    if not target:
        import yaml

        _parsed(yaml.safe_load, snippet.text, place)
        return
    scratch = Scratch(root, folder)
    # The example stands alone: a flow of the same name in this repository is not its concern.
    shutil.rmtree(scratch.root / "flows", ignore_errors=True)
    path = scratch.root / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(snippet.text, encoding="utf-8")
    (scratch.root / "flows").mkdir(exist_ok=True)
    code, printed = scratch.run("flowpost validate")
    if code != snippet.exit_code:
        raise Untrue(f"{place}: the block does not validate (exit code {code})\n{printed}")


def _parsed(parse: object, text: str, place: str) -> None:
    assert callable(parse)
    try:
        parse(text)
    except Exception as error:
        raise Untrue(f"{place}: {error}") from error


def documents(root: Path) -> Iterator[Path]:
    """README.md and everything in docs/."""
    yield root / "README.md"
    yield from sorted((root / "docs").rglob("*.md"))
