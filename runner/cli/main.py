"""Where the command line begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 success, 1 failed, 2 usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--help"], ["-h"]):
        # Answered before anything is loaded: somebody is waiting at a prompt.
        from runner.cli.verbs import help_text

        sys.stdout.write(help_text())
        return 0
    if arguments is None and "serve" not in given:
        _collect_seldom()
    import os

    from runner.cli.boundary import guarded
    from runner.cli.group import cli

    return guarded(
        lambda: cli.main(args=given, prog_name="flowpost", standalone_mode=False), sys.stderr, os.environ
    )


def _collect_seldom() -> None:
    """Spare a short process most of the collector's work: nearly all that it loads stays until its end.

    Its usual look at every 700 new objects comes hundreds of times while modules load, and the one at the very end
    frees what the system takes back anyway: together a fifth of a command's CPU. A batch is 100,000 objects when
    it begins, and its rows leave none behind that only the collector could free. A service lives long.
    """
    import atexit
    import gc

    gc.set_threshold(200_000)
    atexit.register(gc.freeze)


if __name__ == "__main__":
    sys.exit(main())
