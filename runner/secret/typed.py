"""The one door: a decrypted tree of leaves becomes a frozen credential, or a list of what is wrong with it.

Strict on purpose. SOPS does not authenticate a value's type or the presence of empty keys, so whatever is not exactly
as the tables say is a finding, and no finding quotes a value.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from runner.diagnostic import Severity
from runner.secret.fields import NAME, SHAPES, Field, Section
from runner.secret.sops.scalar import Leaf

Path = tuple[str, ...]

_HOST = re.compile(r"(?!-)[\w-]{1,63}(\.[\w-]{1,63})*\.?")
_TYPES = {
    "text": "a text",
    "secret": "a text",
    "pem": "a text",
    "host": "a host name",
    "name": "a name",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "texts": "a list of texts",
    "rates": "a list of rates",
}
_LEAF_TYPES = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "time": "a time",
}  # fmt: skip
_MAX_TEXT = 4096
_MAX_PEM = 256 * 1024


class Problem(NamedTuple):
    """One finding about the value at ``path``."""

    path: Path
    message: str
    code: str = "ESECRET"
    severity: Severity = "error"
    hint: str = ""


def check(tree: Any, stem: str, *, values: bool = True) -> tuple[dict[str, Any], list[Problem]]:
    """The Python values of ``tree`` (nested dicts and lists of ``Leaf``), and what is wrong.

    With ``values`` False only keys and claimed types are checked, for want of a key; the type of the credential is
    then not known, and a key of any type passes.
    """
    problems: list[Problem] = []
    kind = "smtp"
    leaf = tree.get("type")
    if values and isinstance(leaf, Leaf) and leaf.kind == "str" and leaf.text in SHAPES:
        kind = leaf.text
    names = [kind] if values or "type" not in tree else list(SHAPES)
    fields: dict[str, Field] = {}
    sections: dict[str, list[Section]] = {}
    for name in names:
        fields.update(SHAPES[name].fields)
        for key, part in SHAPES[name].sections.items():
            sections.setdefault(key, []).append(part)
    out: dict[str, Any] = {}
    known = [*fields, *sections]
    for key, value in tree.items():
        if key in fields:
            out[key] = _field(fields[key], value, (key,), values, problems)
        elif key in sections:
            out[key] = _section(sections[key], value, (key,), values, problems)
        else:
            problems.append(_unknown(key, (key,), known, f"a credential of type {kind}"))
    for key, field in fields.items():
        if field.required and key not in tree:
            problems.append(Problem((), f'"{key}" is missing: {_lower(field.about)}'))
    for key, parts in sections.items():
        if all(part.required for part in parts) and key not in tree:
            problems.append(Problem((), f'section "{key}" is missing: {_lower(parts[0].about)}'))
    if (
        values
        and not any(problem.path == ("name",) for problem in problems)
        and out.get("name") not in (None, stem)
    ):
        problems.append(
            Problem(
                ("name",),
                f'the name inside is not "{stem}", the name of the file: was another file copied over it?',
                hint="rename the file, or take the right one from git",
            )
        )
    return out, problems


def _section(
    parts: list[Section], value: Any, path: Path, values: bool, problems: list[Problem]
) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        problems.append(Problem(path, f'section "{path[-1]}" must hold keys: {_lower(parts[0].about)}'))
        return {}
    fields: dict[str, Field] = {}
    required: list[str] = []
    variants: dict[str, dict[str, Field]] = {}
    for part in parts:
        fields.update(part.fields)
        variants.update(part.variants or {})
    what = f'section "{path[-1]}"'
    if variants:
        fields = {**fields, "type": Field(about="the kind of login", choices=tuple(variants), required=True)}
        leaf = value.get("type")
        chosen = variants.get(leaf.text) if values and isinstance(leaf, Leaf) and leaf.kind == "str" else None
        if chosen is not None:
            fields.update(chosen)
            what += " of this type"
        else:
            for variant in variants.values():
                fields.update({key: _optional(field) for key, field in variant.items()})
    required = [key for key, field in fields.items() if field.required]
    out: dict[str, Any] = {}
    for key, item in value.items():
        if key in fields:
            out[key] = _field(fields[key], item, (*path, key), values, problems)
        else:
            problems.append(_unknown(key, (*path, key), list(fields), what))
    for key in required:
        if key not in value:
            problems.append(Problem(path, f'"{key}" is missing in {what}: {_lower(fields[key].about)}'))
    return out


def _optional(field: Field) -> Field:
    return Field(about=field.about, kind=field.kind, choices=field.choices, low=field.low, high=field.high)


def _field(field: Field, value: Any, path: Path, values: bool, problems: list[Problem]) -> Any:
    where = ".".join(path)
    expected = _TYPES[field.kind] if not field.choices else "one of " + ", ".join(field.choices)
    if value is None or (isinstance(value, Leaf) and value.kind == "str" and value.text == ""):
        problems.append(Problem(path, f'"{where}" is empty', hint="leave the key away, or give it a value"))
        return None
    if field.kind in ("texts", "rates"):
        return _list(field, value, path, values, problems)
    if not isinstance(value, Leaf):
        problems.append(Problem(path, f'"{where}" must be {expected}'))
        return None
    wanted = {"integer": ("int",), "number": ("int", "float"), "boolean": ("bool",)}.get(field.kind, ("str",))
    if value.kind not in wanted:
        hint = "put it in quotes" if wanted == ("str",) else "write it without quotes"
        found = _LEAF_TYPES.get(value.kind, value.kind)
        problems.append(Problem(path, f'"{where}" must be {expected}, not {found}', hint=hint))
        return None
    if not values:
        return None
    wrong = _wrong(field, value)
    if wrong:
        problems.append(Problem(path, f'"{where}" {wrong}', hint=_nearest(value.text, field.choices)))
        return None
    return value.value()


def _wrong(field: Field, leaf: Leaf) -> str:
    text = leaf.text
    if field.choices:
        return "" if text in field.choices else "is not one of " + ", ".join(field.choices)
    if field.kind in ("integer", "number"):
        number = float(text)
        low, high = field.low or 0.0, field.high or math.inf
        return "" if low <= number <= high else f"must be from {low:g} to {high:g}"
    if field.kind == "boolean":
        return ""
    if field.kind == "name":
        return "" if len(text) <= 63 and re.fullmatch(NAME, text) else "is not a name like crm-hook"
    if field.kind == "pem":
        if len(text) > _MAX_PEM or "\0" in text:
            return "is too long or holds a NUL"
        return "" if "-----BEGIN " in text and "-----END " in text else "is not PEM (-----BEGIN …)"
    if len(text) > _MAX_TEXT:
        return f"is longer than {_MAX_TEXT} characters"
    # CR, LF and NUL end a command or a header on the wire: a value that holds one could add another.
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        return "holds a line break or another control character"
    if field.kind == "host":
        return "" if _is_host(text) else "is not a host name"
    return ""


def _is_host(text: str) -> bool:
    if _HOST.fullmatch(text) and len(text) <= 253:
        return True
    try:
        ipaddress.ip_address(text.removeprefix("[").removeprefix("IPv6:").removesuffix("]"))
    except ValueError:
        return False
    return True


def _list(field: Field, value: Any, path: Path, values: bool, problems: list[Problem]) -> tuple[Any, ...]:
    from runner.units import rate

    where = ".".join(path)
    if not isinstance(value, list) or not value:
        problems.append(Problem(path, f'"{where}" must be {_TYPES[field.kind]}, with at least one'))
        return ()
    if len(value) > 100:
        problems.append(Problem(path, f'"{where}" has more than 100 entries'))
        return ()
    out: list[Any] = []
    for item in value:
        text = _field(Field(about=field.about, kind="text"), item, path, values, problems)
        if text is None or field.kind == "texts":
            out.append(text)
            continue
        try:
            out.append(rate(text))
        except ValueError:
            problems.append(
                Problem(path, f'"{where}" holds an entry that is not a rate like 14/s or 500/day')
            )
    return tuple(out)


def _unknown(key: str, path: Path, known: Iterable[str], what: str) -> Problem:
    names = list(known)
    hint = _nearest(key, names) or f"known keys: {', '.join(names)}"
    return Problem(path, f'"{key}" is not a key of {what}', hint=hint)


def _nearest(text: str, names: Sequence[str]) -> str:
    """The hint for a word that is mistyped; it quotes the word that was meant, never ``text``."""
    from difflib import get_close_matches

    near = get_close_matches(text, names, 1)
    return f'did you mean "{near[0]}"?' if near else ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
