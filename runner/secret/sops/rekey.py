"""Other recipients for a file: under a new data key, or under the old one."""

from __future__ import annotations

from collections.abc import Sequence

from runner.secret.sops import cipher, comments, emit, nodes
from runner.secret.sops.document import Document, digest, now, wrap
from runner.secret.sops.edit import Opened
from runner.secret.sops.nodes import FormatError
from runner.secret.sops.scalar import Leaf
from runner.secret.sops.spans import Cut, apply, last_scalar, line_end, placed


def rekey(opened: Opened, recipients: Sequence[str]) -> bytes:
    """The file under a new data key for ``recipients``; every value gets a new ciphertext, the layout stays."""
    text, meta, new = opened.document.text, opened.document.meta, cipher.new_key()
    cuts: list[Cut] = []
    for place, leaf in opened.found:
        if leaf is not None and cipher.looks_encrypted(place.scalar.text):
            raw = cipher.seal(leaf, new, cipher.path_data(place.path))
            cuts.append((place.scalar.start, place.scalar.end, placed(raw, place.scalar, text)))
    for comment in comments.find(text, opened.document.root):
        was = opened.open_comment(comment)
        if was is not None:
            raw = cipher.seal(Leaf("comment", was[0]), new, cipher.path_data(was[1]))
            cuts.append((comment.start, comment.end, f"#{raw}"))
    time = now()
    mac = cipher.seal(Leaf("str", digest(opened.found, meta)), new, time)
    cuts.append((meta.time_node.start, meta.time_node.end, f'"{time}"'))
    cuts.append((meta.mac_node.start, meta.mac_node.end, mac))
    cuts.append(_stanza_cut(opened.document, wrap(new, recipients)))
    return apply(text, cuts).encode("utf-8")


def readmit(opened: Opened, recipients: Sequence[str]) -> bytes:
    """The file under its old data key for ``recipients``: entries that are there stay, others are added or left out."""
    old = {stanza.recipient: stanza.enc for stanza in opened.document.meta.stanzas}
    stanzas = [(name, old[name]) if name in old else wrap(opened.key, [name])[0] for name in recipients]
    return apply(opened.document.text, [_stanza_cut(opened.document, stanzas)]).encode("utf-8")


def _stanza_cut(document: Document, stanzas: list[tuple[str, str]]) -> tuple[int, int, str]:
    node = document.meta.node.get("age")
    if not isinstance(node, nodes.Sequence) or node.flow:
        raise FormatError("the age section is not a list of lines")
    lines = emit.stanza_lines(stanzas, " " * (node.column - 1))
    start = document.text.rfind("\n", 0, node.start) + 1
    return start, line_end(document.text, last_scalar(node, None)), "\n".join(lines) + "\n"
