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
    import os

    from runner.cli.boundary import guarded
    from runner.cli.group import cli

    return guarded(
        lambda: cli.main(args=given, prog_name="flowpost", standalone_mode=False), sys.stderr, os.environ
    )


if __name__ == "__main__":
    sys.exit(main())
