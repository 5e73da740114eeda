"""``flowpost validate``: everything that can be known without sending."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.boundary import FAILED, OK

if TYPE_CHECKING:
    from runner.check import Report


@click.command(
    "validate",
    short_help="Check everything that can be known without sending.",
    epilog="""\b
Example:
  flowpost validate
  flowpost validate flows/welcome.yaml --format github
""",
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    help="How to answer; github makes annotations, sarif a code-scanning file.",
)
@click.pass_obj
def command(directory: Path, paths: tuple[str, ...], form: str) -> int:
    """Check flows, templates, settings and credentials: of the whole workspace, or of each PATH.

    Exit code 0 without errors, 1 with errors, 2 when a path is not there.
    """
    from runner.check import check_workspace
    from runner.cli import findings

    report = check_workspace(directory, paths, os.environ)
    click.echo(findings.render(report, form), nl=False)
    if form == "text":
        click.echo(_summary(report), err=True)
        if report.unopened:
            what = "the credential was" if report.unopened == 1 else f"{report.unopened} credentials were"
            click.echo(f"note: there is no key, so that {what} not opened", err=True)
    return OK if report.ok else FAILED


def _summary(report: Report) -> str:
    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = len(report.findings) - errors
    parts = [_count(report.flows, "flow")]
    if not report.findings:
        return f"{parts[0]} checked: no findings"
    if errors:
        parts.append(click.style(_count(errors, "error"), fg="red"))
    if warnings:
        parts.append(click.style(_count(warnings, "warning"), fg="yellow"))
    return f"{parts[0]} checked: {', '.join(parts[1:])}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
