"""Findings as text, JSON, GitHub annotations and SARIF."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import click

from runner import __version__
from runner.check import Report
from runner.cli.boundary import printable
from runner.diagnostic import Diagnostic


def render(report: Report, form: str) -> str:
    """The findings in one of the four formats, with a final line break unless there is nothing to say."""
    lines = {"text": _text, "json": _json, "github": _github, "sarif": _sarif}[form](report)
    return f"{lines}\n" if lines else ""


def as_dict(finding: Diagnostic) -> dict[str, object]:
    """One finding as SPEC section 11 names its fields."""
    return {
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "hint": finding.hint or None,
    }


def _text(report: Report) -> str:
    lines = []
    for finding in report.findings:
        place = f"{finding.path}:{finding.line}:{finding.column}:"
        colour = "red" if finding.severity == "error" else "yellow"
        severity = click.style(f"{finding.severity}:", fg=colour)
        lines.append(f"{printable(place)} {severity} {printable(finding.message)} [{finding.code}]")
        if finding.hint:
            lines.append(f"  hint: {printable(finding.hint)}")
    return "\n".join(lines)


def _json(report: Report) -> str:
    answer = {
        "ok": report.ok,
        "flows": report.flows,
        "findings": [as_dict(finding) for finding in report.findings],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False)


def _github(report: Report) -> str:
    """Workflow commands; paths are relative to the repository, which may lie above the workspace."""
    prefix = _below_repository(report.root)
    lines = []
    for finding in report.findings:
        message = finding.message + (f"\nhint: {finding.hint}" if finding.hint else "")
        lines.append(
            f"::{finding.severity} file={_property(prefix + finding.path)},line={finding.line},"
            f"col={finding.column},title={_property(f'flowpost [{finding.code}]')}::{_data(message)}"
        )
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _sarif(report: Report) -> str:
    """SARIF 2.1.0, as code-scanning services take it."""
    prefix = _below_repository(report.root)
    rules = sorted({finding.code for finding in report.findings})
    answer = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "flowpost",
                        "version": __version__,
                        "rules": [{"id": rule} for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(finding, prefix) for finding in report.findings],
            }
        ],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False)


def _sarif_result(finding: Diagnostic, prefix: str) -> dict[str, object]:
    text = finding.message + (f" (hint: {finding.hint})" if finding.hint else "")
    return {
        "ruleId": finding.code,
        "level": finding.severity,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(prefix + finding.path)},
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
    }


def _below_repository(root: Path) -> str:
    """What stands before a path of the workspace: GitHub's own checkout folder counts, else where .git is."""
    root = root.resolve()
    checkout = os.environ.get("GITHUB_WORKSPACE")
    if checkout and root.is_relative_to(Path(checkout).resolve()):
        relative = root.relative_to(Path(checkout).resolve()).as_posix()
        return "" if relative == "." else f"{relative}/"
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            relative = root.relative_to(folder).as_posix()
            return "" if relative == "." else f"{relative}/"
    return ""
