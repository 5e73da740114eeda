"""The last line: texts that leave the process lose every secret value that has been decrypted in it.

The first line is that nobody puts one there. This one is for what others say: a server that echoes the login line, a
library that quotes its arguments. It knows a value as it is, in base64 (also as a part of a longer text, as AUTH PLAIN
has it), percent-encoded, and escaped for JSON, Python and HTML.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import urllib.parse
from collections.abc import Iterable, Iterator

MASK = "***"
MIN_LENGTH = 4
"""Shorter values are left: to mask every "ab" would make messages useless and tell what the value is."""
MAX_VALUES = 2_000

_lock = threading.Lock()
_values: dict[str, None] = {}
_forms: tuple[str, ...] | None = None


def protect(*values: str) -> None:
    """Mask ``values`` from now on. The newest 2,000 are kept; those of fewer than four characters are not."""
    global _forms
    with _lock:
        for value in values:
            parts = [value, *value.splitlines()] if "\n" in value else [value]
            for part in parts:
                if len(part) >= MIN_LENGTH and not part.startswith("-----"):
                    _values.pop(part, None)
                    _values[part] = None
        while len(_values) > MAX_VALUES:
            del _values[next(iter(_values))]
        _forms = None


def clean(text: str) -> str:
    """``text`` with every protected value, in every known form, replaced by ``***``."""
    for form in _known():
        if form in text:
            text = text.replace(form, MASK)
    return text


def forget() -> None:
    """Forget every value (for tests)."""
    global _forms
    with _lock:
        _values.clear()
        _forms = None


class Redaction(logging.Filter):
    """A filter for log handlers: message, arguments, traceback and stack lose the protected values."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; it is never dropped."""
        if not _values:
            return True
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  (a record that cannot be formatted must not end the service)
            message = str(record.msg)
        record.msg, record.args = clean(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = clean(record.exc_text)
        if record.stack_info:
            record.stack_info = clean(record.stack_info)
        return True


def install(handlers: Iterable[logging.Handler]) -> None:
    """Put the filter on every handler, once."""
    for handler in handlers:
        if not any(isinstance(present, Redaction) for present in handler.filters):
            handler.addFilter(Redaction())


def forms(value: str) -> Iterator[str]:
    """Every form of ``value`` that is looked for."""
    yield value
    data = value.encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        for shift in (0, 1, 2):
            # In base64 of a longer text the value begins at one of three places; the characters at its edges mix
            # with its neighbours, so only the middle is known.
            middle = encode(b"\0" * shift + data).decode().rstrip("=")
            middle = middle[-(-shift * 8 // 6) :]
            if (shift + len(data)) % 3:
                middle = middle[:-1]
            if len(middle) >= 6:
                yield middle
    for safe in ("", "/", "/:@"):
        quoted = urllib.parse.quote(value, safe=safe, errors="replace")
        yield quoted
        yield re.sub("%..", lambda match: match[0].lower(), quoted)
    yield urllib.parse.quote_plus(value, errors="replace")
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value)[1:-1])[1:-1]
    yield repr(value)[1:-1]
    yield repr(data)[2:-1]
    yield html.escape(value)
    yield html.escape(value, quote=False)
    yield data.hex()


def _known() -> tuple[str, ...]:
    """Every form of every value, the longest first, so that no part of one is left over."""
    global _forms
    known = _forms
    if known is None:
        with _lock:
            found = {form for value in _values for form in forms(value) if len(form) >= MIN_LENGTH}
            known = _forms = tuple(sorted(found, key=len, reverse=True))
    return known
