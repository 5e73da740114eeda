"""The lines of the log, written to a stream of the test."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from runner import redact
from runner.current import about
from runner.serve.logs import configure


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    redact.forget()


def written(form: str) -> str:
    """The line of an error whose traceback quotes a password."""
    stream = io.StringIO()
    configure(stream, form=form)
    redact.protect("correct horse")
    try:
        raise ValueError("the server said: correct horse")
    except ValueError:
        with about(run="r1", flow="welcome", node="mail"):
            logging.getLogger("flowpost.test").exception("it failed: %s", "correct horse")
    return stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_does_not_tell_the_password(form: str) -> None:
    text = written(form)

    assert "ValueError: the server said: ***" in text
    assert "correct horse" not in text


def test_a_json_line_is_one_line_and_names_run_flow_and_node() -> None:
    (line,) = written("json").splitlines()

    found = json.loads(line)
    assert (found["run"], found["flow"], found["node"]) == ("r1", "welcome", "mail")
    assert found["message"] == "it failed: ***"


def test_a_text_line_cannot_drive_a_terminal() -> None:
    stream = io.StringIO()
    configure(stream, form="text")
    logging.getLogger("flowpost.test").warning("bad \x1b[31m name")

    assert "\x1b" not in stream.getvalue()
