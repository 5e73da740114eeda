"""``flowpost serve``: the service."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.boundary import OK
from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.app import App


@click.command(
    "serve",
    short_help="Run the service: webhooks, schedules, files, hot reload.",
    epilog="""\b
Example:
  flowpost serve
  FLOWPOST_DATABASE=postgresql://flowpost@db/flowpost flowpost serve --node a
""",
)
@click.option("--node", metavar="NAME", help="This machine's name in the history; default: its host name.")
@click.option("--drain", metavar="SECONDS", type=click.FloatRange(0, 3600), default=30.0, show_default=True,
              help="How long running nodes may take to finish after SIGTERM.")  # fmt: skip
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), help="Default: text on a terminal, else json."
)
@click.pass_obj
def command(directory: Path, node: str | None, drain: float, log_format: str | None) -> int:
    """Watch the workspace, take webhooks, fire schedules and files, and work off runs, until SIGTERM.

    SIGTERM drains: no new events, running nodes finish, exit code 0; a second one makes it short.
    SIGHUP loads everything anew.
    """
    import asyncio

    from runner.app import App
    from runner.serve.logs import configure

    if math.isnan(drain):
        # It is neither below nor above any bound, and no wait for it ends.
        raise UsageError("--drain is no number of seconds", hint="for example --drain 30")
    app = App.open(directory, os.environ)
    configure(sys.stderr, form=log_format)
    asyncio.run(_serve(app, node, drain))
    return OK


async def _serve(app: App, node: str | None, drain: float) -> None:
    import logging

    log = logging.getLogger("flowpost.serve")
    async with app.service(node=node, drain=drain) as service:
        if (warning := _left_behind(app, service.engine.database.file)) is not None:
            log.warning("%s", warning)

        def ready(address: str) -> None:
            log.info(
                "serving %d flows of workspace %s at %s",
                len(service.catalog.flows()),
                app.settings.workspace,
                address,
            )

        await service.run(ready)
    log.info("stopped")


def _left_behind(app: App, file: Path | None) -> str | None:
    """What is wrong with a database inside a folder that a link leads to: git-sync swaps it and deletes the old one."""
    real = app.root.resolve()
    if file is None or real == app.root.absolute() or not file.is_relative_to(real):
        return None
    return (
        f"{app.root} is a link, and the database {file} lies where it leads to: when the link is swapped, "
        "it stays behind; set FLOWPOST_DATABASE to a place outside"
    )
