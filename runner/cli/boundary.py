"""The one place where errors become text and exit codes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from runner.errors import FlowpostError

OK = 0
"""Everything was done."""
FAILED = 1
"""The work failed, or findings exist."""
USAGE = 2
"""The command or the workspace's configuration is wrong; nothing was begun."""
INTERRUPTED = 130
"""Ctrl-C."""


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def guarded(action: Callable[[], object], stderr: TextIO, environ: Mapping[str, str]) -> int:
    """Run ``action`` and return its exit code; what it raises is explained on ``stderr``."""
    try:
        result = action()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=stderr)
        return INTERRUPTED
    except click.ClickException as error:
        error.show(file=stderr)
        return USAGE
    except BrokenPipeError:
        # The reader of our output went away (``| head``): the interpreter must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except OSError as error:
        if error.errno not in _NO_ROOM:
            return _failed(error, stderr, environ)
        # Most often of standard output; the interpreter must not try to write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"flowpost: cannot write: {error.strerror}", file=stderr)
        return FAILED
    except Exception as error:  # noqa: BLE001
        return _failed(error, stderr, environ)
    return result if isinstance(result, int) else OK


def _failed(error: Exception, stderr: TextIO, environ: Mapping[str, str]) -> int:
    # Imported here: the answer to --help needs no error tree.
    from runner.errors import ConfigurationError, FlowpostError, UsageError

    if not isinstance(error, FlowpostError):
        return _unexpected(error, stderr, environ)
    print(explain(error), file=stderr)
    return USAGE if isinstance(error, UsageError | ConfigurationError) else FAILED


def explain(error: FlowpostError) -> str:
    """An error as lines for a person: what, the code, and how to mend it."""
    from runner.diagnostic import Invalid, to_runners
    from runner.errors import ConfigurationError, UsageError

    if isinstance(error, Invalid):
        lines = []
        for finding in to_runners(error.diagnostics):
            lines.append(printable(str(finding)))
            if finding.hint:
                lines.append(f"  hint: {printable(finding.hint)}")
        return "\n".join(lines)
    code = "" if isinstance(error, UsageError | ConfigurationError) else f" [{error.code}]"
    text = f"flowpost: {printable(error.message)}{code}"
    return f"{text}\n  hint: {printable(error.hint)}" if error.hint else text


def printable(text: str) -> str:
    """The text without secrets that were decrypted, and without what could drive a terminal; line breaks stay."""
    from runner.redact import clean

    text = clean(text)
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def _unexpected(error: Exception, stderr: TextIO, environ: Mapping[str, str]) -> int:
    """A defect of ours: named by type and place only, for its text could hold anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        place = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119
    print(f"flowpost: unexpected {type(error).__name__}{place}: please report this", file=stderr)
    if environ.get("FLOWPOST_DEBUG") == "1":
        import traceback

        print("".join(traceback.format_tb(error.__traceback__)), file=stderr)
    return FAILED
