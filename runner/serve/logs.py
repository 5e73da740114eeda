"""Log lines: text on a terminal, JSON otherwise; run, flow and node on every line that is about one."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from runner import redact
from runner.current import current

_OURS = ("flowpost", "runner")
_NAMES = ("run", "flow", "node")


class Subject(logging.Filter):
    """Puts what the line is about on the record, in the task that writes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        for name, value in current().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class TextFormatter(logging.Formatter):
    """``12:30:01 warning message  flow=welcome run=…``, with what could drive a terminal replaced."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it when there is one."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        about = "".join(f"  {name}={value}" for name in _NAMES if (value := getattr(record, name, None)))
        text = f"{time} {record.levelname.lower():<7} {record.getMessage()}{about}"
        if trace := _traceback(self, record):
            text += "\n" + trace
        return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line break in it."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in _NAMES if (value := getattr(record, name, None))}
        if trace := _traceback(self, record):
            line["traceback"] = trace
        return json.dumps(line, ensure_ascii=False)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    # Formatted anew it would have the secrets again that the redaction has taken out of exc_text.
    if record.exc_text:
        return record.exc_text
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def configure(stream: TextIO = sys.stderr, *, form: str | None = None, level: str = "INFO") -> None:
    """Send every log line to ``stream``; ``form`` is ``text`` or ``json``, by default what the stream is.

    Libraries speak from WARNING on; secrets are masked as the last thing before a line is formatted.
    """
    chosen = form or ("text" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if chosen == "text" else JsonFormatter())
    handler.addFilter(Subject())
    redact.install([handler])
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
