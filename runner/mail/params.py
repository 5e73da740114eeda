"""Parameters of MIME headers: quoted strings, and RFC 2231 for what they cannot hold."""

from __future__ import annotations

from runner.mail.words import PERCENT, chunks, encoded, is_raw, repaired

_LINE = 76
_CHARSET = "utf-8''"
_WORD_ROOM = 50


def parameter(name: str, value: str) -> str:
    """``;`` and the parameter on lines of its own: ``name="value"``, ``name*=utf-8''…`` or ``name*0*=…``."""
    if is_simple(name, value):
        return f';\r\n {name}="{value}"'
    text = repaired(value)
    whole = text.translate(PERCENT)
    if len(name) + len(_CHARSET) + len(whole) + 4 <= _LINE:
        return f";\r\n {name}*={_CHARSET}{whole}"
    # "*99999*=", a leading space and the ";" are 10 octets.
    room = _LINE - len(name) - 10
    found = chunks(text, PERCENT, room - len(_CHARSET), room)
    found[0] = _CHARSET + found[0]
    return "".join(f";\r\n {name}*{index}*={chunk}" for index, chunk in enumerate(found))


def is_simple(name: str, value: str) -> bool:
    """Whether ``value`` can stand between quotes: short, printable ASCII, without quote or backslash."""
    return len(name) + len(value) <= _LINE - 6 and is_raw(value) and '"' not in value and "\\" not in value


def legacy_name(value: str) -> str:
    """The ``name`` parameter of a Content-Type: the file name for readers that know no RFC 2231.

    Short names stand there as an encoded word in quotes, against the letter of RFC 2047 and as everybody
    does it. It is not a second ``filename`` in Content-Disposition, since widely used parsers prefer that
    to ``filename*``.
    """
    if not is_simple("name", value):
        text = repaired(value)
        if len(text.translate(PERCENT)) <= _WORD_ROOM:
            return f';\r\n name="{encoded(text, 63)[0]}"'
    return parameter("name", value)
