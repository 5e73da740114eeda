"""Errors become text and exit codes in one place."""

from __future__ import annotations

import io

import click
import pytest

from runner.cli.boundary import explain, guarded, printable
from runner.cli.group import cli
from runner.cli.verbs import VERBS
from runner.diagnostic import Diagnostic, Invalid
from runner.errors import AuthError, ConfigurationError, UsageError


def raising(error: BaseException) -> object:
    def action() -> object:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConfigurationError("x"), 2),
        (Invalid([Diagnostic("f.yaml", 1, 2, "x", "schema")]), 2),
        (click.UsageError("x"), 2),
        (AuthError("x"), 1),
        (RuntimeError("x"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert guarded(raising(error), io.StringIO(), {}) == code  # type: ignore[arg-type]


def test_a_defect_of_ours_shows_its_place_and_nothing_of_its_text() -> None:
    stderr = io.StringIO()
    guarded(raising(ValueError("hunter2 is the password")), stderr, {"FLOWPOST_DEBUG": "1"})  # type: ignore[arg-type]

    assert "hunter2" not in stderr.getvalue()
    assert "ValueError" in stderr.getvalue()
    assert "report" in stderr.getvalue()


def test_an_error_says_its_code_and_how_to_mend_it() -> None:
    text = explain(AuthError("Authentication failed: 535 no", hint="use an App Password"))

    assert text == "flowpost: Authentication failed: 535 no [EAUTH]\n  hint: use an App Password"


def test_what_could_drive_a_terminal_is_not_printed() -> None:
    assert printable("a\x1b[31mb\r\u202ec\nd") == "a\ufffd[31mb\ufffd\ufffdc\nd"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)

    assert command is not None
    assert command.short_help == VERBS[verb]
    assert "Example" in (command.epilog or "")


def test_an_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    from runner.cli.main import main

    assert main(["validat"]) == 2
    assert 'did you mean "validate"' in capsys.readouterr().err
