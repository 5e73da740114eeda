"""Cuts into a text: from where, to where, and what comes in the place."""

from __future__ import annotations

from runner.secret.sops.nodes import Mapping, Node, Scalar

Cut = tuple[int, int, str]


def last_scalar(value: Node | None, key: Scalar | None) -> int:
    """The end of the last scalar under ``value``: collections end where the next token begins, which is too late."""
    while value is not None and not isinstance(value, Scalar):
        if value.flow:
            return value.end
        children: list[Node] = (
            [item for _, item in value.pairs] if isinstance(value, Mapping) else value.items
        )
        value = children[-1] if children else None
    return max(key.end if key else 0, value.end if value is not None else 0)


def line_end(text: str, at: int) -> int:
    """Where the line that holds ``at`` ends, its line break included."""
    if at and text[at - 1] == "\n":
        return at
    end = text.find("\n", at)
    return len(text) if end == -1 else end + 1


def section(text: str, root: Mapping) -> tuple[int, int]:
    """Where the sops section begins and ends; twice the end of the text when there is none."""
    for number, (key, value) in enumerate(root.pairs):
        if key.text == "sops":
            later = [other.start for other, _ in root.pairs[number + 1 :]]
            return key.start, min(later) if later else line_end(text, last_scalar(value, key))
    return len(text), len(text)


def apply(text: str, cuts: list[Cut]) -> str:
    """``text`` with every cut made; cuts do not overlap."""
    out, position = [], 0
    for start, end, replacement in sorted(cuts):
        out += [text[position:start], replacement]
        position = end
    return "".join([*out, text[position:]])


def placed(raw: str, scalar: Scalar, text: str) -> str:
    """``raw`` as it must stand in the place of ``scalar``: quoted in a flow collection, its line breaks kept."""
    old = text[scalar.start : scalar.end]
    tail = old[len(old.rstrip("\n")) :] if old[:1] in ("|", ">") else ""
    before = text[scalar.start - 1] if scalar.start else ""
    shown = f'"{raw}"' if scalar.flow and raw.startswith("ENC[") else raw
    return (" " if before == ":" else "") + shown + tail
