"""``flowpost schema``: print a JSON Schema."""

from __future__ import annotations

import json

import click

from runner.cli.boundary import OK


@click.command(
    "schema",
    short_help="Print a JSON Schema.",
    epilog="""\b
Example:
  flowpost schema            the names
  flowpost schema flow > flow.schema.json
""",
)
@click.argument("name", required=False)
def command(name: str | None) -> int:
    """Print the JSON Schema NAME (flow, workspace, credential, nodes/smtp …), or the names without one."""
    from runner.schema import load, names

    known = sorted(names())
    if name is None:
        click.echo("\n".join(known))
        return OK
    if name not in known:
        raise click.UsageError(f'there is no schema "{name}"; there are: {", ".join(known)}')
    click.echo(json.dumps(load(name), indent=2, ensure_ascii=False))
    return OK
