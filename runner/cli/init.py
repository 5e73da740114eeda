"""``flowpost init``: a workspace that runs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from runner.cli.boundary import OK


@click.command(
    "init",
    short_help="Make a workspace that runs.",
    epilog="""\b
Example:
  flowpost init mail
  cd mail && flowpost run welcome --set name=Ann --set email=ann@example.com
""",
)
@click.argument("folder", required=False, metavar="[DIR]")
@click.pass_obj
def command(directory: Path, folder: str | None) -> int:
    """Write a flow, its sample, an encrypted credential, settings and a CI example into DIR (default: here).

    The key of the secrets goes outside the repository: the keys file of sops, or SOPS_AGE_KEY_FILE.
    Nothing that is there is overwritten. Nothing is sent either: the workspace begins in `delivery: capture`.
    """
    from runner.scaffold import make_workspace
    from runner.secret.keyfile import ensure_identity

    root = directory / folder if folder else directory
    identity = ensure_identity(os.environ, Path.home(), outside=root)
    made = make_workspace(root, identity.recipient)
    for name in made.files:
        click.echo(f"  wrote {root / name}", err=True)
    where = "made a key" if identity.made else "used the key"
    click.echo(f"  {where} in {identity.path} (keep it safe; it opens the secrets)", err=True)
    place = f"cd {root} && " if str(root) != "." else ""
    click.echo(
        f"\nnext: {place}flowpost run welcome --set name=Ann --set email=ann@example.com\n"
        "then: flowpost secrets edit mail, and delivery in flowpost.yaml",
        err=True,
    )
    return OK
